"""Sending what is due: signed, again after failure, no longer after a day; and what that makes of the webhook."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks import Webhook as Verifier
from standardwebhooks.webhooks import WebhookVerificationError

from gongji.notify.events.v1 import webhook_events_pb2 as events_pb2
from gongji.notify.v1 import webhook_pb2
from kit.clock import FixedClock, SystemClock
from kit.testing import MemoryWork, eventually
from notify.domain.webhooks import (
    RETRIED_FOR,
    DeliveryState,
    Health,
    OffReason,
    Outcome,
    Result,
    State,
    Webhook,
    institution,
)
from notify.testing import AT
from notify.testing_webhooks import DELIVERED, FAILED, PHARMACY, URL, ScriptedClient, delivery, event, webhook
from notify.webhooks.memory import MemoryWebhooks
from notify.webhooks.repository import NewDelivery
from notify.webhooks.sending import Pace, Sending

PACE = Pace(at_once=8, each=4, of_owner=8, timeout=timedelta(seconds=15))


class Rig:
    """Sending on a repository in memory, with a receiver that does what it is told."""

    def __init__(self, *webhooks: Webhook, pace: Pace = PACE) -> None:
        self.repository = MemoryWebhooks()
        self.repository.webhooks.update({one.webhook_id: one for one in webhooks})
        self.work: MemoryWork[MemoryWebhooks] = MemoryWork(self.repository)
        self.clock = FixedClock(AT)
        self.client = ScriptedClient()
        self.queued = asyncio.Event()
        self.sending = Sending(self.work, self.client, self.clock, SystemClock(), pace=pace, queued=self.queued)

    async def queue(self, *deliveries: NewDelivery) -> None:
        async with self.work() as repository:
            await repository.queue(deliveries, self.clock.now())

    async def to_the_end(self, hours: float = 30) -> None:
        """Rounds until nothing is queued or so much time has passed, the clock set on to what is due next."""
        end = self.clock.now() + timedelta(hours=hours)
        while self.clock.now() < end:
            if await self.sending.round():
                continue
            if not (later := list(self._due())):
                return
            self.clock.set(max(min(later), self.clock.now() + timedelta(seconds=1)))

    def _due(self) -> Iterator[datetime]:
        for one in self.repository.deliveries.values():
            of = self.repository.webhooks[one.webhook_id]
            if one.next_at is not None and of.is_sending:
                yield max(one.next_at, of.health.rests_until or one.next_at)

    def states(self) -> list[DeliveryState]:
        return [one.state for one in self.repository.deliveries.values()]

    def the(self, of: Webhook) -> Webhook:
        return self.repository.webhooks[of.webhook_id]


async def test_an_event_is_sent_once_and_signed_so_that_the_kept_library_believes_it() -> None:
    ours, what = webhook(), event(body='{"title":"共济"}'.encode())
    rig = Rig(ours)
    await rig.queue(delivery(ours, what))
    assert await rig.sending.round() == 1
    assert await rig.sending.round() == 0
    ((url, headers, body),) = rig.client.sent
    assert (url, body, headers["webhook-id"]) == (URL, what.body, str(what.event_id))
    assert headers["content-type"] == "application/json"
    assert Verifier(ours.secrets.current).verify(body, dict(headers)) == {"title": "共济"}
    with pytest.raises(WebhookVerificationError):
        Verifier(webhook().secrets.current).verify(body, dict(headers))
    with pytest.raises(WebhookVerificationError):
        Verifier(ours.secrets.current).verify(body + b" ", dict(headers))
    assert rig.states() == [DeliveryState.DELIVERED]
    assert rig.the(ours).last_delivered_at == AT


async def test_what_is_signed_is_the_real_time_however_the_clock_was_moved() -> None:
    ours = webhook()
    rig = Rig(ours)
    await rig.queue(delivery(ours))
    await rig.sending.round()
    stamp = int(rig.client.sent[0][1]["webhook-timestamp"])
    assert abs(datetime.now(UTC).timestamp() - stamp) < 60


async def test_while_a_secret_is_replaced_either_verifies() -> None:
    before = webhook()
    after = replace(before, secrets=before.secrets.rotated(webhook().secrets.current, AT, timedelta(hours=24)))
    rig = Rig(after)
    await rig.queue(delivery(after))
    await rig.sending.round()
    _, headers, body = rig.client.sent[0]
    for secret in (before.secrets.current, after.secrets.current):
        Verifier(secret).verify(body, dict(headers))
    rig.clock.advance(timedelta(hours=24))
    await rig.queue(delivery(after))
    await rig.sending.round()
    _, headers, body = rig.client.sent[1]
    Verifier(after.secrets.current).verify(body, dict(headers))
    with pytest.raises(WebhookVerificationError):
        Verifier(before.secrets.current).verify(body, dict(headers))


async def test_what_fails_is_sent_again_under_the_same_id_until_it_is_taken() -> None:
    ours = webhook()
    rig = Rig(ours)
    rig.client.answers.extend([FAILED, Outcome(Result.TIMED_OUT), Outcome(Result.UNREACHABLE)])
    await rig.queue(delivery(ours))
    await rig.to_the_end()
    assert len(rig.client.ids) == 4
    assert len(set(rig.client.ids)) == 1
    assert rig.states() == [DeliveryState.DELIVERED]
    assert rig.the(ours).health == Health()
    assert [one.outcome.result for one in rig.repository.made] == [
        Result.REFUSED,
        Result.TIMED_OUT,
        Result.UNREACHABLE,
        Result.DELIVERED,
    ]


async def test_a_receiver_that_asks_to_be_left_alone_is() -> None:
    ours = webhook()
    rig = Rig(ours)
    rig.client.answers.append(Outcome(Result.REFUSED, 429, timedelta(minutes=3)))
    await rig.queue(delivery(ours), delivery(ours, event(1)))
    rig.sending = Sending(rig.work, rig.client, rig.clock, SystemClock(), pace=replace(PACE, each=1), queued=rig.queued)
    await rig.sending.round()
    rig.clock.advance(timedelta(minutes=2, seconds=59))
    assert await rig.sending.round() == 0
    rig.clock.advance(timedelta(seconds=1))
    assert await rig.sending.round() == 1


async def test_after_a_day_of_failure_the_webhook_is_off_and_its_owner_told_once() -> None:
    ours, other = webhook(), webhook()
    rig = Rig(ours, other)
    rig.client.otherwise = FAILED
    await rig.queue(*(delivery(ours) for _ in range(6)))
    await rig.to_the_end(hours=26)
    off = rig.the(ours)
    assert (off.state, off.off_reason, off.events_told) == (State.OFF, OffReason.LASTING_FAILURE, 1)
    assert rig.the(other).state is State.ACTIVE
    (told,) = rig.repository.told.messages
    assert isinstance(told, events_pb2.WebhookSwitchedOff)
    assert (told.webhook_id, told.owner, told.sequence) == (str(ours.webhook_id), ours.owner, 1)
    assert told.reason == webhook_pb2.WEBHOOK_OFF_REASON_LASTING_FAILURE
    assert told.failing_since.ToDatetime(tzinfo=UTC) == AT
    switched_off_at = told.switched_off_at.ToDatetime(tzinfo=UTC)
    assert RETRIED_FOR <= switched_off_at - AT < RETRIED_FOR + timedelta(hours=1)
    sent = len(rig.client.sent)
    await rig.queue(delivery(ours))
    await rig.to_the_end(hours=1)
    assert len(rig.client.sent) == sent


async def test_an_outage_of_ours_switches_nobody_off() -> None:
    ours = webhook()
    rig = Rig(ours)
    rig.client.answers.append(FAILED)
    await rig.queue(delivery(ours))
    await rig.sending.round()
    rig.clock.advance(timedelta(hours=25))
    rig.client.answers.append(FAILED)
    await rig.queue(delivery(ours))
    await rig.to_the_end()
    assert rig.the(ours).state is State.ACTIVE
    assert rig.states()[1] is DeliveryState.DELIVERED


async def test_one_event_that_is_never_taken_does_not_switch_off_a_webhook_that_takes_the_others() -> None:
    ours = webhook()
    rig = Rig(ours)
    poisoned = delivery(ours)

    async def post(url: str, headers: dict[str, str], body: bytes) -> Outcome:
        del url, body
        return FAILED if headers["webhook-id"] == str(poisoned.event.event_id) else DELIVERED

    rig.client.post = post  # type: ignore[method-assign, assignment]
    await rig.queue(poisoned)
    for _ in range(26):
        await rig.to_the_end(hours=1)
        await rig.queue(delivery(ours))
        rig.clock.advance(timedelta(minutes=30))
    await rig.to_the_end(hours=1)
    assert rig.the(ours).state is State.ACTIVE
    assert rig.repository.deliveries[ours.webhook_id, poisoned.event.event_id].state is DeliveryState.GIVEN_UP
    assert rig.states().count(DeliveryState.GIVEN_UP) == 1


async def test_a_receiver_that_is_gone_is_switched_off_at_once() -> None:
    ours = webhook()
    rig = Rig(ours)
    rig.client.otherwise = Outcome(Result.REFUSED, 410)
    await rig.queue(delivery(ours), delivery(ours))
    await rig.sending.round()
    assert (rig.the(ours).state, rig.the(ours).off_reason) == (State.OFF, OffReason.GONE)
    assert len(rig.repository.told.messages) == 1


async def test_a_receiver_that_is_down_is_not_tried_by_every_event() -> None:
    ours = webhook()
    rig = Rig(ours)
    rig.client.otherwise = FAILED
    await rig.queue(*(delivery(ours) for _ in range(40)))
    await rig.to_the_end(hours=2)
    assert len(rig.client.sent) < 25
    rig.client.otherwise = DELIVERED
    await rig.to_the_end(hours=23)
    assert set(rig.states()) == {DeliveryState.DELIVERED}


async def test_silent_receivers_of_one_owner_leave_room_for_the_others() -> None:
    silent, other = [webhook() for _ in range(10)], webhook(institution(PHARMACY))
    rig = Rig(*silent, other, pace=replace(PACE, at_once=32))
    never = asyncio.Event()

    async def post(url: str, headers: dict[str, str], body: bytes) -> Outcome:
        del url, headers
        if body == b"silent":
            await never.wait()
        return DELIVERED

    rig.client.post = post  # type: ignore[method-assign, assignment]
    await rig.queue(*(delivery(one, event(body=b"silent")) for one in silent for _ in range(8)))
    running = asyncio.create_task(rig.sending.run())
    await eventually(lambda: len(rig.sending._under_way) == PACE.of_owner)
    await rig.queue(*(delivery(other) for _ in range(20)))
    rig.queued.set()
    await eventually(lambda: rig.states().count(DeliveryState.DELIVERED) == 20)
    assert len(rig.sending._under_way) == PACE.of_owner
    never.set()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_a_test_is_sent_once_and_changes_nothing_of_the_webhook() -> None:
    off = webhook().switched_off(OffReason.LASTING_FAILURE)
    rig = Rig(off)
    rig.client.answers.append(FAILED)
    await rig.queue(delivery(off, is_test=True))
    await rig.to_the_end()
    assert len(rig.client.sent) == 1
    assert rig.states() == [DeliveryState.GIVEN_UP]
    assert rig.the(off) == off


async def test_a_webhook_that_was_paused_meanwhile_is_not_switched_off() -> None:
    ours = replace(webhook(), health=Health(AT - RETRIED_FOR, 3))
    rig = Rig(ours)

    async def post(url: str, headers: dict[str, str], body: bytes) -> Outcome:
        del url, headers, body
        rig.repository.webhooks[ours.webhook_id] = ours.turned(State.PAUSED)
        return Outcome(Result.REFUSED, 410)

    rig.client.post = post  # type: ignore[method-assign, assignment]
    await rig.queue(delivery(ours))
    await rig.sending.round()
    assert rig.the(ours).state is State.PAUSED
    assert rig.repository.told.messages == []


async def test_a_webhook_that_was_removed_meanwhile_stays_removed() -> None:
    ours = webhook()
    rig = Rig(ours)

    async def post(url: str, headers: dict[str, str], body: bytes) -> Outcome:
        del url, headers, body
        rig.repository.webhooks[ours.webhook_id] = ours.removed()
        return FAILED

    rig.client.post = post  # type: ignore[method-assign, assignment]
    await rig.queue(delivery(ours))
    await rig.sending.round()
    assert rig.the(ours).state is State.REMOVED


async def test_an_error_that_nobody_thought_of_is_a_failure_like_any_other() -> None:
    ours = webhook()
    rig = Rig(ours)
    rig.client.answers.append(OverflowError("Python int too large to convert to C long"))
    await rig.queue(delivery(ours))
    await rig.sending.round()
    assert [one.outcome for one in rig.repository.made] == [Outcome(Result.UNEXPECTED)]
    assert rig.the(ours).health.failures_in_row == 1
    await rig.to_the_end()
    assert rig.states() == [DeliveryState.DELIVERED]


async def test_who_causes_it_for_a_day_is_switched_off() -> None:
    ours = webhook()
    rig = Rig(ours)
    rig.client.answers.extend([OverflowError()] * 1_000)
    await rig.queue(delivery(ours))
    await rig.to_the_end(hours=26)
    assert rig.states() == [DeliveryState.GIVEN_UP]
    assert rig.the(ours).off_reason is OffReason.LASTING_FAILURE


async def test_an_outcome_that_could_not_be_recorded_is_sent_again_when_the_lease_is_over() -> None:
    ours = webhook()
    rig = Rig(ours, pace=replace(PACE, timeout=timedelta(seconds=-10)))  # with the margin a lease of nothing
    await rig.queue(delivery(ours))
    await rig.sending.begin()
    rig.work.fail_next_commit(ConnectionError())
    await eventually(lambda: bool(rig.client.sent) and not rig.sending._under_way)
    assert rig.states() == [DeliveryState.QUEUED]
    assert await rig.sending.round() == 1
    assert rig.states() == [DeliveryState.DELIVERED]
    assert len(set(rig.client.ids)) == 1


async def test_it_sends_until_it_is_told_to_stop_whatever_happens_to_the_database() -> None:
    ours = webhook()
    rig = Rig(ours)
    await rig.queue(*(delivery(ours) for _ in range(20)))
    rig.work.fail_next_commit(ConnectionError())
    running = asyncio.create_task(rig.sending.run())
    await eventually(lambda: rig.states().count(DeliveryState.DELIVERED) == 20)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_what_is_under_way_when_it_stops_is_sent_to_the_end() -> None:
    ours = webhook()
    rig = Rig(ours)
    begun, may_end = asyncio.Event(), asyncio.Event()

    async def post(url: str, headers: dict[str, str], body: bytes) -> Outcome:
        del url, headers, body
        begun.set()
        await may_end.wait()
        return DELIVERED

    rig.client.post = post  # type: ignore[method-assign, assignment]
    await rig.queue(delivery(ours))
    running = asyncio.create_task(rig.sending.run())
    await begun.wait()
    running.cancel()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert rig.states() == [DeliveryState.DELIVERED]
