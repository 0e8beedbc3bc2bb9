"""What every repository of webhooks does: the fake and PostgreSQL alike."""

from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from kit.db import Work
from kit.testing import MemoryWork
from notify.domain.webhooks import RESTS_AFTER, DeliveryState, Health, OffReason, State, institution
from notify.testing import AT, keyring
from notify.testing_webhooks import (
    COMPLETED,
    DEBITED,
    HOSPITAL,
    LEASE,
    PHARMACY,
    attempts,
    claimed,
    delivery,
    event,
    finished,
    ids,
    kept,
    made,
    queued,
    records,
    webhook,
)
from notify.webhooks.memory import MemoryWebhooks
from notify.webhooks.parts import webhook_work
from notify.webhooks.repository import ListedAttempt, Requeued, WebhookRepository

MINUTE = timedelta(minutes=1)


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.stack)])
def hooks(request: pytest.FixtureRequest) -> Work[WebhookRepository]:
    if request.param == "memory":
        fake: MemoryWork[WebhookRepository] = MemoryWork(MemoryWebhooks())
        return fake
    return webhook_work(request.getfixturevalue("database"), keyring())


async def test_a_webhook_comes_back_as_it_was(hooks: Work[WebhookRepository]) -> None:
    plain = webhook()
    rotated = plain.secrets.rotated("whsec_bmV3", AT, LEASE)
    full = replace(
        records(COMPLETED, DEBITED), secrets=rotated, health=Health(AT, 7, AT + MINUTE), last_delivered_at=AT
    ).switched_off(OffReason.GONE)
    await kept(hooks, plain, full)
    async with hooks() as repository:
        assert await repository.get(plain.webhook_id) == plain
        assert await repository.get(full.webhook_id, lock=True) == full
        assert await repository.get(uuid4()) is None


async def test_a_webhook_is_kept_as_it_was_changed(hooks: Work[WebhookRepository]) -> None:
    before = webhook()
    after = replace(before, url="https://b.example/", event_types=frozenset({DEBITED})).turned(State.PAUSED)
    await kept(hooks, before)
    async with hooks() as repository:
        await repository.save(after)
    async with hooks() as repository:
        assert await repository.get(before.webhook_id) == after


async def test_webhooks_are_listed_as_they_were_made_by_owner_or_all(hooks: Work[WebhookRepository]) -> None:
    ours = [webhook() for _ in range(3)]
    other = webhook(institution(PHARMACY))
    await kept(hooks, *ours, other)
    async with hooks() as repository:
        assert await repository.page(institution(HOSPITAL), 10) == ours
        assert await repository.page(None, 10) == [*ours, other]
        assert await repository.page(None, 2, ours[0].webhook_id) == ours[1:]
        assert await repository.count_of(institution(HOSPITAL)) == 3
        assert await repository.count_of(institution("H65270199999")) == 0


async def test_what_was_removed_is_not_there(hooks: Work[WebhookRepository]) -> None:
    gone = webhook()
    await kept(hooks, gone)
    await queued(hooks, delivery(gone), delivery(gone, is_test=True))
    async with hooks() as repository:
        await repository.save(gone.removed())
    async with hooks() as repository:
        assert await repository.get(gone.webhook_id) is None
        assert await repository.page(None, 10) == []
        assert await repository.count_of(gone.owner) == 0
        assert await repository.listening() == []
    assert await claimed(hooks) == []


async def test_what_was_removed_is_cleared_away_in_parts(hooks: Work[WebhookRepository]) -> None:
    gone, stays = webhook(), webhook()
    await kept(hooks, gone, stays)
    shared = event()
    await queued(hooks, *(delivery(gone) for _ in range(3)), delivery(gone, shared), delivery(stays, shared))
    async with hooks() as repository:
        await repository.save(gone.removed())
    counts = []
    for _ in range(4):
        async with hooks() as repository:
            counts.append(await repository.clear(3))
    assert counts == [3, 1, 1, 0]
    assert ids(await claimed(hooks)) == {shared.event_id}


