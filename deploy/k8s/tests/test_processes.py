"""A process that starts as a Deployment starts it, on the manifests' settings, answers the kubelet from the first."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from support.manifest_settings import environ_of
from support.manifests import Run, overlay, runs, serving

from gongji_local.clock import wait_until
from gongji_local.ports import free_port
from kit.grpc_probes import LIVENESS, READINESS, STARTUP

LOOPBACK = "127.0.0.1"
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


SERVES = serving(overlay("prod"), "identity")
LOOKS = next(run for run in runs(overlay("prod")) if run.owner == "Deployment identity, schema")


class Waiting:
    """A container of identity without its database."""

    def __init__(self, folder: Path, run: Run) -> None:
        environ = environ_of(run, folder)
        self.probes = f"{LOOPBACK}:{free_port(None, ())}"
        environ |= {"GONGJI_GRPC_ADDRESS": f"{LOOPBACK}:0", "GONGJI_HTTP_ADDRESS": f"{LOOPBACK}:0"}
        environ["GONGJI_PROBE_ADDRESS"] = self.probes
        # Nobody listens at port 1.
        url = environ["GONGJI_DATABASE_URL"].replace("identity-database-rw:5432", f"{LOOPBACK}:1")
        environ["GONGJI_DATABASE_URL"] = url.replace("=/etc/", f"={folder}/etc/")
        self.log = folder / "log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", run.service, *run.arguments],
                env=environ | {"PATH": os.environ["PATH"]},
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def answer(self, question: str) -> int | None:
        with grpc.insecure_channel(self.probes) as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            try:
                return int(stub.Check(health_pb2.HealthCheckRequest(service=question), timeout=2).status)
            except grpc.RpcError:
                return None


@pytest.fixture
def waiting(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Waiting]:
    waiting = Waiting(tmp_path, request.param)
    yield waiting
    waiting.process.kill()
    waiting.process.wait()


@pytest.mark.parametrize("waiting", [SERVES], indirect=True, ids=["serves"])
def test_a_process_that_waits_for_its_database_is_live_and_ends_when_it_is_told(waiting: Waiting) -> None:
    assert wait_until(lambda: waiting.answer(LIVENESS) is not None or waiting.process.poll() is not None, 60)
    answers = [waiting.answer(each) for each in (LIVENESS, STARTUP, READINESS)]
    assert answers == [SERVING, NOT_SERVING, NOT_SERVING], waiting.log.read_text()
    waiting.process.send_signal(signal.SIGTERM)
    assert waiting.process.wait(30) == 0
    assert '"stopped"' in waiting.log.read_text()


@pytest.mark.parametrize("waiting", [LOOKS], indirect=True, ids=["looks"])
def test_a_pod_that_waits_for_its_migration_says_what_for_and_ends_when_it_is_told(waiting: Waiting) -> None:
    why = f"waiting: PostgreSQL at {LOOPBACK}:1 does not answer (connection refused)"
    assert wait_until(lambda: why in waiting.log.read_text() or waiting.process.poll() is not None, 60)
    assert waiting.process.poll() is None, waiting.log.read_text()
    waiting.process.send_signal(signal.SIGTERM)
    assert waiting.process.wait(30) == 128 + signal.SIGTERM
    assert "Traceback" not in waiting.log.read_text()
