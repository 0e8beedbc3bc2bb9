"""Throw-away Secrets of a development cluster: every file that `components/plain-secrets` makes Secrets of.

Nothing of it is for production, whose services believe another trust domain than the one that these certificates name.
"""

import re
import secrets
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gongji_local.certificates import Authority, CertificateFiles
from gongji_local.errors import StackError
from gongji_local.files import PRIVATE_FOLDER, write_private
from gongji_local.keys import ISSUERS, Keys
from gongji_local.postgres.databases import ServiceDatabase
from gongji_local.services import SERVICES

PRODUCTION_DOMAIN: Final = "gongji"
DOMAIN: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
HOST: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
CALLERS: Final = ("portal", "operator", "registry")
INSTITUTION: Final = "H65279900001"
KAFKA_ADMINISTRATOR: Final = "kafka-administrator"
_PARAMETERS: Final = (
    "sslmode=verify-full&sslrootcert=/etc/gongji/database/ca.crt&passwordfile=/etc/gongji/database/password"
)
_NOTE: Final = """\
THROW-AWAY, FOR A DEVELOPMENT CLUSTER ONLY. Written by `gongji-local cluster-secrets`. No vault knows these
keys; whoever reads this folder can be anybody in the trust domain {domain}.

<service>/, *.crt, *.json
    what components/plain-secrets makes Secrets of
servers/postgres.*, servers/kafka.*
    the servers' own certificates, for {postgres} and {kafka};
    their CAs are <service>/database-ca.crt and kafka-ca.crt
servers/databases.sql, servers/postgres-password
    roles and databases with the passwords of <service>/database-password; the administrator's password
    (all of servers/ is the Secret `servers` of installations/dev-servers)
callers/
    certificates of portal, operator, registry, an institution and Kafka's administrator;
    private keys of the issuers who vouch for people
authorities/
    the keys of the CAs, and of everything else that was copied from here
"""


@dataclass(frozen=True, slots=True)
class Cluster:
    """What the certificates and addresses have to name."""

    postgres: str = "postgres.gongji-servers.svc"
    """The host of the PostgreSQL server, as pods call it; as installations/dev has it, where nothing else is said."""
    kafka: str = "kafka.gongji-servers.svc"
    """The host of the broker."""
    trust_domain: str = "gongji-dev"
    namespace: str = "gongji"

    def refuse_nonsense(self) -> None:
        """Before anything is written.

        Raises:
            StackError: a name that no certificate can carry, or production's.
        """
        if self.trust_domain == PRODUCTION_DOMAIN or DOMAIN.fullmatch(self.trust_domain) is None:
            raise StackError(
                f"No throw-away Secrets are made for the trust domain {self.trust_domain!r}.",
                "Name the environment, as the overlay does: gongji-dev, gongji-sandbox.",
            )
        for host in (self.postgres, self.kafka):
            if HOST.fullmatch(host) is None:
                raise StackError(f"{host!r} is no name of a host.", "Name the host alone, without a port.")


def write_cluster_secrets(folder: Path, cluster: Cluster) -> None:
    """Writes the whole folder, or nothing; what is there already is never written over.

    Raises:
        StackError: the folder holds something, or a name cannot be used.
    """
    cluster.refuse_nonsense()
    _refuse_what_is_there(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".cluster-secrets-", dir=folder.parent))
    try:
        _Draft(draft, cluster).write()
        draft.chmod(PRIVATE_FOLDER)
        # Takes the place of an empty folder only: of two that write at once one fails here.
        draft.rename(folder)
    except OSError as error:
        _refuse_what_is_there(folder)
        raise StackError(f"The Secrets were not written to {folder}: {error}.", "Name another folder.") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _refuse_what_is_there(folder: Path) -> None:
    if folder.is_symlink() or (folder.exists() and not (folder.is_dir() and not any(folder.iterdir()))):
        raise StackError(
            f"{folder} is there already, and nothing in it is written over.",
            "Move it away, or name another folder: the keys in it may be all that reads a database.",
        )