async def test_what_every_webhook_wants_is_told_also_of_those_that_do_not_send(
    hooks: Work[WebhookRepository],
) -> None:
    active, paused = webhook(), records(DEBITED).turned(State.PAUSED)
    await kept(hooks, active, paused)
    async with hooks() as repository:
        told = {one.webhook_id: (one.owner, one.event_types, one.created_at) for one in await repository.listening()}
    assert told == {one.webhook_id: (one.owner, one.event_types, one.created_at) for one in (active, paused)}


async def test_an_event_is_queued_once_for_each_webhook(hooks: Work[WebhookRepository]) -> None:
    one, two, what = webhook(), records(), event()
    await kept(hooks, one, two)
    assert await queued(hooks, delivery(one, what), delivery(two, what)) == 2
    assert await queued(hooks, delivery(one, what)) == 0
    assert await queued(hooks) == 0
    found = await claimed(hooks)
    assert {(claim.webhook, claim.event_id, claim.body) for claim in found} == {
        (one, what.event_id, what.body),
        (two, what.event_id, what.body),
    }
    for claim in found:
        await finished(hooks, claim)
    assert await queued(hooks, delivery(one, what)) == 0
    assert await claimed(hooks) == []


async def test_what_is_claimed_is_nobody_elses_until_its_lease_runs_out(hooks: Work[WebhookRepository]) -> None:
    ours = webhook()
    await kept(hooks, ours)
    await queued(hooks, delivery(ours))
    (first,) = await claimed(hooks, lease=timedelta())
    (second,) = await claimed(hooks)
    assert (first.event_id, first.attempts, second.attempts) == (second.event_id, 1, 2)
    assert await claimed(hooks) == []
    assert not await finished(hooks, first)
    assert await finished(hooks, second)
    assert not await finished(hooks, second)
    assert len(await attempts(hooks, ours.webhook_id)) == 1


async def test_what_is_not_due_yet_waits(hooks: Work[WebhookRepository]) -> None:
    ours = webhook()
    await kept(hooks, ours)
    await queued(hooks, delivery(ours))
    (claim,) = await claimed(hooks)
    assert await finished(hooks, claim, DeliveryState.QUEUED, AT + MINUTE)
    assert await claimed(hooks, AT + MINUTE - timedelta(seconds=1)) == []
    (again,) = await claimed(hooks, AT + MINUTE)
    assert (again.attempts, again.tries, again.queued_at) == (2, 2, AT)


async def test_what_waits_for_its_next_attempt_can_be_made_due(hooks: Work[WebhookRepository]) -> None:
    ours, other = webhook(), webhook()
    await kept(hooks, ours, other)
    await queued(hooks, delivery(ours), delivery(ours), delivery(other))
    waiting, ended, others = sorted(await claimed(hooks), key=lambda claim: claim.webhook == other)
    await finished(hooks, waiting, DeliveryState.QUEUED, AT + 60 * MINUTE)
    await finished(hooks, ended, DeliveryState.GIVEN_UP)
    await finished(hooks, others, DeliveryState.QUEUED, AT + 60 * MINUTE)
    async with hooks() as repository:
        await repository.hasten(ours.webhook_id, AT + MINUTE)
    assert await claimed(hooks, AT) == []
    (due,) = await claimed(hooks, AT + MINUTE)
    assert (due.event_id, due.queued_at, due.attempts) == (waiting.event_id, AT, 2)


async def test_no_more_is_claimed_than_there_is_room_for(hooks: Work[WebhookRepository]) -> None:
    webhooks = [webhook() for _ in range(4)]
    await kept(hooks, *webhooks)
    await queued(hooks, *(delivery(one) for one in webhooks for _ in range(5)))
    assert len(await claimed(hooks, limit=3)) == 3


async def test_a_long_queue_of_one_leaves_room_for_the_others(hooks: Work[WebhookRepository]) -> None:
    busy, other = webhook(), webhook()
    await kept(hooks, busy, other)
    await queued(hooks, *(delivery(busy) for _ in range(20)), delivery(other))
    found = await claimed(hooks, each=4)
    assert [claim.webhook for claim in found].count(busy) == 4
    assert [claim.webhook for claim in found].count(other) == 1
    assert await claimed(hooks, each=4) == []
    await finished(hooks, next(claim for claim in found if claim.webhook == busy))
    assert len(await claimed(hooks, each=4)) == 1


