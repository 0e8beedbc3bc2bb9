"""Throw-away Secrets of a development cluster are whole, good for the services, and never take the place of others."""

import asyncio
import errno
import json
import os
import re
import socket
import ssl
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import yaml
from cryptography import x509
from support.manifest_settings import SERVING
from support.manifests import K8S, SERVICES, kustomization, overlay, serving
from typer.testing import CliRunner

import binding.cli
import identity.cli
import notify.cli
import settlement.cli
from gongji_local.cli import app
from gongji_local.cluster_secrets import Cluster, write_cluster_secrets
from gongji_local.errors import StackError
from gongji_local.kafka.server import EmbeddedKafka
from gongji_local.ports import free_port, listens
from gongji_local.postgres.databases import service_url
from gongji_local.state import StateBook, StateFolder
from kit.__main__ import app as kit_app
from kit.config import ConfigurationError, load

PLAIN = K8S / "components" / "plain-secrets"
SERVERS = K8S / "installations" / "dev-servers"
DEV = overlay("dev")
CLIS = {
    "identity": identity.cli.app,
    "binding": binding.cli.app,
    "settlement": settlement.cli.app,
    "notify": notify.cli.app,
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cluster") / "files"
    write_cluster_secrets(folder, Cluster())
    return folder


def secrets_of(files: Path) -> dict[tuple[str, str], Path]:
    """Each key of each Secret that the component makes, and the file that it is made of."""
    found = {}
    for secret in kustomization(PLAIN)["secretGenerator"]:
        for each in secret["files"]:
            key, _, path = each.rpartition("=")
            found[secret["name"], key or Path(path).name] = files / path.removeprefix("files/")
    return found


def environ_of(service: str, files: Path, folder: Path) -> dict[str, str]:
    """What a pod of overlays/dev is told, with what it mounts below `folder`, Secrets as they were written."""
    secrets, run = secrets_of(files), serving(DEV, service)
    for path, (source, key) in run.files().items():
        mounted = folder / path.lstrip("/")
        mounted.parent.mkdir(parents=True, exist_ok=True)
        content = run.config_maps.get(source, {}).get(key)
        mounted.write_text(secrets[source, key].read_text() if content is None else content)
        mounted.chmod(0o440)  # as the manifests mount them
    told = run.environ({source: path.read_text() for source, path in secrets.items()})
    return {name: value.replace("/etc/gongji/", f"{folder}/etc/gongji/") for name, value in told.items()}


@pytest.mark.parametrize("service", SERVICES)
def test_a_pod_of_the_development_overlay_takes_them_and_config_check_finds_nothing(
    service: str, files: Path, tmp_path: Path
) -> None:
    done = CliRunner().invoke(
        CLIS[service], ["config", "--check", "--offline"], env=environ_of(service, files, tmp_path)
    )
    lines = done.output.splitlines()
    assert [line for line in lines if not line.startswith("✓ ")] == []
    for subject in ("TLS_CERT_FILE", "KAFKA_CERT_FILE", "INSTITUTION_CA_FILE", "KEYRING_FILE"):
        assert any(line.startswith(f"✓ GONGJI_{subject}: ") for line in lines), subject
    assert done.exit_code == 0


@pytest.mark.parametrize("service", SERVICES)
def test_production_refuses_them(service: str, files: Path, tmp_path: Path) -> None:
    as_in_production = environ_of(service, files, tmp_path) | {"GONGJI_ENVIRONMENT": "production"}
    with pytest.raises(ConfigurationError, match="GONGJI_TRUST_DOMAIN must be gongji in production"):
        load(SERVING[service], as_in_production)
    as_in_production["GONGJI_TRUST_DOMAIN"] = "gongji"
    done = CliRunner().invoke(CLIS[service], ["config", "--check", "--offline"], env=as_in_production)
    assert "is for spiffe://gongji-dev/service/" in done.output
    assert done.exit_code == 1


def test_every_secret_has_its_file_and_only_its_owner_may_read_any(files: Path) -> None:
    assert [path for path in secrets_of(files).values() if not path.exists()] == []
    everything = [files, *files.rglob("*")]
    assert [path for path in everything if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)] == []


def test_no_two_rings_share_a_key(files: Path) -> None:
    rings = [path.read_text() for path in secrets_of(files).values() if path.name.endswith("keyring.json")]
    keys = {each["key"] for ring in rings for each in json.loads(ring)["keys"].values()}
    assert len(keys) == len(rings) == len(SERVICES) + 3


