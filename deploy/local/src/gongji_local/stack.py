"""The local stack: one object to bring it up, look at it, disturb it and take it down."""

import os
import signal
import subprocess
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gongji_local.blocking import run_blocking
from gongji_local.bringing_up import BringUp
from gongji_local.certificates import Authority, CertificateFiles, Certificates
from gongji_local.choice import NOTHING_NAMED, Named, choose
from gongji_local.clock import MovableClock
from gongji_local.diagnosis import LogTail
from gongji_local.endings import ended_words
from gongji_local.errors import StackError
from gongji_local.info import NOT_STARTED, ProcessStatus, ServiceInfo, StackInfo
from gongji_local.kafka.server import ADMIN
from gongji_local.keys import Keys, default_roles
from gongji_local.parallel import in_parallel
from gongji_local.processes import ProcessRecord
from gongji_local.progress import SILENT, Progress, told
from gongji_local.quiesce import quiesce
from gongji_local.refusals import DRIVER_ERRORS, explained
from gongji_local.servers import Server, Servers, decide, recorded_choice, remember, servers_of
from gongji_local.services import (
    ENCRYPTING_SERVICES,
    GRPC,
    HTTP,
    SERVICES,
    Launcher,
    ServiceProcesses,
    python_module,
)
from gongji_local.sms import Message, SmsFolder
from gongji_local.state import StateBook, StateFolder, StateLock, default_state
from gongji_local.topics import readers_of

if TYPE_CHECKING:
    from kit.grpc_client import TlsFiles

KAFKA: Final = "kafka"
POSTGRES: Final = "postgres"