async def test_an_owner_with_many_webhooks_has_no_more_under_way_than_an_owner_may(
    hooks: Work[WebhookRepository],
) -> None:
    many, other = [webhook() for _ in range(4)], webhook(institution(PHARMACY))
    await kept(hooks, *many, other)
    await queued(hooks, *(delivery(one) for one in many for _ in range(3)), delivery(other))
    first = await claimed(hooks, limit=100, each=3, of_owner=6)
    owners = [claim.webhook.owner for claim in first]
    assert (owners.count(institution(HOSPITAL)), owners.count(institution(PHARMACY))) == (6, 1)
    assert {claim.webhook.webhook_id for claim in first} == {one.webhook_id for one in (*many, other)}
    assert await claimed(hooks, limit=100, each=3, of_owner=6) == []
    await finished(hooks, next(claim for claim in first if claim.webhook.owner == institution(HOSPITAL)))
    assert len(await claimed(hooks, limit=100, each=3, of_owner=6)) == 1


async def test_who_has_the_least_under_way_is_next(hooks: Work[WebhookRepository]) -> None:
    many, other, third = [webhook() for _ in range(3)], webhook(institution(PHARMACY)), records()
    await kept(hooks, *many, other, third)
    await queued(hooks, *(delivery(one) for one in many for _ in range(3)))
    assert len(await claimed(hooks, limit=2)) == 2
    await queued(hooks, *(delivery(other) for _ in range(5)), *(delivery(third) for _ in range(5)))
    owners = [claim.webhook.owner for claim in await claimed(hooks, limit=4)]
    assert sorted(owners) == sorted([other.owner, other.owner, third.owner, third.owner])


async def test_who_keeps_failing_is_tried_by_one_event_at_a_time(hooks: Work[WebhookRepository]) -> None:
    failing = replace(webhook(), health=Health(AT, RESTS_AFTER, None))
    await kept(hooks, failing)
    await queued(hooks, *(delivery(failing) for _ in range(5)))
    assert len(await claimed(hooks)) == 1
    assert await claimed(hooks) == []


async def test_who_rests_is_left_alone_but_for_tests(hooks: Work[WebhookRepository]) -> None:
    resting = replace(webhook(), health=Health(AT, 1, AT + MINUTE))
    await kept(hooks, resting)
    plain, test = delivery(resting), delivery(resting, is_test=True)
    await queued(hooks, plain, test)
    assert ids(await claimed(hooks)) == {test.event.event_id}
    assert ids(await claimed(hooks, AT + MINUTE)) == {plain.event.event_id}


@pytest.mark.parametrize("state", [State.PAUSED, State.OFF])
async def test_what_comes_while_a_webhook_does_not_send_waits_for_a_day(
    hooks: Work[WebhookRepository], state: State
) -> None:
    off = webhook().turned(State.PAUSED) if state is State.PAUSED else webhook().switched_off(OffReason.GONE)
    on = webhook()
    await kept(hooks, off, on)
    early, late, test = delivery(off), delivery(off), delivery(off, is_test=True)
    await queued(hooks, early, test, delivery(on))
    await queued(hooks, late, now=AT + MINUTE)
    assert ids(await claimed(hooks, AT + MINUTE)) >= {test.event.event_id}
    async with hooks() as repository:
        # Also the test that is under way: its outcome is then of no use any more.
        assert await repository.give_up(AT, 10) == 2
        assert await repository.give_up(AT, 10) == 0
        await repository.save(off.turned(State.ACTIVE))
    assert ids(await claimed(hooks, AT + MINUTE)) == {late.event.event_id}


async def test_what_is_of_a_type_that_is_no_longer_wanted_is_neither_sent_nor_replayed_but_given_up(
    hooks: Work[WebhookRepository],
) -> None:
    ours = records(COMPLETED, DEBITED)
    await kept(hooks, ours)
    completed, test = delivery(ours), delivery(ours, is_test=True)
    debited = delivery(ours, replace(event(), event_type=DEBITED))
    await queued(hooks, completed, debited, test)
    async with hooks() as repository:
        await repository.save(replace(ours, event_types=frozenset({COMPLETED})))
    found = await claimed(hooks)
    assert ids(found) == {completed.event.event_id, test.event.event_id}
    for claim in found:
        await finished(hooks, claim, DeliveryState.GIVEN_UP)
    async with hooks() as repository:
        assert await repository.give_up(AT - MINUTE, 10) == 1
        assert await repository.give_up(AT - MINUTE, 10) == 0
    async with hooks() as repository:
        replayed = await repository.requeue(ours.webhook_id, AT, AT + MINUTE, AT, with_delivered=True, limit=10)
    assert replayed == Requeued(1, None)
    assert ids(await claimed(hooks)) == {completed.event.event_id}


