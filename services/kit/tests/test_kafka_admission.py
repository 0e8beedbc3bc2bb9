"""Who is refused at the start is not ready; who was let in once stays so; a Kafka that is away refuses nobody."""

from collections.abc import Sequence

import pytest
import structlog
from aiokafka.errors import (  # type: ignore[import-untyped]
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    KafkaConnectionError,
    TopicAuthorizationFailedError,
)

from kit.bus_metrics import REFUSED
from kit.checking import Finding
from kit.health import Health
from kit.kafka_admission import NAME, Admission
from kit.kafka_client import KafkaAddress
from kit.kafka_reach import Unreachable
from kit.kafka_refusals import refusal
from kit.kafka_rights import Operation

READ_MISSING = Finding("topic account-events-v1", fault="no ACL allows CN=notify to READ", refused=True)
NOT_THERE = Finding("topic account-events-v1", fault="is not there; python -m kit topics create")
RIGHT = Finding("topic account-events-v1", note="6 partitions, READ")


class Bench:
    """An admission whose brokers say what they are told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.gone: Unreachable | None = None
        self.says: Sequence[Finding] | Exception = [RIGHT]
        self.health = Health()
        self.health.set("process", True)
        monkeypatch.setattr("kit.kafka_admission.unreachable", self._unreachable)
        monkeypatch.setattr("kit.kafka_admission.permitted", self._permitted)
        consumed = {"notify": ["account-events-v1"]}
        self.admission = Admission(KafkaAddress("k:9093"), "notify", consumed, self.health)

    async def _unreachable(self, *_settings: object) -> Unreachable | None:
        return self.gone

    async def _permitted(self, *_asked: object) -> Sequence[Finding]:
        if isinstance(self.says, Exception):
            raise self.says
        return self.says

    async def look(self, says: Sequence[Finding] | Exception) -> tuple[bool, list[str]]:
        self.says = says
        await self.admission.look()
        return self.health.ready(), self.health.degraded()

    @property
    def why(self) -> str:
        return self.health.checks()[NAME].why


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(monkeypatch)


async def test_who_is_refused_at_the_start_is_not_ready_until_it_is_let_in(bench: Bench) -> None:
    assert await bench.look([RIGHT, READ_MISSING]) == (False, [])
    assert bench.why == "no ACL allows CN=notify to READ topic account-events-v1"
    assert REFUSED._value.get() == 1
    assert bench.health.live()
    assert await bench.look([RIGHT]) == (True, [])
    assert (bench.why, REFUSED._value.get()) == ("", 0)


async def test_who_was_let_in_stays_ready_and_is_degraded(bench: Bench) -> None:
    await bench.look([RIGHT])
    assert await bench.look([READ_MISSING]) == (True, [NAME])
    assert await bench.look([RIGHT]) == (True, [])


AWAY = [KafkaConnectionError(), TimeoutError(), OSError("reset"), KeyError("what no broker should answer")]


@pytest.mark.parametrize("error", AWAY)
async def test_a_kafka_that_is_away_at_the_start_refuses_nobody_also_when_it_is_back(
    bench: Bench, error: Exception
) -> None:
    assert await bench.look(error) == (True, [])
    assert await bench.look([READ_MISSING]) == (True, [NAME])


@pytest.mark.parametrize("error", AWAY)
async def test_a_kafka_that_goes_away_takes_no_refusal_back(bench: Bench, error: Exception) -> None:
    assert await bench.look([READ_MISSING]) == (False, [])
    assert await bench.look(error) == (False, [])
    bench.gone = Unreachable("does not answer: connection refused")
    assert await bench.look([RIGHT]) == (False, [])
    bench.gone = None
    assert await bench.look([READ_MISSING]) == (False, [])
    assert await bench.look([RIGHT]) == (True, [])


async def test_certificates_that_do_not_fit_are_a_refusal_too(bench: Bench) -> None:
    bench.gone = Unreachable("shows a certificate that GONGJI_KAFKA_CA_FILE does not vouch for", misfit=True)
    assert await bench.look([RIGHT]) == (False, [])
    assert bench.why == "Kafka at k:9093 shows a certificate that GONGJI_KAFKA_CA_FILE does not vouch for"


async def test_a_topic_that_is_not_there_is_no_refusal(bench: Bench) -> None:
    assert await bench.look([NOT_THERE]) == (True, [])


async def test_a_refusal_is_one_line_however_often_it_is_found(bench: Bench) -> None:
    with structlog.testing.capture_logs() as logs:
        for _ in range(5):
            await bench.look([READ_MISSING])
        await bench.look([RIGHT])
    assert [(line["log_level"], line.get("why")) for line in logs] == [
        ("error", "no ACL allows CN=notify to READ topic account-events-v1"),
        ("info", None),
    ]


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (TopicAuthorizationFailedError("a-v1"), "no ACL allows ANONYMOUS to WRITE topic a-v1"),
        (TopicAuthorizationFailedError({"b-v1", "a-v1"}), "no ACL allows ANONYMOUS to WRITE topic a-v1, b-v1"),
        (GroupAuthorizationFailedError("notify"), "no ACL allows ANONYMOUS to WRITE group notify"),
        (ClusterAuthorizationFailedError(), "no ACL allows ANONYMOUS to WRITE any topic"),
        (KafkaConnectionError(), ""),
        (ValueError("TOPIC_AUTHORIZATION_FAILED"), ""),
    ],
)
def test_a_refusal_says_who_may_not_do_what_also_behind_another_error(error: Exception, sentence: str) -> None:
    assert refusal(error, KafkaAddress("k:1"), Operation.WRITE) == sentence
    outer = RuntimeError("a round was not confirmed")
    outer.__cause__ = error
    assert refusal(outer, KafkaAddress("k:1"), Operation.WRITE) == sentence


def test_a_refusal_without_a_name_is_told_all_the_same() -> None:
    told = refusal(TopicAuthorizationFailedError(), KafkaAddress("k:1"), Operation.READ)
    assert told == "no ACL allows ANONYMOUS to READ topic (the brokers do not say which)"
