"""One process of a service by itself, in surroundings that are right but for what a test makes wrong."""

import importlib
import json
import os
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from typer.testing import CliRunner

from gongji_local.certificates import Certificates
from gongji_local.clock import wait_until
from gongji_local.ports import LOOPBACK, free_port
from gongji_local.readiness import Probe, ask
from gongji_local.services import SERVICES, STRIPPED_PREFIXES, ServiceProcesses, Surroundings
from gongji_local.state import StateBook, StateFolder
from kit.grpc_probes import READINESS
from kit.kafka_client import KafkaAddress

NOWHERE: Final = f"{LOOPBACK}:1"
"""Nobody listens there: calls need no Kafka, and no other process loses a partition to this one."""
LONG_SECONDS: Final = 120.0
"""Of whatever starts, on a machine that others use as well."""
Fresh = Callable[[str], str]
"""What the fixture `service_database` is: the URL of a fresh, migrated database of a service."""
PASSWORD: Final = re.compile(r"(?<=://)([^:@/]+):([^@/]+)@")


@dataclass(frozen=True, slots=True)
class Process:
    """A process that was started, and what it has said so far."""

    popen: "subprocess.Popen[bytes]"
    log: Path
    http_port: int
    probe_port: int

    def ended(self) -> int:
        """The exit status; waits for the end."""
        return self.popen.wait(LONG_SECONDS)

    def stopped(self) -> int:
        """The exit status after SIGTERM."""
        self.popen.send_signal(signal.SIGTERM)
        return self.ended()

    def lines(self) -> list[dict[str, Any]]:
        """The lines of its log; gRPC's core writes others to standard error."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]

    def errors(self) -> list[dict[str, Any]]:
        """The lines at level error."""
        return [line for line in self.lines() if line["level"] in {"error", "critical"}]

    def the_one_error(self) -> dict[str, Any]:
        """The only line at level error; no traceback is anywhere."""
        (line,) = self.errors()
        assert "Traceback" not in self.log.read_text()
        return line

    def refusal(self, status: int) -> tuple[str, str]:
        """At what it ended and why, which is the one line of its log."""
        assert self.ended() == status, self.log.read_text()
        line = self.the_one_error()
        assert line["event"] == "start failed"
        assert len(self.log.read_text().splitlines()) == 1
        return line["part"], line["why"]

    def readyz(self) -> Probe:
        """What `/readyz` answers."""
        return ask(self.http_port)

    def says(self, condition: Callable[[Probe], bool]) -> Probe:
        """The first answer of `/readyz` that meets the condition; waits for it."""
        found: list[Probe] = []

        def asked() -> bool:
            found.append(self.readyz())
            return condition(found[-1]) or self.popen.poll() is not None

        assert wait_until(asked, LONG_SECONDS), found[-1]
        assert condition(found[-1]), self.log.read_text()
        return found[-1]

    def is_ready_for_the_kubelet(self) -> bool:
        """What the gRPC probe answers."""
        with grpc.insecure_channel(f"{LOOPBACK}:{self.probe_port}") as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            answer = stub.Check(health_pb2.HealthCheckRequest(service=READINESS), timeout=10)
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    def metric(self, name: str) -> float:
        """A figure of `/metrics` that has no labels."""
        import urllib.request

        with urllib.request.urlopen(f"http://{LOOPBACK}:{self.http_port}/metrics", timeout=10) as answer:
            page = answer.read().decode()
        return float(re.search(rf"^{name} (\S+)$", page, re.MULTILINE)[1])  # type: ignore[index]


class Ground:
    """Where processes are started: certificates and keys of their own, in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = StateFolder(folder)
        self.folder.create()
        self.certificates = Certificates(self.folder.tls)
        self._told = ServiceProcesses(StateBook(self.folder), {})
        self._told.choose_ports(SERVICES)
        self._started = 0

    def environment(self, service: str, database_url: str = f"postgresql://a:b@{NOWHERE}/c") -> dict[str, str]:
        """What a service is told that has this database and no Kafka."""
        passed = {name: value for name, value in os.environ.items() if not name.startswith(STRIPPED_PREFIXES)}
        settings = self._told.settings(service, Surroundings(database_url, KafkaAddress(NOWHERE)))
        own = {f"GONGJI_{name}": f"{LOOPBACK}:{free_port(None, ())}" for name in ("GRPC_ADDRESS", "HTTP_ADDRESS")}
        return passed | settings | own | {"GONGJI_PROBE_ADDRESS": f"{LOOPBACK}:{free_port(None, ())}"}

    def checked(self, service: str, environment: Mapping[str, str]) -> tuple[int, list[str]]:
        """The status of `config --check --offline`, and its lines; in this process, which has loaded all of it."""
        app = importlib.import_module(f"{service}.cli").app
        done = CliRunner().invoke(app, ["config", "--check", "--offline"], env=environment)
        return done.exit_code, done.output.splitlines()

    @contextmanager
    def started(
        self, service: str, environment: Mapping[str, str], *, clock: Path | None = None, most_bytes: int | None = None
    ) -> Iterator[Process]:
        """The process as long as the block lasts.

        Args:
            service: its name.
            environment: see `environment`.
            clock: a file with seconds by which the process believes its computer's clock to be ahead.
            most_bytes: how long any file may become that it writes, its log among them.
        """
        shifted = () if clock is None else ("support.shifted_clock", str(clock))
        self._started += 1
        log = self.folder.root / f"{service}-{self._started}.log"
        with log.open("wb") as output:
            popen = subprocess.Popen(  # noqa: S603 - a service of this checkout
                [sys.executable, "-m", *shifted, service, "serve"],
                env=dict(environment),
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=Path(__file__).parent.parent,
                preexec_fn=None if most_bytes is None else lambda: _bound(most_bytes),  # noqa: PLW1509 - one system call
            )
        ports = [int(environment[f"GONGJI_{name}_ADDRESS"].rpartition(":")[2]) for name in ("HTTP", "PROBE")]
        try:
            yield Process(popen, log, *ports)
        finally:
            popen.kill()
            popen.wait()


def _bound(most_bytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))