async def test_attempts_are_listed_newest_first_with_what_became_of_the_event(
    hooks: Work[WebhookRepository],
) -> None:
    ours, other = webhook(), webhook()
    await kept(hooks, ours, other)
    first, second = delivery(ours), delivery(ours, event(1))
    await queued(hooks, first, second, delivery(other))
    made_now = {claim.event_id: claim for claim in await claimed(hooks) if claim.webhook == ours}
    failed = made(made_now[first.event.event_id], fails=True)
    await finished(hooks, made_now[first.event.event_id], DeliveryState.QUEUED, AT + MINUTE, failed)
    went_well = made(made_now[second.event.event_id])
    await finished(hooks, made_now[second.event.event_id], attempt=went_well)
    expected = [
        ListedAttempt(went_well, COMPLETED, DeliveryState.DELIVERED, None),
        ListedAttempt(failed, COMPLETED, DeliveryState.QUEUED, AT + MINUTE),
    ]
    async with hooks() as repository:
        assert await repository.attempts(ours.webhook_id, 10) == expected
        assert await repository.attempts(ours.webhook_id, 1) == expected[:1]
        assert await repository.attempts(ours.webhook_id, 9, before=went_well.attempt_id) == expected[1:]
        assert await repository.attempts(ours.webhook_id, 9, failed_only=True) == expected[1:]
        assert await repository.attempts(ours.webhook_id, 9, event_id=second.event.event_id) == expected[:1]
        assert await repository.attempts(other.webhook_id, 9) == []


async def test_a_replay_queues_what_was_given_up_in_a_range_of_time(hooks: Work[WebhookRepository]) -> None:
    ours = webhook()
    await kept(hooks, ours)
    events = [event(minutes) for minutes in range(6)]
    await queued(hooks, *(delivery(ours, what) for what in events), delivery(ours, event(2), is_test=True))
    ends = [DeliveryState.GIVEN_UP] * 4 + [DeliveryState.DELIVERED]
    claims = {claim.event_id: claim for claim in await claimed(hooks)}
    for what, state in zip(events, ends, strict=False):  # the last is under way still
        await finished(hooks, claims[what.event_id], state)
    for claim in claims.values():
        if claim.is_test:
            await finished(hooks, claim, DeliveryState.GIVEN_UP)
    later = AT + timedelta(hours=30)
    async with hooks() as repository:
        found = await repository.requeue(
            ours.webhook_id, AT + MINUTE, AT + 6 * MINUTE, later, with_delivered=False, limit=2
        )
    assert found == Requeued(2, AT + 3 * MINUTE)
    again = await claimed(hooks, later)
    assert ids(again) == {events[1].event_id, events[2].event_id}
    assert {(claim.attempts, claim.tries, claim.queued_at) for claim in again} == {(2, 1, later)}
    async with hooks() as repository:
        rest = await repository.requeue(
            ours.webhook_id, AT + 3 * MINUTE, AT + 6 * MINUTE, later, with_delivered=True, limit=10
        )
    assert rest == Requeued(2, None)
    assert ids(await claimed(hooks, later)) == {events[3].event_id, events[4].event_id}


async def test_what_is_old_is_forgotten_with_everything_about_it(hooks: Work[WebhookRepository]) -> None:
    ours = webhook()
    await kept(hooks, ours)
    old, new = delivery(ours), delivery(ours, event(5))
    await queued(hooks, old, new)
    for claim in await claimed(hooks):
        await finished(hooks, claim)
    async with hooks() as repository:
        assert await repository.forget(AT + MINUTE, 10) == 1
        assert await repository.forget(AT + MINUTE, 10) == 0
    assert [one.attempt.event_id for one in await attempts(hooks, ours.webhook_id)] == [new.event.event_id]
