"""Probes answer over HTTP from a thread of their own."""

import http.client
import json
import socket
from collections.abc import AsyncIterator

import pytest
from prometheus_client import CollectorRegistry, Counter

from kit.health import Health
from kit.probes import CannotListen, HttpProbes


def fetch(probes: HttpProbes, path: str, method: str = "GET") -> tuple[int, bytes, str]:
    # Deliberately on the loop's thread: the answer must come although the loop does not turn.
    connection = http.client.HTTPConnection("127.0.0.1", probes.port, timeout=5)
    connection.request(method, path)
    response = connection.getresponse()
    return response.status, response.read(), response.headers["Content-Type"]


@pytest.fixture
async def probes() -> AsyncIterator[HttpProbes]:
    registry = CollectorRegistry()
    Counter("settled", "Settled.", registry=registry).inc()
    probes = HttpProbes("127.0.0.1:0", Health(), registry)
    await probes.start()
    yield probes
    await probes.stop()


async def test_readiness_lists_each_check(probes: HttpProbes) -> None:
    probes._health.set("database", True)
    probes._health.set("kafka", False, "no broker answers")
    status, body, kind = fetch(probes, "/readyz")
    told = json.loads(body)
    assert (status, kind, told["ready"]) == (503, "application/json", False)
    assert told["checks"]["kafka"]["why"] == "no broker answers"
    assert told["checks"]["database"]["ok"] is True
    probes._health.set("kafka", True)
    assert fetch(probes, "/readyz")[0] == 200


async def test_a_consumer_that_is_out_is_shown_and_calls_still_come(probes: HttpProbes) -> None:
    probes._health.set("database", True)
    probes._health.set("consumer notify", False, "Kafka does not answer: TimeoutError", serving=False)
    status, body, _kind = fetch(probes, "/readyz")
    told = json.loads(body)
    assert (status, told["ready"], told["degraded"]) == (200, True, ["consumer notify"])
    assert told["checks"]["consumer notify"]["why"] == "Kafka does not answer: TimeoutError"
    assert (told["checks"]["consumer notify"]["serving"], told["checks"]["database"]["serving"]) == (False, True)


async def test_a_hung_loop_makes_liveness_fail(probes: HttpProbes) -> None:
    assert fetch(probes, "/livez")[0] == 200
    probes._health._limit_seconds = -1
    assert fetch(probes, "/livez")[0] == 503


async def test_metrics_are_served_as_prometheus_reads_them(probes: HttpProbes) -> None:
    status, body, kind = fetch(probes, "/metrics")
    assert (status, kind.split(";")[0]) == (200, "text/plain")
    assert b"settled_total 1.0" in body


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/", 404), ("POST", "/livez", 404), ("HEAD", "/livez", 200)]
)
async def test_other_pages_and_methods_are_not_there(probes: HttpProbes, method: str, path: str, status: int) -> None:
    assert fetch(probes, path, method)[0] == status


async def test_an_address_that_is_taken_is_named_with_the_next_step() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(CannotListen, match=f"{address}.*another process"):
            await HttpProbes(address, Health()).start()


async def test_after_stopping_the_address_is_free(probes: HttpProbes) -> None:
    port = probes.port
    await probes.stop()
    again = HttpProbes(f"127.0.0.1:{port}", Health())
    await again.start()
    assert (again.port, fetch(again, "/livez")[0]) == (port, 200)
    await again.stop()
