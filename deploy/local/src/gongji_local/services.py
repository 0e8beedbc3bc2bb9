"""The four services as processes: what they are told, how they start, when they are ready, how they end."""

import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from hashlib import sha256
from pathlib import Path
from typing import Final

from gongji_local.certificates import TRUST_DOMAIN, Certificates
from gongji_local.clock import wait_until
from gongji_local.diagnosis import LogTail, explain_end, explain_silence, no_room
from gongji_local.errors import StackError
from gongji_local.keys import Keys
from gongji_local.ports import LOOPBACK, free_port
from gongji_local.processes import Command, is_alive, owns_port, run, send, spawn, stop
from gongji_local.readiness import Probe, ask
from gongji_local.state import StateBook
from kit.kafka_client import KafkaAddress

SERVICES: Final = ("identity", "binding", "settlement", "notify")
ENCRYPTING_SERVICES: Final = SERVICES
START_TIMEOUT_SECONDS: Final = 120.0
STOP_TIMEOUT_SECONDS: Final = 30.0
MIGRATE_TIMEOUT_SECONDS: Final = 120.0
COMMAND_TIMEOUT_SECONDS: Final = 300.0
GRPC: Final = "grpc"
HTTP: Final = "http"
# What this shell happens to have set for something else must not reach a service
STRIPPED_PREFIXES: Final = ("GONGJI_", "DATABASE_URL", "KAFKA_BOOTSTRAP")

Launcher = Callable[[str, str], Sequence[str]]


