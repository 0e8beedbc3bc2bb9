"""The kubelet asks over plain gRPC, from a thread of its own, and hears what `/readyz` and `/livez` say."""

import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health as grpc_health
from grpc_health.v1 import health_pb2, health_pb2_grpc

from kit.grpc_probes import LIVENESS, READINESS, STARTUP, GrpcProbes, add_probes
from kit.health import Health
from kit.lifecycle import Application
from kit.probes import CannotListen

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@dataclass
class Settings:
    http_address: str = "127.0.0.1:0"
    probe_address: str | None = None


@pytest.fixture
def health() -> Health:
    return Health()


@pytest.fixture
async def probes(health: Health) -> AsyncIterator[GrpcProbes]:
    probes = GrpcProbes("127.0.0.1:0", health)
    await probes.start()
    yield probes
    await probes.stop()


def asked(probes: GrpcProbes, question: str) -> int:
    # Deliberately on the loop's thread: the answer must come although the loop does not turn.
    with grpc.insecure_channel(f"127.0.0.1:{probes.port}") as channel:
        request = health_pb2.HealthCheckRequest(service=question)
        stub: Any = health_pb2_grpc.HealthStub(channel)
        return int(stub.Check(request, timeout=5).status)


async def test_a_process_that_starts_is_live_and_neither_started_nor_ready(probes: GrpcProbes, health: Health) -> None:
    health.set("process", False, "starting")
    assert [asked(probes, each) for each in (STARTUP, READINESS, LIVENESS)] == [NOT_SERVING, NOT_SERVING, SERVING]


async def test_readiness_follows_what_calls_need(probes: GrpcProbes, health: Health) -> None:
    health.set("database", True)
    assert asked(probes, READINESS) == SERVING
    health.set("consumer", False, "Kafka does not answer", serving=False)
    assert asked(probes, READINESS) == SERVING
    health.set("database", False, "TimeoutError when asked")
    assert (asked(probes, READINESS), asked(probes, LIVENESS)) == (NOT_SERVING, SERVING)


async def test_what_only_a_restart_helps_against_ends_liveness(probes: GrpcProbes, health: Health) -> None:
    health.set("relay", False, "ended", vital=True)
    assert asked(probes, LIVENESS) == NOT_SERVING


async def test_a_hung_loop_ends_liveness(probes: GrpcProbes, health: Health) -> None:
    health._limit_seconds = -1
    assert asked(probes, LIVENESS) == NOT_SERVING


async def test_once_started_is_started_also_while_the_process_stops(probes: GrpcProbes, health: Health) -> None:
    health.say_started()
    health.set("process", False, "stopping")
    assert (asked(probes, STARTUP), asked(probes, READINESS)) == (SERVING, NOT_SERVING)


async def test_it_answers_beside_the_server_of_the_event_loop(probes: GrpcProbes, health: Health) -> None:
    server = grpc.aio.server()
    servicer = grpc_health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    health.set("process", True)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        for _ in range(20):
            assert asked(probes, READINESS) == SERVING
            assert (await stub.Check(health_pb2.HealthCheckRequest(), timeout=5)).status == SERVING
    await server.stop(None)


@pytest.mark.parametrize("question", ["", "gongji.binding.v1.ReviewService", "ready", "STARTUP"])
async def test_another_question_is_not_answered_with_well(probes: GrpcProbes, question: str) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        asked(probes, question)
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND
    assert "startup, readiness, liveness" in str(refused.value.details())


@pytest.mark.parametrize(
    "path", ["/grpc.health.v1.Health/Watch", "/gongji.identity.v1.PersonService/GetPerson", "/no/method"]
)
async def test_nothing_else_is_served_without_a_certificate(probes: GrpcProbes, path: str) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{probes.port}") as channel:
        call: Any = channel.unary_stream(path)
        with pytest.raises(grpc.RpcError) as refused:
            list(call(b"", timeout=5))
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_an_address_that_is_taken_is_named_with_the_next_step() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(CannotListen, match=f"gRPC probes on {address}.*another process"):
            await GrpcProbes(address, Health()).start()


async def test_after_stopping_nobody_is_answered_and_the_address_is_free(probes: GrpcProbes, health: Health) -> None:
    port = probes.port
    await probes.stop()
    await probes.stop()
    with socket.socket() as line:
        assert line.connect_ex(("127.0.0.1", port)) != 0
    again = GrpcProbes(f"127.0.0.1:{port}", health)
    await again.start()
    assert asked(again, LIVENESS) == SERVING
    await again.stop()


@pytest.mark.parametrize(("address", "parts"), [(None, ["probes"]), ("127.0.0.1:0", ["probes", "gRPC probes"])])
async def test_a_process_answers_over_grpc_where_its_settings_say_so(
    health: Health, address: str | None, parts: list[str]
) -> None:
    application = Application(health)
    add_probes(application, Settings(probe_address=address), health)
    assert [part.name for part in application._parts] == parts
