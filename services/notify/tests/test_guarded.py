"""Policies: what keeps failing is left alone, what is slow is not waited for, one message's fault is its own."""

import asyncio
from collections.abc import Callable
from uuid import uuid4

import pytest
from prometheus_client import REGISTRY
from pydantic import ValidationError

from notify.channels.guarded import Guarded, LeftAloneError
from notify.channels.policy import DEFAULTS, Policy
from notify.channels.port import Accepted, AddressBusyError, Outgoing, UndeliveredError
from notify.domain.channels import OUTSIDE, Channel
from notify.testing import Postbox

AWAY = UndeliveredError("answered 500", is_final=False)
NO_SUCH_NUMBER = UndeliveredError("refused with 422 ADDRESS_INVALID", is_final=True)
MAILBOX_FULL = AddressBusyError("the mail server takes nothing for the address now, with 452")


def outgoing() -> Outgoing:
    return Outgoing(uuid4(), Channel.SMS, "debit", "zh-CN", "13999990000", "标题", "正文", {})


class Ticks:
    """Seconds that a test moves."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


class Stuck:
    """An adapter that never answers; `release` lets the ones under way end."""

    def __init__(self) -> None:
        self.release = asyncio.Event()
        self._came = asyncio.Condition()
        self.begun = 0
        self.most_at_once = 0
        self._under_way = 0

    async def until_begun(self, sends: int) -> None:
        async with self._came:
            await self._came.wait_for(lambda: self.begun >= sends)

    async def send(self, _outgoing: Outgoing) -> Accepted:
        async with self._came:
            self.begun += 1
            self._came.notify_all()
        self._under_way += 1
        self.most_at_once = max(self.most_at_once, self._under_way)
        try:
            await self.release.wait()
        finally:
            self._under_way -= 1
        return Accepted(None, awaits_receipt=False)


class Bench:
    """A guarded box that fails as told, with a clock that a test moves."""

    def __init__(self, **policy: float) -> None:
        self.box = Postbox()
        self.ticks = Ticks()
        stated = {"breaker_failures": 3, "breaker_rest_seconds": 30.0, **policy}
        self.guarded = Guarded(Channel.SMS, self.box, Policy.model_validate(stated), self.ticks)

    async def fail(self, error: UndeliveredError, times: int = 1) -> None:
        self.box.failure = error
        for _ in range(times):
            with pytest.raises(UndeliveredError) as raised:
                await self.guarded.send(outgoing())
            assert raised.value is error
        self.box.failure = None

    async def left_alone(self) -> LeftAloneError:
        with pytest.raises(LeftAloneError) as raised:
            await self.guarded.send(outgoing())
        return raised.value


async def test_what_is_well_is_handed_through() -> None:
    bench, sent = Bench(), outgoing()
    assert await bench.guarded.send(sent) == Accepted(f"p-{sent.delivery_id}", awaits_receipt=True)
    assert bench.box.sent == [sent]


async def test_after_failures_in_a_row_the_other_side_is_left_alone_for_a_while() -> None:
    bench = Bench()
    await bench.fail(AWAY, times=3)
    bench.ticks.seconds += 10
    refused = await bench.left_alone()
    assert (refused.is_final, refused.retry_after_seconds, bench.box.sent) == (False, 20.0, [])


async def test_then_one_message_tries_and_all_come_back() -> None:
    bench = Bench()
    await bench.fail(AWAY, times=3)
    bench.ticks.seconds += 30
    for _ in range(4):
        await bench.guarded.send(outgoing())
    assert len(bench.box.sent) == 4


async def test_if_that_one_fails_the_rest_begins_anew() -> None:
    bench = Bench()
    await bench.fail(AWAY, times=3)
    bench.ticks.seconds += 30
    await bench.fail(AWAY)
    assert (await bench.left_alone()).retry_after_seconds == 30.0


async def test_failures_that_are_not_in_a_row_open_nothing() -> None:
    bench = Bench()
    for _ in range(5):
        await bench.fail(AWAY, times=2)
        await bench.guarded.send(outgoing())
    assert len(bench.box.sent) == 5


@pytest.mark.parametrize("error", [NO_SUCH_NUMBER, MAILBOX_FULL])
async def test_what_is_wrong_with_one_address_is_no_failure_of_the_other_side(error: UndeliveredError) -> None:
    bench = Bench()
    await bench.fail(error, times=10)
    await bench.guarded.send(outgoing())


@pytest.mark.parametrize("error", [NO_SUCH_NUMBER, MAILBOX_FULL])
async def test_such_an_answer_shows_that_the_other_side_is_back(error: UndeliveredError) -> None:
    bench = Bench()
    await bench.fail(AWAY, times=3)
    bench.ticks.seconds += 30
    await bench.fail(error)
    await bench.guarded.send(outgoing())
    assert len(bench.box.sent) == 1


async def test_what_does_not_answer_in_time_has_failed_and_may_have_been_taken() -> None:
    stuck = Stuck()
    guarded = Guarded(Channel.SMS, stuck, Policy(timeout_seconds=0.05, breaker_failures=2))
    for _ in range(2):
        with pytest.raises(UndeliveredError, match=r"no answer within 0.05 s") as raised:
            await guarded.send(outgoing())
        assert not raised.value.is_final
    with pytest.raises(LeftAloneError):
        await guarded.send(outgoing())
    assert stuck.begun == 2


async def test_no_more_are_under_way_at_once_than_the_policy_says() -> None:
    stuck = Stuck()
    guarded = Guarded(Channel.SMS, stuck, Policy(concurrency=3))
    sending = [asyncio.create_task(guarded.send(outgoing())) for _ in range(10)]
    await stuck.until_begun(3)
    stuck.release.set()
    await asyncio.gather(*sending)
    assert (stuck.begun, stuck.most_at_once) == (10, 3)


async def test_whoever_waits_too_long_for_a_turn_was_not_tried() -> None:
    stuck = Stuck()
    guarded = Guarded(Channel.SMS, stuck, Policy(timeout_seconds=0.05, concurrency=1, breaker_failures=1))
    await guarded._lines.acquire()
    for _ in range(2):
        with pytest.raises(LeftAloneError, match="every line is busy"):
            await guarded.send(outgoing())
    assert stuck.begun == 0


async def test_a_send_that_is_cancelled_gives_its_turn_back_and_says_nothing_of_the_other_side() -> None:
    stuck = Stuck()
    guarded = Guarded(Channel.SMS, stuck, Policy(concurrency=1, breaker_failures=1))
    sending = asyncio.create_task(guarded.send(outgoing()))
    await stuck.until_begun(1)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    stuck.release.set()
    assert await guarded.send(outgoing()) == Accepted(None, awaits_receipt=False)
    assert (stuck.begun, stuck.most_at_once) == (2, 1)


async def test_a_fault_of_the_program_is_not_taken_for_the_other_sides() -> None:
    class Broken:
        async def send(self, _outgoing: Outgoing) -> Accepted:
            raise KeyError("a bug")

    guarded = Guarded(Channel.SMS, Broken(), Policy(breaker_failures=1))
    for _ in range(2):
        with pytest.raises(KeyError):
            await guarded.send(outgoing())


async def test_attempts_are_counted_by_what_became_of_them() -> None:
    def count(outcome: str) -> float:
        labels = {"channel": "SMS", "outcome": outcome}
        return REGISTRY.get_sample_value("gongji_notify_channel_sends_total", labels) or 0.0

    outcomes = ("ACCEPTED", "REFUSED", "FAILED", "LEFT_ALONE")
    before = {outcome: count(outcome) for outcome in outcomes}
    bench = Bench()
    await bench.guarded.send(outgoing())
    await bench.fail(NO_SUCH_NUMBER)
    await bench.fail(AWAY, times=3)
    await bench.left_alone()
    assert [count(outcome) - before[outcome] for outcome in outcomes] == [1, 1, 3, 1]


def test_every_channel_has_a_policy_and_sms_the_lowest_daily_bound() -> None:
    assert set(DEFAULTS) == OUTSIDE
    assert {channel: policy.most_a_day for channel, policy in DEFAULTS.items()} == {
        channel: 20 if channel is Channel.SMS else 100 for channel in OUTSIDE
    }


@pytest.mark.parametrize(
    "change",
    [
        lambda policy: policy | {"timeout_seconds": 0},
        lambda policy: policy | {"timeout_seconds": 61},
        lambda policy: policy | {"timeout_seconds": float("nan")},
        lambda policy: policy | {"attempts": 0},
        lambda policy: policy | {"attempts": 1.5},
        lambda policy: policy | {"first_wait_seconds": 20, "most_wait_seconds": 10},
        lambda policy: policy | {"most_wait_seconds": float("inf")},
        lambda policy: policy | {"concurrency": 0},
        lambda policy: policy | {"concurrency": 257},
        lambda policy: policy | {"breaker_failures": 0},
        lambda policy: policy | {"breaker_rest_seconds": -1},
        lambda policy: policy | {"most_a_day": 0},
        lambda policy: policy | {"timeout": 3},
    ],
)
def test_a_policy_without_bounds_is_refused(change: Callable[[dict[str, float]], dict[str, float]]) -> None:
    with pytest.raises(ValidationError):
        Policy.model_validate(change(DEFAULTS[Channel.SMS].model_dump()))