def python_module(service: str, action: str) -> Sequence[str]:
    """`python -m binding serve`, with this very Python."""
    return (sys.executable, "-m", service, action)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a service needs to know about the rest of the stack."""

    database_url: str
    kafka: KafkaAddress


class ServiceProcesses:
    """Starts, probes and ends the services of one state folder."""

    def __init__(self, book: StateBook, environ: Mapping[str, str], launcher: Launcher = python_module) -> None:
        self._book = book
        self._environ = environ
        self._launcher = launcher

    def migrate(self, service: str, database_url: str) -> None:
        """Brings the service's database to the newest schema."""
        log = self._book.folder.log_of(f"{service}-migrate")
        environ = {**self._inherited(), "GONGJI_ENVIRONMENT": "local", "GONGJI_DATABASE_URL": database_url}
        finished = run(Command(self._launcher(service, "migrate"), environ), MIGRATE_TIMEOUT_SECONDS)
        log.write_text(finished.stdout)
        if finished.returncode != 0:
            raise no_room(f"the migration of {service}", finished.stdout, log) or StackError(
                f"The migration of {service} failed. Its last lines:\n{LogTail(log, 0).last_lines()}\n",
                f"The whole output is {log}; correct the migration, then run `gongji-local up` again.",
            )

    def command(
        self,
        service: str,
        surroundings: Surroundings,
        action: str,
        arguments: Sequence[str],
        extra: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Runs one of the service's other commands to its end, such as `audit`, told what `serve` is told."""
        environ = {**self._inherited(), **self.settings(service, surroundings), **(extra or {})}
        return run(Command((*self._launcher(service, action), *arguments), environ), COMMAND_TIMEOUT_SECONDS)

    def choose_ports(self, services: Sequence[str]) -> None:
        """Gives every service that does not run its ports, before any is told of another's."""
        for service in services:
            if not self.is_alive(service):
                self._choose_ports(service)

    def start(self, service: str, surroundings: Surroundings, extra: Mapping[str, str] | None = None) -> None:
        """Starts the service if it does not run; it is not ready yet when this returns."""
        if self.is_alive(service):
            return
        self.choose_ports((service,))
        settings = {**self.settings(service, surroundings), **(extra or {})}
        command = Command(self._launcher(service, "serve"), {**self._inherited(), **settings})
        process = spawn(command, self._book.folder.log_of(service))
        self._book.put_process(service, replace(process, settings_mark=_mark(settings)))

    def runs_on_other_settings(self, service: str, surroundings: Surroundings) -> bool:
        """Whether the service runs and was told something else than it would be told now, such as another port."""
        process = self._book.read().processes.get(service)
        if process is None or not is_alive(process):
            return False
        return process.settings_mark != _mark(self.settings(service, surroundings))

    def wait_ready(self, service: str) -> None:
        """Returns when `/readyz` says yes and nothing is degraded; tells why when the process ends or stays silent."""
        process = self._book.read().processes.get(service)
        if process is None:
            raise StackError(f"{service} was not started.", "Run `gongji-local up`.")
        tail = LogTail(self._book.folder.log_of(service), process.log_start_bytes)
        in_time = wait_until(lambda: not is_alive(process) or self.probe(service).well, START_TIMEOUT_SECONDS)
        if not is_alive(process):
            self._book.forget_process(service)
            raise explain_end(service, process, tail, (self.port(service, GRPC), self.port(service, HTTP)))
        if not in_time:
            probe = self.probe(service)
            raise explain_silence(service, tail, START_TIMEOUT_SECONDS, probe.why or probe.warning)

    def stop(self, service: str) -> bool:
        """Lets the service drain and end; whether there was anything to end."""
        process = self._book.read().processes.get(service)
        alive = is_alive(process)
        stop(process, signal.SIGTERM, STOP_TIMEOUT_SECONDS)
        self._book.forget_process(service)
        return alive

    def kill(self, service: str, signal_number: int) -> None:
        """Sends a signal; after SIGKILL it returns when the process is gone."""
        process = self._book.read().processes.get(service)
        if not send(process, signal_number):
            raise StackError(f"{service} does not run.", "Start it with `gongji-local up` first.")
        if signal_number == signal.SIGKILL:
            wait_until(lambda: not is_alive(process), STOP_TIMEOUT_SECONDS)

    def is_alive(self, service: str) -> bool:
        """Whether our own process of that service runs."""
        return is_alive(self._book.read().processes.get(service))

    def probe(self, service: str) -> Probe:
        """What our own process's `/readyz` answers; a stranger's at the same port does not count."""
        port = self.port(service, HTTP)
        if not owns_port(self._book.read().processes.get(service), port):
            return Probe(ready=False, why=f"it does not listen on {LOOPBACK}:{port}")
        return ask(port)

    def port(self, service: str, kind: str) -> int:
        """The service's port for gRPC or HTTP; 0 where it never ran."""
        return self._book.read().ports.get(f"{service}-{kind}", 0)

    def address(self, service: str, kind: str) -> str:
        """`host:port`; empty before the first start."""
        port = self.port(service, kind)
        return f"{LOOPBACK}:{port}" if port else ""

    def _choose_ports(self, service: str) -> None:
        for kind in (GRPC, HTTP):
            name = f"{service}-{kind}"
            ports = self._book.read().ports
            taken = {port for other, port in ports.items() if other != name}
            self._book.put_port(name, free_port(ports.get(name), taken))

    def _inherited(self) -> dict[str, str]:
        return {name: value for name, value in self._environ.items() if not name.startswith(STRIPPED_PREFIXES)}

    def settings(self, service: str, surroundings: Surroundings) -> dict[str, str]:
        """The variables that the service reads."""
        folder = self._book.folder
        certificates, keys = Certificates(folder.tls), Keys(folder.secrets)
        own = certificates.service(service)
        settings: dict[str, str | Path] = {
            "ENVIRONMENT": "local",
            "TRUST_DOMAIN": TRUST_DOMAIN,
            "GRPC_ADDRESS": f"{LOOPBACK}:{self.port(service, GRPC)}",
            "HTTP_ADDRESS": f"{LOOPBACK}:{self.port(service, HTTP)}",
            "TLS_CERT_FILE": own.cert,
            "TLS_KEY_FILE": own.key,
            "INSTITUTION_CA_FILE": certificates.institutions.file,
            "SERVICE_CA_FILE": certificates.services.file,
            "DATABASE_URL": surroundings.database_url,
            **_kafka_settings(surroundings.kafka),
            "CLOCK_OFFSET_FILE": folder.clock_offset_file,
            "JWKS_FILE": keys.jwks(),
            **_own_settings(service, keys, self.port("binding", GRPC)),
            **({"SMS_DIRECTORY": folder.sms} if service == "notify" else {}),
        }
        return {f"GONGJI_{name}": str(value) for name, value in settings.items()}


def _kafka_settings(kafka: KafkaAddress) -> dict[str, str | Path]:
    """Of an address without files, the bootstrap alone."""
    return {field.name.upper(): value for field in fields(kafka) if (value := getattr(kafka, field.name)) is not None}


def _mark(settings: Mapping[str, str]) -> str:
    return sha256(repr(sorted(settings.items())).encode()).hexdigest()


def _own_settings(service: str, keys: Keys, binding_port: int) -> dict[str, str | Path]:
    """What not every service needs: a key that a service does not use is not handed to it."""
    settings: dict[str, str | Path] = {}
    if service in ENCRYPTING_SERVICES:
        settings["KEYRING_FILE"] = keys.keyring(service)
    if service in {"identity", "settlement"}:
        settings["CREDENTIAL_KEYRING_FILE"] = keys.credential_keyring()
    if service in {"identity", "notify"}:
        settings["CODE_KEYRING_FILE"] = keys.code_keyring()
    if service == "settlement":
        settings["BINDING_TARGET"] = f"{LOOPBACK}:{binding_port}"
        settings["SEAL_EVERY_SECONDS"] = "1"  # who looks at the books wants to see them sealed
    if service == "notify":  # receivers are programs on this machine
        settings["WEBHOOK_NETWORKS"] = "127.0.0.0/8"
        settings["WEBHOOK_PORTS"] = "1-65535"
        settings["WEBHOOK_HTTP"] = "true"
        settings["WEBHOOK_TIMEOUT_SECONDS"] = "5"
    if service == "binding":
        settings["JOBS_EVERY_SECONDS"] = "1"  # who moves the clock wants to see what becomes due
    return settings