def test_servers_are_called_by_the_names_that_their_certificates_carry(files: Path) -> None:
    for name, host in (("postgres", Cluster().postgres), ("kafka", Cluster().kafka), ("../binding/tls", "binding")):
        certificate = x509.load_pem_x509_certificate((files / "servers" / f"{name}.crt").read_bytes())
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert host in names.get_values_for_type(x509.DNSName)
    installation = kustomization(K8S / "installations" / "dev")["configMapGenerator"]
    assert installation[0]["literals"] == [f"GONGJI_KAFKA_BOOTSTRAP={Cluster().kafka}:9093"]


@pytest.mark.parametrize(
    ("server", "authority", "host"),
    [
        ("servers/postgres", "identity/database-ca.crt", Cluster().postgres),
        ("servers/kafka", "kafka-ca.crt", Cluster().kafka),
        ("binding/tls", "services-ca.crt", "binding"),
        ("identity/tls", "services-ca.crt", "identity.gongji.svc"),
    ],
)
def test_whoever_calls_a_server_by_its_name_believes_it(server: str, authority: str, host: str, files: Path) -> None:
    assert handshake(files, server, authority, host)
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        handshake(files, server, authority, f"x{host}")
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(files, server, "institutions-ca.crt", host)


def handshake(files: Path, server: str, authority: str, host: str) -> bool:
    """TLS in memory, the client as strict as `sslmode=verify-full`."""
    serving_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving_context.load_cert_chain(files / f"{server}.crt", files / f"{server}.key")
    calling = ssl.create_default_context(cafile=str(files / authority))
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        calling.wrap_bio(down, up, server_hostname=host),
        serving_context.wrap_bio(up, down, server_side=True),
    )
    for _ in range(4):
        for end in ends:
            with suppress(ssl.SSLWantReadError):
                end.do_handshake()
    return ends[0].version() is not None


def test_the_servers_of_the_development_cluster_mount_what_is_written(files: Path) -> None:
    documents = [
        each for name in ("postgres", "kafka") for each in yaml.safe_load_all((SERVERS / f"{name}.yaml").read_text())
    ]
    mounted = {item["key"] for each in documents for item in _items_of_servers(each)}
    assert (
        {"postgres.key", "databases.sql", "kafka.pem"}
        <= mounted
        <= {each.name for each in (files / "servers").iterdir()}
    )


def _items_of_servers(document: Any) -> Iterator[Any]:
    volumes = document["spec"].get("template", {}).get("spec", {}).get("volumes", [])
    for volume in volumes:
        for source in (volume, *volume.get("projected", {}).get("sources", [])):
            if source.get("secret", {}).get("secretName", source.get("secret", {}).get("name")) == "servers":
                yield from source["secret"]["items"]


def test_the_job_that_makes_topics_runs_the_version_of_the_manifests() -> None:
    tags = [kustomization(K8S / each)["images"] for each in ("base", "installations/dev")]
    base, own = ({each["name"]: each["newTag"] for each in found} for found in tags)
    assert own == {name: base[name] for name in own}


def test_kafkas_users_are_named_as_where_strimzi_makes_them(files: Path) -> None:
    users = yaml.safe_load_all((K8S / "components/strimzi/users.yaml").read_text())
    names = {x509.load_pem_x509_certificate((files / each / "kafka.crt").read_bytes()).subject for each in SERVICES}
    # Strimzi makes users for jobs, too, that a broker without ACLs does not need.
    assert len(names) == len(SERVICES)
    assert {name.rfc4514_string() for name in names} <= {f"CN={each['metadata']['name']}" for each in users}


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["cluster-secrets", *arguments])
    return result.exit_code, " ".join(result.output.split())


def test_what_is_there_is_never_written_over(tmp_path: Path) -> None:
    folder = tmp_path / "files"
    assert run(str(folder))[0] == 0
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    status, told = run(str(folder))
    assert status == 1
    assert "is there already, and nothing in it is written over" in told
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize("kind", ["file", "folder with one", "dangling link"])
def test_not_even_a_single_file_a_link_or_somebody_elses(kind: str, tmp_path: Path) -> None:
    target = tmp_path / "files"
    if kind == "file":
        target.write_text("mine")
    elif kind == "dangling link":
        target.symlink_to(tmp_path / "elsewhere")
    else:
        (target / "mine").mkdir(parents=True)
    assert run(str(target))[0] == 1
    assert sorted(each.name for each in tmp_path.rglob("*")) == (
        ["files", "mine"] if kind == "folder with one" else ["files"]
    )


