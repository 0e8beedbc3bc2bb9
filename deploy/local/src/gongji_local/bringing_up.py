"""The order in which a stack comes up: PostgreSQL beside Kafka, then the services, each step told and timed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gongji_local.certificates import Certificates
from gongji_local.choice import Source
from gongji_local.kafka.server import ADMIN
from gongji_local.keys import Keys
from gongji_local.migrated import schema_mark
from gongji_local.parallel import in_parallel, together
from gongji_local.passwords import password_of
from gongji_local.postgres.databases import ServiceDatabase, ensure_databases, identity_of
from gongji_local.progress import Progress, told
from gongji_local.servers import Servers
from gongji_local.services import GRPC, ServiceProcesses, Surroundings
from gongji_local.source_age import runs_older_code
from gongji_local.state import StateBook, StateFolder
from gongji_local.topics import create_topics, give_rights


def database_of(folder: StateFolder, service: str) -> ServiceDatabase:
    """The service's own database and role on this stack."""
    name = f"gongji_{service}"
    return ServiceDatabase(name, password_of(folder, name))


@dataclass(frozen=True, slots=True)
class BringUp:
    """One `up` of one state folder; its lock is held by the caller."""

    book: StateBook
    servers: Servers
    processes: ServiceProcesses
    services: Sequence[str]
    progress: Progress

    def run(self) -> None:
        """Starts what does not run; ends and starts again what runs older code or on other settings than now."""
        if self._all_is_well():
            with told(self.progress, "Already running", "nothing to start"):
                return
        with told(self.progress, "Certificates and keys"):
            self._make_secrets()
        self._end_where(self._runs_older_code, "its code has changed since it was started")
        together(self._prepare_postgres, self._prepare_kafka)
        self.processes.choose_ports(self.services)
        self._end_where(self._runs_on_other_settings, "it was told of addresses that have changed")
        self.processes.choose_ports(self.services)
        in_parallel(self._start, self.services)

    def surroundings(self, service: str) -> Surroundings:
        """What the service is told about the servers."""
        return Surroundings(self.database_url(service), self.servers.kafka.client(service))

    def database_url(self, service: str) -> str:
        """The service's own database; known before Kafka is."""
        return database_of(self.book.folder, service).url(self.servers.postgres.admin_url)

    def _all_is_well(self) -> bool:
        if not (self.servers.postgres.is_ready() and self.servers.kafka.is_ready()):
            return False
        return all(self._is_well(service) for service in self.services)

    def _is_well(self, service: str) -> bool:
        outdated = self._runs_older_code(service) or self._runs_on_other_settings(service)
        return not outdated and self.processes.probe(service).well

    def _runs_older_code(self, service: str) -> bool:
        return runs_older_code(service, self.book.read().processes.get(service))

    def _runs_on_other_settings(self, service: str) -> bool:
        return self.processes.runs_on_other_settings(service, self.surroundings(service))

    def _end_where(self, is_outdated: Callable[[str], bool], why: str) -> None:
        for service in self.services:
            if is_outdated(service):
                with told(self.progress, f"Ending {service}", why):
                    self.processes.stop(service)

    def _make_secrets(self) -> None:
        certificates, keys = Certificates(self.book.folder.tls), Keys(self.book.folder.secrets)
        for name in (*self.services, "portal", "operator", "registry"):
            certificates.service(name)
        keys.jwks()
        keys.credential_keyring()

    def _prepare_postgres(self) -> None:
        self.servers.postgres.start(self.progress)
        admin_url = self.servers.postgres.admin_url
        with told(self.progress, "Databases and roles"):
            ensure_databases(admin_url, [database_of(self.book.folder, service) for service in self.services])
        marks = {service: self._schema_mark(service) for service in self.services}
        known = self.book.read().schema_marks
        outdated = [service for service in self.services if known.get(service) != marks[service]]
        with told(self.progress, "Migrations", ", ".join(outdated) or "nothing to apply"):
            in_parallel(lambda service: self._migrate(service, marks[service]), outdated)

    def _schema_mark(self, service: str) -> str:
        name = database_of(self.book.folder, service).name
        return schema_mark(service, identity_of(self.servers.postgres.admin_url, name))

    def _migrate(self, service: str, mark: str) -> None:
        self.processes.migrate(service, self.database_url(service))
        self.book.put_schema_mark(service, mark)

    def _prepare_kafka(self) -> None:
        self.servers.kafka.start(self.progress)
        admin = self.servers.kafka.client(ADMIN)
        with told(self.progress, "Topics") as step:
            step.detail = f"{create_topics(admin)} and their DLQs"
        if self.servers.choice.kafka is Source.SECURED:
            with told(self.progress, "ACLs") as step:
                step.detail = f"{give_rights(admin)} were missing"

    def _start(self, service: str) -> None:
        with told(self.progress, service) as step:
            self.processes.start(service, self.surroundings(service))
            self.processes.wait_ready(service)
            step.detail = f"gRPC {self.processes.address(service, GRPC)}"