class _Draft:
    def __init__(self, folder: Path, cluster: Cluster) -> None:
        self._folder, self._cluster = folder, cluster
        self._keys = Keys(self._made("authorities"))

    def write(self) -> None:
        for service in SERVICES:
            self._made(service)
        self._certificates()
        self._kafka()
        self._databases()
        self._rings()
        note = _NOTE.format(
            domain=self._cluster.trust_domain, postgres=self._cluster.postgres, kafka=self._cluster.kafka
        )
        write_private(self._folder / "THROW-AWAY.txt", note)

    def _certificates(self) -> None:
        services, institutions = self._authority("services"), self._authority("institutions")
        for service in SERVICES:
            names = (service, f"{service}.{self._cluster.namespace}.svc", "localhost")
            services.issue(f"service/{service}", self._pair(service, "tls", ".crt"), server=True, hosts=names)
        for caller in CALLERS:
            services.issue(f"service/{caller}", self._pair("callers", caller), server=False)
        institutions.issue(f"institution/{INSTITUTION}", self._pair("callers", INSTITUTION), server=False)
        self._copy(services.file, "services-ca.crt")
        self._copy(institutions.file, "institutions-ca.crt")

    def _kafka(self) -> None:
        # Kafka's user is the certificate's CN, named as components/strimzi/users.yaml names it.
        authority = self._authority("kafka")
        for service in SERVICES:
            authority.issue(f"kafka/{service}-kafka", self._pair(service, "kafka", ".crt"), server=False)
        authority.issue(f"kafka/{KAFKA_ADMINISTRATOR}", self._pair("callers", KAFKA_ADMINISTRATOR), server=False)
        pair = self._server(authority, "kafka", self._cluster.kafka)
        self._copy(authority.file, "kafka-ca.crt")
        self._copy(authority.file, "servers/kafka-ca.crt")
        # A broker reads its key and its certificate from one file.
        write_private(self._folder / "servers" / "kafka.pem", pair.key.read_bytes() + pair.cert.read_bytes())

    def _databases(self) -> None:
        authority = self._authority("postgres")
        self._server(authority, "postgres", self._cluster.postgres)
        databases = {service: ServiceDatabase(f"gongji_{service}", secrets.token_urlsafe(24)) for service in SERVICES}
        for service, database in databases.items():
            url = f"postgresql://{database.name}@{self._cluster.postgres}:5432/{database.name}?{_PARAMETERS}"
            write_private(self._folder / service / "database-url", url)
            write_private(self._folder / service / "database-password", database.password)
            self._copy(authority.file, f"{service}/database-ca.crt")
        write_private(self._folder / "servers" / "databases.sql", databases_sql(databases))
        write_private(self._folder / "servers" / "postgres-password", secrets.token_urlsafe(24))

    def _rings(self) -> None:
        for service in SERVICES:
            self._copy(self._keys.keyring(service), f"{service}/keyring.json")
        self._copy(self._keys.code_keyring(), "code-keyring.json")
        self._copy(self._keys.credential_keyring(), "credential-keyring.json")
        # A ring of its own: who may sign requests to a gateway must not be able to sign a visit credential.
        self._copy(Keys(self._made("authorities/gateway")).credential_keyring(), "notify/gateway-keyring.json")
        self._copy(self._keys.jwks(), "assertion-issuers.json")
        for issuer in ISSUERS:
            self._copy(self._folder / "authorities" / f"issuer-{issuer.name}.pem", f"callers/issuer-{issuer.name}.pem")

    def _authority(self, name: str) -> Authority:
        return Authority.ensure(self._made("authorities"), name, self._cluster.trust_domain)

    def _server(self, authority: Authority, name: str, host: str) -> CertificateFiles:
        return authority.issue(f"server/{name}", self._pair("servers", name), server=True, hosts=[host])

    def _pair(self, folder: str, stem: str, suffix: str = ".crt") -> CertificateFiles:
        made = self._made(folder)
        return CertificateFiles(made / f"{stem}{suffix}", made / f"{stem}.key")

    def _made(self, name: str) -> Path:
        (self._folder / name).mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        return self._folder / name

    def _copy(self, source: Path, name: str) -> None:
        write_private(self._folder / name, source.read_bytes())


def databases_sql(databases: Mapping[str, ServiceDatabase]) -> str:
    """What an administrator runs once: each role may enter its own database only."""
    lines = []
    for database in databases.values():
        lines += [
            f"CREATE ROLE {database.name} LOGIN PASSWORD '{database.password}';",
            f"CREATE DATABASE {database.name} OWNER {database.name} ENCODING 'UTF8' TEMPLATE template0;",
            f"REVOKE ALL ON DATABASE {database.name} FROM PUBLIC;",
        ]
    return "\n".join(lines) + "\n"