def test_an_empty_folder_may_be_filled(tmp_path: Path) -> None:
    assert run(str(tmp_path))[0] == 0
    assert "THROW-AWAY" in (tmp_path / "THROW-AWAY.txt").read_text()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--trust-domain", "gongji"), "No throw-away Secrets are made for the trust domain 'gongji'"),
        (("--trust-domain", "Gongji/dev"), "No throw-away Secrets are made for the trust domain"),
        (("--trust-domain", ""), "No throw-away Secrets are made for the trust domain"),
        (("--postgres", "db.example:5432"), "'db.example:5432' is no name of a host"),
        (("--kafka", "kafka.example, other"), "is no name of a host"),
        (("--kafka", ""), "is no name of a host"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(
    options: tuple[str, ...], told: str, tmp_path: Path
) -> None:
    status, said = run(str(tmp_path / "files"), *options)
    assert status == 1
    assert told in said
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_leaves_nothing_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("gongji_local.cluster_secrets.databases_sql", full)
    with pytest.raises(StackError, match="No space left on device"):
        write_cluster_secrets(tmp_path / "files", Cluster())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.stack
def test_a_broker_of_the_development_cluster_takes_services_by_certificate_and_nobody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, names = tmp_path / "files", Cluster(kafka="127.0.0.1")
    write_cluster_secrets(files, names)
    monkeypatch.setattr(EmbeddedKafka, "_configure", lambda broker: configure_as_in_the_cluster(broker, files))
    monkeypatch.setattr(
        "gongji_local.kafka.server.serves_metadata", lambda kafka: listens(int(kafka.kafka_bootstrap.split(":")[1]))
    )
    folder = StateFolder(tmp_path / "state")
    folder.create()
    broker = EmbeddedKafka(StateBook(folder), os.environ)
    try:
        broker.start()
        certificate = [
            "--cert-file",
            str(files / "identity/kafka.crt"),
            "--key-file",
            str(files / "identity/kafka.key"),
        ]
        create = ["topics", "create", "--bootstrap", broker.bootstrap, "--replication", "1"]
        made = CliRunner().invoke(kit_app, [*create, "--ca-file", str(files / "kafka-ca.crt"), *certificate])
        assert made.exit_code == 0, made.output
        assert "account-events-v1" in made.output
        with pytest.raises(ssl.SSLError, match="certificate required"):
            read_without_certificate(broker.bootstrap, files / "kafka-ca.crt")
    finally:
        broker.wipe()


def read_without_certificate(address: str, authority: Path) -> None:
    host, _colon, port = address.partition(":")
    context = ssl.create_default_context(cafile=str(authority))
    with (
        socket.create_connection((host, int(port)), timeout=20) as plain,
        context.wrap_socket(plain, server_hostname=host) as encrypted,
    ):
        encrypted.recv(1)


def configure_as_in_the_cluster(broker: EmbeddedKafka, files: Path) -> None:
    """The ConfigMap's file, with this computer's paths and free ports in the place of the pod's."""
    port = free_port(None, ())
    controller_port = free_port(None, {port})
    broker._book.put_port("kafka", port)
    broker._book.put_port("kafka-controller", controller_port)
    text = (SERVERS / "server.properties").read_text()
    for inside, here in {
        "SSL://0.0.0.0:9093": f"SSL://127.0.0.1:{port}",
        f"SSL://{Cluster().kafka}:9093": f"SSL://127.0.0.1:{port}",
        "127.0.0.1:9094": f"127.0.0.1:{controller_port}",
        "/etc/gongji/kafka.pem": str(files / "servers/kafka.pem"),
        "/etc/gongji/kafka-ca.crt": str(files / "servers/kafka-ca.crt"),
        "/var/lib/kafka/data/log": str(broker._data),
    }.items():
        assert inside in text
        text = text.replace(inside, here)
    broker._properties.write_text(text)


@pytest.mark.stack
def test_the_statements_let_each_role_into_its_own_database_and_no_other(files: Path, postgres_admin_url: str) -> None:
    statements = (files / "servers" / "databases.sql").read_text()
    made = re.findall(r"gongji_[a-z]+", statements)
    other = {name: f"{name}_{os.getpid()}" for name in made}
    # The session's server has roles of these names, perhaps: others here, otherwise word for word.
    asyncio.run(_try_out(re.sub(r"gongji_[a-z]+", lambda name: other[name[0]], statements), postgres_admin_url, files))


async def _try_out(statements: str, admin_url: str, files: Path) -> None:
    administrator = await asyncpg.connect(admin_url)
    try:
        for statement in statements.splitlines():
            await administrator.execute(statement)
        for service in SERVICES:
            password = (files / service / "database-password").read_text()
            role = f"gongji_{service}_{os.getpid()}"
            own = await asyncpg.connect(service_url(admin_url, role, password, role))
            await own.execute("CREATE TABLE own (id int)")
            await own.close()
            stranger = f"gongji_{'notify' if service != 'notify' else 'binding'}_{os.getpid()}"
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await asyncpg.connect(service_url(admin_url, role, password, stranger))
    finally:
        for name in re.findall(r"CREATE DATABASE (\S+)", statements):
            await administrator.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
            await administrator.execute(f"DROP ROLE IF EXISTS {name}")
        await administrator.close()
