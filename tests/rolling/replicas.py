"""Two replicas of each service, and how one is replaced: told to stop, watched, and started again."""

import asyncio
import http.client
import json
import os
import re
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from rolling.sources import Source

from gongji_local.clock import wait_until
from gongji_local.diagnosis import LogTail
from gongji_local.ports import LOOPBACK, free_port
from gongji_local.processes import Command, ProcessRecord, exit_code, is_alive, owns_port, send, spawn
from gongji_local.readiness import ask
from gongji_local.services import SERVICES, STRIPPED_PREFIXES
from gongji_local.stack import Stack
from gongji_local.state import StateBook
from kit.clock import Elapsed
from kit.grpc_client import secure_channel

GRACE_SECONDS: Final = 30.0
"""What a process has from SIGTERM on; in Kubernetes terminationGracePeriodSeconds."""
START_SECONDS: Final = 120.0
MIN_READY_SECONDS: Final = 3.0
"""How long a replica has been ready before the next one is stopped, so that every caller has found it; in Kubernetes
minReadySeconds."""
CALLED_SECONDS: Final = 30.0
"""Within which clients have found a replica that is back."""
NUMBERS: Final = (1, 2)
_CALLS: Final = re.compile(r'^gongji_grpc_calls_total\{.*code="OK".*\} (\S+)$', re.MULTILINE)


@dataclass(slots=True)
class Replica:
    """One of the processes of a service, on ports that it keeps."""

    service: str
    number: int
    grpc_port: int
    http_port: int
    log: Path
    source: Source
    record: ProcessRecord | None = None

    @property
    def name(self) -> str:
        return f"{self.service}-{self.number}"

    @property
    def address(self) -> str:
        return f"{LOOPBACK}:{self.grpc_port}"

    def is_ready(self) -> bool:
        return owns_port(self.record, self.http_port) and ask(self.http_port).well

    def answered(self) -> float:
        """Calls that it has answered well since it was started."""
        connection = http.client.HTTPConnection(LOOPBACK, self.http_port, timeout=3)
        try:
            connection.request("GET", "/metrics")
            text = connection.getresponse().read().decode()
        except OSError:
            return 0.0
        finally:
            connection.close()
        return sum(float(value) for value in _CALLS.findall(text))

    def refused(self) -> int:
        """Calls that it refused with UNAVAILABLE since it was started: those that clients repeat elsewhere."""
        start_bytes = self.record.log_start_bytes if self.record else 0
        with self.log.open("rb") as file:
            file.seek(start_bytes)
            lines = [json.loads(line) for line in file if line.startswith(b"{") and line.endswith(b"}\n")]
        return sum(line.get("event") == "call" and line.get("code") == "UNAVAILABLE" for line in lines)


@dataclass(slots=True)
class Replacement:
    """How it went."""

    replica: str
    said_so_seconds: float = -1.0
    """From SIGTERM until its health said NOT_SERVING; negative if it never did."""
    ended_seconds: float = 0.0
    status: int | None = None
    refused: int = 0
    ready_seconds: float = 0.0
    called_seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)


