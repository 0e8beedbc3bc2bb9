"""What FastStream goes on after without a word is told, when it is a refusal."""

import logging
from collections.abc import Sequence
from uuid import uuid4

import pytest
from aiokafka.errors import (  # type: ignore[import-untyped]
    GroupAuthorizationFailedError,
    KafkaConnectionError,
    KafkaError,
    TopicAuthorizationFailedError,
)
from structlog.testing import capture_logs

from kit.consumer_state import Trouble
from kit.events import Envelope
from kit.health import Health
from kit.kafka import Consumer, _Heard
from kit.kafka_client import KafkaAddress


async def nothing(_envelopes: Sequence[Envelope]) -> None:
    """Handles whatever comes."""


class Bench:
    def __init__(self) -> None:
        self.group = f"group-{uuid4().hex[:8]}"
        self.health = Health()
        settings = KafkaAddress("127.0.0.1:1")
        self.consumer = Consumer(settings, ["sample-v1"], self.group, nothing, health=self.health)

    def says(self, error: BaseException, message: str = "Kafka error occurred") -> None:
        """As FastStream logs it."""
        _Heard(self.consumer._heard).log(logging.ERROR, message, exc_info=error, extra={})

    @property
    def why(self) -> str:
        check = self.health.checks().get(f"consumer {self.group}")
        return check.why if check else ""


@pytest.fixture
async def bench() -> Bench:
    return Bench()


async def test_a_topic_that_may_not_be_read_is_told_and_the_connection_kept(bench: Bench) -> None:
    with capture_logs() as logs:
        bench.says(TopicAuthorizationFailedError("sample-v1"))
    assert bench.why == "no ACL allows ANONYMOUS to READ topic sample-v1"
    assert [(line["event"], line["why"]) for line in logs] == [("Kafka refuses to be read", bench.why)]
    assert not bench.consumer._outcast


async def test_a_group_that_may_not_be_used_is_told_and_joined_anew_also_behind_another_error(bench: Bench) -> None:
    outer = KafkaError("Unexpected error during coordination")
    outer.__cause__ = GroupAuthorizationFailedError(bench.group)
    bench.says(outer)
    assert bench.why == f"no ACL allows ANONYMOUS to READ group {bench.group}"
    assert bench.consumer._outcast


async def test_another_error_and_other_news_are_none_of_its_business(bench: Bench) -> None:
    with capture_logs() as logs:
        bench.says(KafkaConnectionError())
        bench.says(ValueError("of a handler"))
        _Heard(bench.consumer._heard).log(logging.WARNING, "Auto create topics is disabled")
    assert (bench.why, logs) == ("", [])


async def test_a_refusal_is_told_before_an_outage_and_ends_by_itself(bench: Bench) -> None:
    bench.says(TopicAuthorizationFailedError("sample-v1"))
    bench.consumer._state.heard({})
    assert "no ACL allows" in bench.why
    bench.consumer._state.over(Trouble.REFUSED)
    assert bench.why == ""


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (GroupAuthorizationFailedError("sample"), "no ACL allows ANONYMOUS to READ group sample"),
        (KafkaConnectionError(), "Kafka does not answer: KafkaConnectionError"),
    ],
)
async def test_what_keeps_it_from_connecting_is_told_until_it_is_connected(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, error: KafkaError, why: str
) -> None:
    told: list[str] = []

    async def start(_broker: object) -> None:
        told.append(bench.why)
        if len(told) == 1:
            raise error

    monkeypatch.setattr("kit.kafka.KafkaBroker.start", start)
    monkeypatch.setattr("kit.kafka.backoff_seconds", lambda _failures: 0.0)
    await bench.consumer._connect()
    assert told == ["", why]
