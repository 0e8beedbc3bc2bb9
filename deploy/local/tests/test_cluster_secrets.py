"""Throw-away Secrets of a development cluster are whole, good for the services, and never take the place of others."""

import asyncio
import errno
import json
import os
import re
import stat
from pathlib import Path
from urllib.parse import urlsplit

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
from gongji_local.postgres.databases import service_url
from kit.config import ConfigurationError, load

PLAIN = K8S / "components" / "plain-secrets"
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
    told = run.environ({source: path.read_text() for source, path in secrets.items()})
    return {name: str(folder / value[1:]) if value.startswith("/etc/") else value for name, value in told.items()}


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


def test_kafkas_users_are_named_as_where_strimzi_makes_them(files: Path) -> None:
    users = yaml.safe_load_all((K8S / "components/strimzi/users.yaml").read_text())
    names = {x509.load_pem_x509_certificate((files / each / "kafka.crt").read_bytes()).subject for each in SERVICES}
    assert {name.rfc4514_string() for name in names} == {f"CN={each['metadata']['name']}" for each in users}


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
            password = urlsplit((files / service / "database-url").read_text()).password or ""
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