class Stack:
    """PostgreSQL, Kafka and the four services of one state folder.

    Every method is plain (not async) and raises StackError, which says what is wrong and what to do next. Beneath a
    running event loop, call what takes long in a thread: `await asyncio.to_thread(stack.quiesce, 30)`.
    """

    def __init__(
        self,
        state: Path | None = None,
        *,
        named: Named = NOTHING_NAMED,
        environ: Mapping[str, str] | None = None,
        services: Sequence[str] = SERVICES,
        launcher: Launcher = python_module,
    ) -> None:
        self.environ = dict(os.environ if environ is None else environ)
        self.launcher = launcher
        self.folder = StateFolder((state or default_state(self.environ)).absolute())
        self._book = StateBook(self.folder)
        self._lock = StateLock(self.folder)
        self._named = named
        self._services = tuple(services)
        self._processes = ServiceProcesses(self._book, self.environ, launcher)
        self._clock = MovableClock(self.folder.clock_offset_file)

    # up and down

    def up(self, progress: Progress = SILENT) -> StackInfo:
        """Brings up everything that is not, and returns when each part is ready."""
        with self._changing():
            self._bring_up(self._decided(), progress).run()
            return self.info

    def down(self, progress: Progress = SILENT) -> list[str]:
        """Ends what this state folder started, and nothing else; the names of what was ended."""
        with self._changing():
            servers = self._servers()
            ended = in_parallel(lambda service: self._end_service(service, progress), self._services)
            ended.append(_end_server(KAFKA, servers.kafka, servers, progress))
            ended.append(_end_server(POSTGRES, servers.postgres, servers, progress))
            return [name for name in ended if name]

    def wipe(self, progress: Progress = SILENT) -> None:
        """Takes the stack down and deletes its data, keys and logs."""
        self.down(progress)
        with self._changing(), told(progress, "Deleting the state", str(self.folder.root)):
            servers = self._servers()
            servers.kafka.wipe()
            servers.postgres.wipe()
            self.folder.remove()

    # what there is

    @property
    def info(self) -> StackInfo:
        """Addresses and files; valid once `up` was called."""
        servers, folder = self._servers(), self.folder
        certificates, keys = Certificates(folder.tls), Keys(folder.secrets)
        bring_up = self._bring_up(servers, SILENT)
        return StackInfo(
            postgres_admin_url=servers.postgres.admin_url,
            kafka=servers.kafka.client(ADMIN),
            services={service: self._service_info(service) for service in self._services},
            database_urls={service: bring_up.database_url(service) for service in self._services},
            tls_dir=folder.tls,
            institution_ca_file=certificates.institutions.file,
            service_ca_file=certificates.services.file,
            clock_offset_file=folder.clock_offset_file,
            jwks_file=keys.jwks(),
            credential_keyring_file=keys.credential_keyring(),
            keyring_files={service: keys.keyring(service) for service in ENCRYPTING_SERVICES},
        )

    def status(self) -> list[ProcessStatus]:
        """Each process as it is now: is it alive, is it ours, does it answer."""
        servers = self._servers()
        named: list[tuple[str, Server]] = [(POSTGRES, servers.postgres), (KAFKA, servers.kafka)]
        return [
            *in_parallel(lambda pair: self._server_status(pair[0], pair[1]), named),
            *in_parallel(self._service_status, self._services),
        ]

    def log_file(self, name: str) -> Path:
        """The log of a service, of `postgres` or of `kafka`."""
        known = (*self._services, POSTGRES, KAFKA)
        path = self.folder.log_of(name)
        if name not in known:
            raise StackError(f"There is no process called {name}.", f"Choose from {', '.join(known)}.")
        if not path.exists():
            raise StackError(f"{name} has not written a log yet.", "Start it with `gongji-local up`.")
        return path

    # parts, one by one

    def start_postgres(self) -> str:
        """Starts PostgreSQL alone and returns the administrator's URL."""
        with self._changing():
            servers = self._decided()
            servers.postgres.start()
            return servers.postgres.admin_url

    def stop_postgres(self) -> None:
        """Ends PostgreSQL; refuses when it is not the stack's own."""
        with self._changing():
            servers = self._servers()
            servers.require_ours(POSTGRES)
            servers.postgres.stop()

    def start_kafka(self) -> str:
        """Starts Kafka alone and returns `host:port`; topics and ACLs are the caller's."""
        with self._changing():
            servers = self._decided()
            servers.kafka.start()
            return servers.kafka.bootstrap

    def stop_kafka(self) -> None:
        """Ends Kafka; refuses when it is not the stack's own."""
        with self._changing():
            servers = self._servers()
            servers.require_ours(KAFKA)
            servers.kafka.stop()

    def start_service(self, name: str, extra: Mapping[str, str] | None = None) -> None:
        """Starts one service on its former ports and returns when it is ready.

        Args:
            name: the service.
            extra: environment variables for this run, over the stack's own.
        """
        with self._changing():
            surroundings = self._bring_up(self._servers(), SILENT).surroundings(name)
            self._processes.start(name, surroundings, extra)
            self._processes.wait_ready(name)

    def stop_service(self, name: str) -> None:
        """Lets one service drain and end."""
        with self._changing():
            self._processes.stop(name)

    def kill_service(self, name: str, signal_number: int = signal.SIGKILL) -> None:
        """Sends a signal to one service; after SIGKILL it returns when the process is gone."""
        self._processes.kill(name, signal_number)

    def run_command(
        self, name: str, action: str, *arguments: str, environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Runs a service's command to its end, such as `settlement audit` or `notify dlq list`.

        `environment` goes before what the service is told. The exit status and what was printed are for the caller to
        judge.
        """
        surroundings = self._bring_up(self._servers(), SILENT).surroundings(name)
        return self._processes.command(name, surroundings, action, arguments, environment)

    def environment(self, name: str) -> dict[str, str]:
        """What a service of this stack is told, secrets included: for running its commands by hand."""
        if name not in self._services:
            raise StackError(f"There is no service called {name}.", f"Choose from {', '.join(self._services)}.")
        if not self._processes.address(name, GRPC):
            raise StackError(f"{name} was never started here, so it has no addresses.", "Run `gongji-local up` first.")
        surroundings = self._bring_up(self._servers(), SILENT).surroundings(name)
        return self._processes.settings(name, surroundings)

    def wait_ready(self, name: str) -> None:
        """Returns when the service's `/readyz` says yes and nothing of it is degraded."""
        self._processes.wait_ready(name)

    # identities

    def institution_tls(self, fixmedins_code: str) -> "TlsFiles":
        """What an institution's HIS shows and whom it believes."""
        self.folder.create()
        certificates = Certificates(self.folder.tls)
        return _tls(certificates.institution(fixmedins_code), certificates.services)

    def service_tls(self, name: str) -> "TlsFiles":
        """What a service, the portal, the operators' console or the registry shows and whom it believes."""
        self.folder.create()
        certificates = Certificates(self.folder.tls)
        return _tls(certificates.service(name), certificates.services)

    def kafka_tls(self, user: str) -> "TlsFiles":
        """What a user of Kafka shows and whom it believes, where Kafka is the secured one."""
        self.folder.create()
        certificates = Certificates(self.folder.tls)
        return _tls(certificates.kafka_user(user), certificates.kafka)

    def assertion(
        self,
        subject: str,
        *,
        audience: str,
        roles: Sequence[str] = (),
        consent: Mapping[str, str] | None = None,
        psn_no: str = "",
    ) -> str:
        """A signed statement for `x-gongji-assertion`, good for five minutes of the services' time.

        Args:
            subject: `psn:<psn_no>` or `clerk:<name>`.
            audience: the service it is shown to.
            roles: default `citizen` for a person, `handler` for a clerk.
            consent: what the person agrees to with it: `application_id` and `pledge_sha256`.
            psn_no: a clerk's own person number, so that services know which applications the clerk is a party to.
        """
        self.folder.create()
        chosen = tuple(roles) or default_roles(subject)
        return Keys(self.folder.secrets).assertion(subject, chosen, audience, self.now(), consent, psn_no=psn_no)

    def sms(self) -> list[Message]:
        """What notify sent to telephones, newest first."""
        return SmsFolder(self.folder.sms).newest_first()

    def code_of(self, verification_id: str, timeout_seconds: float = 30.0) -> str:
        """The one-time code that went to a telephone; waits for it."""
        return SmsFolder(self.folder.sms).wait_for(verification_id, timeout_seconds).code

    # time, and being done

    def now(self) -> datetime:
        """The services' present, aware, UTC."""
        return self._clock.now()

    def move_clock(self, to: datetime) -> None:
        """Lets the services' present be `to` (aware)."""
        self.folder.create()
        self._clock.move(to)

    def reset_clock(self) -> None:
        """Lets the services' present be the computer's again."""
        self._clock.reset()

    def quiesce(self, timeout_seconds: float = 30.0, *, without: Collection[str] = ()) -> None:
        """Returns when every outbox is empty and every consumer group, `without` these, has read to the end."""
        info, readers = self.info, [reader for reader in readers_of(self._services) if reader.group not in without]
        run_blocking(lambda: quiesce(info.database_urls, info.kafka, readers, timeout_seconds))

    # inside

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Holds the state's lock; what the operating system or a server refuses meanwhile is put into a sentence."""
        try:
            with self._lock.held():
                yield
        except DRIVER_ERRORS as error:
            raise explained(error, self._book) from error

    def _decided(self) -> Servers:
        choice = decide(self._book, self.environ, self._named)
        remember(self._book, choice)
        return servers_of(self._book, self.environ, choice)

    def _servers(self) -> Servers:
        choice = recorded_choice(self._book) or choose(self.environ, self._named)
        return servers_of(self._book, self.environ, choice)

    def _bring_up(self, servers: Servers, progress: Progress) -> BringUp:
        return BringUp(self._book, servers, self._processes, self._services, progress)

    def _service_info(self, service: str) -> ServiceInfo:
        process = self._book.read().processes.get(service)
        return ServiceInfo(
            self._processes.address(service, GRPC),
            self._processes.address(service, HTTP),
            process.pid if process else None,
        )

    def _service_status(self, service: str) -> ProcessStatus:
        process = self._book.read().processes.get(service)
        address = self._processes.address(service, GRPC)
        if process is None:
            return ProcessStatus(service, address, None, alive=False, ready=False, why=NOT_STARTED)
        if not self._processes.is_alive(service):
            return ProcessStatus(service, address, None, alive=False, ready=False, why=self._ended(service, process))
        probe = self._processes.probe(service)
        return ProcessStatus(
            service, address, process.pid, alive=True, ready=probe.ready, why=probe.why, warning=probe.warning
        )

    def _server_status(self, name: str, server: Server) -> ProcessStatus:
        process = self._book.read().processes.get(name)
        alive, ready = server.is_alive(), server.is_ready()
        return ProcessStatus(
            name,
            server.address(),
            process.pid if process is not None and alive else None,
            alive=alive,
            ready=ready,
            why="" if ready else self._why_not_ready(name, process, alive=alive),
        )

    def _why_not_ready(self, name: str, process: ProcessRecord | None, *, alive: bool) -> str:
        if alive:
            return f"process {process.pid} runs and does not answer" if process else "does not answer"
        return self._ended(name, process) if process else NOT_STARTED

    def _ended(self, name: str, process: ProcessRecord) -> str:
        return ended_words(process, LogTail(self.folder.log_of(name), process.log_start_bytes))

    def _end_service(self, service: str, progress: Progress) -> str:
        if not self._processes.is_alive(service):
            self._processes.stop(service)  # forgets a process that is gone
            return ""
        with told(progress, f"Ending {service}"):
            self._processes.stop(service)
        return service


def _end_server(name: str, server: Server, servers: Servers, progress: Progress) -> str:
    if not (servers.is_ours(name) and server.is_alive()):
        server.stop()
        return ""
    with told(progress, f"Ending {name}"):
        server.stop()
    return name


def _tls(files: CertificateFiles, believed: Authority) -> "TlsFiles":
    from kit.grpc_client import TlsFiles  # noqa: PLC0415 - commands that call nobody need no gRPC

    return TlsFiles(cert=files.cert, key=files.key, ca=believed.file)
