"""How a delivery moves from state to state, how long it waits, and how many a person gets in a day."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notify.channels.policy import DEFAULTS, Policy
from notify.domain import deliveries as rules
from notify.domain.channels import Channel
from notify.domain.deliveries import Delivery, Failure, State
from notify.domain.kinds import Kind
from notify.testing import AT

POLICY = Policy(attempts=3, first_wait_seconds=10, most_wait_seconds=100)
LATER = AT + timedelta(minutes=1)


def queued(attempts: int = 1) -> Delivery:
    return Delivery(
        *(uuid4(), uuid4(), "1001", Channel.SMS, uuid4(), uuid4(), Kind.DEBIT, State.QUEUED, attempts, AT, AT)
    )


def not_taken(delivery: Delivery, failure: Failure = Failure.BUSY, *, now: datetime = AT) -> Delivery:
    return rules.not_taken(delivery, "it said 500", POLICY, failure=failure, wait=timedelta(seconds=10), now=now)


@given(st.uuids(version=4), st.uuids(version=4), st.sampled_from(Channel), st.sampled_from(Channel))
def test_a_delivery_has_one_id_whenever_it_is_reckoned_and_another_for_anything_else(
    event_id: UUID, other_id: UUID, channel: Channel, other: Channel
) -> None:
    reckoned = rules.delivery_id_of(event_id, "1001", channel)
    assert rules.delivery_id_of(UUID(str(event_id)), "1001", channel) == reckoned
    assert (reckoned.version, reckoned.variant) == (event_id.version, event_id.variant)
    assert rules.delivery_id_of(event_id, "1002", channel) != reckoned
    assert (rules.delivery_id_of(event_id, "1001", other) == reckoned) == (other is channel)
    assert (rules.delivery_id_of(other_id, "1001", channel) == reckoned) == (other_id == event_id)
    if event_id.bytes[:8] < other_id.bytes[:8]:  # those that are told first come first
        assert reckoned < rules.delivery_id_of(other_id, "1001", channel)


def test_what_a_gateway_took_waits_for_its_receipt() -> None:
    sent = rules.taken(queued(), "p1", awaits_receipt=True, now=LATER)
    assert (sent.state, sent.provider_id, sent.sent_at, sent.ended_at) == (State.SENT, "p1", LATER, None)


def test_what_is_never_heard_of_again_has_ended_when_it_was_taken() -> None:
    sent = rules.taken(queued(), None, awaits_receipt=False, now=LATER)
    assert (sent.state, sent.ended_at) == (State.SENT, LATER)


def test_what_was_not_taken_is_tried_again_after_a_wait() -> None:
    again = not_taken(queued(attempts=2))
    assert (again.state, again.next_attempt_at, again.last_error) == (
        State.QUEUED,
        AT + timedelta(seconds=10),
        "it said 500",
    )


def test_the_last_attempt_that_fails_gives_up() -> None:
    done = not_taken(queued(attempts=3))
    assert (done.state, done.ended_at, done.attempts) == (State.GIVEN_UP, AT, 3)


@given(attempts=st.integers(1, 1000), minutes=st.integers(0, 3 * 24 * 60))
def test_an_outage_uses_up_no_attempts_and_is_waited_for_a_day(attempts: int, minutes: int) -> None:
    after = not_taken(queued(attempts), Failure.OUTAGE, now=AT + timedelta(minutes=minutes))
    assert after.state is (State.QUEUED if minutes < 24 * 60 else State.GIVEN_UP)


def test_a_refusal_for_good_fails_at_once() -> None:
    assert not_taken(queued(), Failure.REFUSED).state is State.FAILED


def test_what_was_not_even_tried_counts_no_attempt() -> None:
    claimed = queued(attempts=3)
    assert rules.left_alone(claimed) == replace(claimed, attempts=2)


@pytest.mark.parametrize(("has_arrived", "state"), [(True, State.DELIVERED), (False, State.FAILED)])
@pytest.mark.parametrize("is_sent", [True, False])
def test_a_receipt_ends_what_was_sent_and_what_it_overtakes(*, has_arrived: bool, state: State, is_sent: bool) -> None:
    before = rules.taken(queued(), "p1", awaits_receipt=True, now=AT) if is_sent else queued()
    after = rules.received(before, has_arrived=has_arrived, code="UNREACHABLE", now=LATER)
    assert (after.state, after.ended_at) == (state, LATER)
    assert (after.last_error == "UNREACHABLE") is not has_arrived


def test_a_failure_without_a_word_says_so() -> None:
    assert rules.received(queued(), has_arrived=False, code="", now=LATER).last_error


def test_a_long_reason_is_cut() -> None:
    long = rules.not_taken(queued(), "x" * 1000, POLICY, failure=Failure.REFUSED, wait=timedelta(), now=AT)
    assert len(long.last_error or "") == rules.MOST_ERROR_CHARACTERS


STEPS = st.sampled_from(
    [
        lambda one: rules.taken(one, "p2", awaits_receipt=True, now=LATER),
        lambda one: rules.taken(one, "p2", awaits_receipt=False, now=LATER),
        not_taken,
        lambda one: not_taken(one, Failure.OUTAGE),
        lambda one: not_taken(one, Failure.REFUSED),
        lambda one: rules.received(one, has_arrived=True, code="", now=LATER),
        lambda one: rules.received(one, has_arrived=False, code="C", now=LATER),
    ]
)


@given(st.lists(STEPS, max_size=8))
def test_what_has_ended_never_changes(steps: list[object]) -> None:
    delivery = queued()
    for step in steps:
        after = step(delivery)  # type: ignore[operator]
        if delivery.has_ended:
            assert after == delivery
        assert after.has_ended or after.state in {State.QUEUED, State.SENT}
        assert not (delivery.state is State.SENT and after.state is State.QUEUED)
        delivery = after


@given(
    attempts=st.integers(1, 200),
    share=st.floats(0, 1),
    asked=st.none() | st.floats(0, 1e9),
    channel=st.sampled_from(list(DEFAULTS)),
)
def test_waits_stay_within_the_policy_and_heed_what_was_asked(
    attempts: int, share: float, asked: float | None, channel: Channel
) -> None:
    policy = DEFAULTS[channel]
    wait = rules.wait_seconds(attempts, policy, asked, share)
    longest = max(policy.most_wait_seconds, min(asked or 0, 86_400))
    assert policy.first_wait_seconds / 2 <= wait <= longest
    assert wait >= min(asked or 0, 86_400)


def test_waits_double() -> None:
    waits = [rules.wait_seconds(attempts, POLICY, None, 1.0) for attempts in range(1, 7)]
    assert waits == [10, 20, 40, 80, 100, 100]


@given(st.integers(0, 50), st.integers(0, 50), st.integers(1, 30))
def test_the_day_bound_is_never_passed_and_never_wasted(before: int, wanted: int, most: int) -> None:
    passing = rules.within_bound(wanted, before + wanted, most)
    assert passing == max(0, min(wanted, most - before))


def test_a_day_begins_at_midnight_in_shanghai() -> None:
    assert rules.day_of(datetime(2025, 6, 10, 15, 59, tzinfo=UTC)) == date(2025, 6, 10)
    assert rules.day_of(datetime(2025, 6, 10, 16, 0, tzinfo=UTC)) == date(2025, 6, 11)