class Fleet:
    """All replicas of one stack.

    Args:
        stack: whose servers, certificates and settings they have; its own services have been ended.
        source: what they run at first.
    """

    def __init__(self, stack: Stack, source: Source) -> None:
        self.stack = stack
        self._book = StateBook(stack.folder)
        self.replicas = [self._replica(service, number, source) for service in SERVICES for number in NUMBERS]

    def of(self, service: str) -> list[Replica]:
        """The replicas of one service."""
        return [each for each in self.replicas if each.service == service]

    def target(self, service: str) -> str:
        """Where clients call a service: all of its replicas, as a name of a headless service would be resolved."""
        return "ipv4:" + ",".join(each.address for each in self.of(service))

    async def start(self) -> None:
        """Start all of them, and wait until each is ready."""
        for each in self.replicas:
            self._spawn(each)
        for each in self.replicas:
            await self._until_ready(each)

    async def replace(self, replica: Replica, source: Source) -> Replacement:
        """Stop a replica as a roll-out does and start it again with this code; how that went."""
        done = Replacement(replica.name)
        await self._stop(replica, done)
        replica.source = source
        elapsed = Elapsed()
        self._spawn(replica)
        await self._until_ready(replica)
        done.ready_seconds = elapsed.seconds
        if not await asyncio.to_thread(wait_until, lambda: replica.answered() > 0, CALLED_SECONDS):
            done.wrong.append(f"nobody has called the new {replica.name} for {CALLED_SECONDS:g} s")
        done.called_seconds = elapsed.seconds
        await asyncio.sleep(MIN_READY_SECONDS)
        return done

    async def _stop(self, replica: Replica, done: Replacement) -> None:
        record = replica.record
        if record is None or not is_alive(record):
            done.wrong.append(f"{replica.name} had died before: {LogTail(replica.log, 0).last_lines()}")
            return
        async with self._farewell(replica) as farewell:
            elapsed = Elapsed()
            send(record, signal.SIGTERM)
            said = asyncio.create_task(farewell(elapsed))
            # Its status is there once its last thread has ended, a moment after it is no more.
            in_time = await asyncio.to_thread(wait_until, lambda: exit_code(record) is not None, GRACE_SECONDS)
            done.ended_seconds = elapsed.seconds
            done.said_so_seconds = await said
        done.status, done.refused = exit_code(record), replica.refused()
        if not in_time:
            done.wrong.append(f"{replica.name} still ran {GRACE_SECONDS:g} s after SIGTERM")
            send(record, signal.SIGKILL)
        elif done.status != 0:
            done.wrong.append(f"{replica.name} ended with {done.status}: {LogTail(replica.log, 0).last_lines()}")
        if done.said_so_seconds < 0:
            done.wrong.append(f"{replica.name} went without saying NOT_SERVING")

    def _farewell(self, replica: Replica) -> "_HealthOf":
        return _HealthOf(
            secure_channel(
                replica.address, self.stack.service_tls("portal"), options=[("grpc.inhibit_health_checking", 1)]
            )
        )

    def _spawn(self, replica: Replica) -> None:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(STRIPPED_PREFIXES)}
        environ = {**inherited, **replica.source.environ, **self._settings(replica)}
        replica.record = spawn(Command((sys.executable, "-m", replica.service, "serve"), environ), replica.log)
        # Noted, so that whoever removes the stack ends it.
        self._book.put_process(f"{replica.name}-{replica.record.pid}", replica.record)

    def _settings(self, replica: Replica) -> Mapping[str, str]:
        settings = self.stack.environment(replica.service)
        settings["GONGJI_GRPC_ADDRESS"] = replica.address
        settings["GONGJI_HTTP_ADDRESS"] = f"{LOOPBACK}:{replica.http_port}"
        if replica.service == "settlement":
            settings["GONGJI_BINDING_TARGET"] = self.target("binding")
        return settings

    async def _until_ready(self, replica: Replica) -> None:
        def settled() -> bool:
            return replica.is_ready() or not is_alive(replica.record)

        await asyncio.to_thread(wait_until, settled, START_SECONDS)
        if not replica.is_ready():
            raise SystemExit(f"{replica.name} did not start:\n{LogTail(replica.log, 0).last_lines()}")

    def _replica(self, service: str, number: int, source: Source) -> Replica:
        ports = self._book.read().ports
        chosen = {kind: ports[f"{service}-{kind}"] for kind in ("grpc", "http")}
        if number != NUMBERS[0]:
            chosen = {kind: self._port(f"{service}-{number}-{kind}") for kind in chosen}
        log = self.stack.folder.log_of(f"{service}-{number}")
        return Replica(service, number, chosen["grpc"], chosen["http"], log, source)

    def _port(self, name: str) -> int:
        port = free_port(None, set(self._book.read().ports.values()))
        self._book.put_port(name, port)
        return port


class _HealthOf:
    """Hears when a server says that it does not serve any more."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel

    async def __aenter__(self) -> Any:
        stub: Any = health_pb2_grpc.HealthStub(self._channel)
        self._watch = stub.Watch(health_pb2.HealthCheckRequest())
        await self._watch.read()
        return self._heard

    async def __aexit__(self, *_: object) -> None:
        await self._channel.close()

    async def _heard(self, elapsed: Elapsed) -> float:
        try:
            answer = await self._watch.read()
        except grpc.aio.AioRpcError:
            return -1.0
        is_goodbye = answer and answer.status == health_pb2.HealthCheckResponse.NOT_SERVING
        return elapsed.seconds if is_goodbye else -1.0
