"""Who gets which events, when an attempt is repeated, and when a webhook is switched off."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notify.domain.webhooks import (
    FIRST_REST,
    MOST_REST,
    OF_INSTITUTIONS,
    RESTS_AFTER,
    RETRIED_FOR,
    SEALED,
    Health,
    Listening,
    OffReason,
    Outcome,
    Result,
    Secrets,
    institution,
    next_attempt_at,
    off_reason,
    refused_types,
    system,
    wants,
)

AT = datetime(2025, 6, 10, 2, 0, tzinfo=UTC)
COMPLETED = "gongji.settlement.events.v1.SettlementCompleted"
DEBITED = "gongji.settlement.events.v1.AccountDebited"
CODE_ISSUED = "gongji.identity.events.v1.VerificationCodeIssued"
HOSPITAL, PHARMACY = "H65270100001", "P65270100002"
FAILED = Outcome(Result.UNREACHABLE)
SECONDS = st.integers(min_value=0, max_value=200_000).map(lambda seconds: timedelta(seconds=seconds))


def listening(owner: str, *types: str) -> Listening:
    return Listening(uuid4(), owner, frozenset(types), AT)


def test_an_institution_gets_what_names_it_and_nothing_that_names_another() -> None:
    ours = listening(institution(HOSPITAL), COMPLETED)
    assert wants(ours, COMPLETED, institution(HOSPITAL), AT)
    assert not wants(ours, COMPLETED, institution(PHARMACY), AT)
    assert not wants(ours, COMPLETED, "", AT)


def test_a_system_gets_every_event_of_its_types_and_of_no_other() -> None:
    ours = listening(system("records"), DEBITED)
    assert wants(ours, DEBITED, institution(HOSPITAL), AT)
    assert wants(ours, DEBITED, "", AT)
    assert not wants(ours, COMPLETED, institution(HOSPITAL), AT)


def test_what_occurred_before_the_webhook_was_made_is_not_sent() -> None:
    ours = listening(system("records"), DEBITED)
    assert not wants(ours, DEBITED, "", AT - timedelta(microseconds=1))
    assert wants(ours, DEBITED, "", AT)


def test_a_row_that_says_more_than_its_owner_may_have_gives_no_more() -> None:
    assert not wants(listening(institution(HOSPITAL), DEBITED), DEBITED, institution(HOSPITAL), AT)
    assert not wants(listening(system("records"), CODE_ISSUED), CODE_ISSUED, "", AT)


def test_an_institution_cannot_subscribe_to_the_accounts_of_families() -> None:
    known = {*OF_INSTITUTIONS, DEBITED, CODE_ISSUED}
    assert refused_types(institution(HOSPITAL), {COMPLETED, DEBITED}, known) == {DEBITED}
    assert refused_types(institution(HOSPITAL), OF_INSTITUTIONS, known) == set()


def test_nobody_can_subscribe_to_one_time_codes_or_to_what_is_no_event() -> None:
    known = {COMPLETED, DEBITED, CODE_ISSUED}
    assert refused_types(system("records"), {DEBITED, CODE_ISSUED, "x.Y"}, known) == {CODE_ISSUED, "x.Y"}
    assert {CODE_ISSUED} == SEALED


@given(
    attempts=st.integers(min_value=1, max_value=100),
    waited=SECONDS,
    retry_after=st.none() | SECONDS,
    jitter=st.floats(min_value=0, max_value=1),
)
def test_the_next_attempt_is_later_and_never_beyond_24_hours(
    attempts: int, waited: timedelta, retry_after: timedelta | None, jitter: float
) -> None:
    now = AT + waited
    again = next_attempt_at(AT, attempts, retry_after, now, jitter)
    if now >= AT + RETRIED_FOR:
        assert again is None
    else:
        assert again is not None
        assert now < again <= AT + RETRIED_FOR
        assert again == AT + RETRIED_FOR or again >= now + (retry_after or timedelta())


def test_a_receiver_that_never_answers_is_tried_a_dozen_times_the_last_after_24_hours() -> None:
    times = [AT]
    while (again := next_attempt_at(AT, len(times), None, times[-1], 0.0)) is not None:
        times.append(again)
    assert 10 <= len(times) <= 15
    assert times[-1] == AT + RETRIED_FOR
    pauses = [later - earlier for earlier, later in pairwise(times)]
    assert pauses[0] == timedelta(seconds=5)
    assert pauses[:-1] == sorted(pauses[:-1])


def test_jitter_spreads_the_attempts() -> None:
    assert next_attempt_at(AT, 3, None, AT, 1.0) == AT + timedelta(seconds=360)
    assert next_attempt_at(AT, 3, None, AT, 0.0) == AT + timedelta(seconds=300)


def test_success_forgets_all_failures() -> None:
    failing = Health().after(FAILED, AT).after(FAILED, AT + timedelta(hours=1))
    assert failing.failing_since == AT
    assert failing.failures_in_row == 2
    assert failing.after(Outcome(Result.DELIVERED, 204), AT + timedelta(hours=2)) == Health()


@given(failures=st.integers(min_value=1, max_value=500), asked=st.none() | SECONDS)
def test_who_fails_again_and_again_is_left_alone_for_growing_times(failures: int, asked: timedelta | None) -> None:
    outcome = Outcome(Result.REFUSED, 503, asked)
    health = Health(AT, failures - 1).after(outcome, AT)
    rests = health.rests_until - AT if health.rests_until else timedelta()
    assert timedelta() <= rests <= MOST_REST
    assert rests >= min(asked or timedelta(), MOST_REST)
    if failures >= RESTS_AFTER:
        assert rests >= FIRST_REST
    elif not asked:
        assert rests == timedelta()


@pytest.mark.parametrize(
    ("hours", "expected"), [(0, None), (23.99, None), (24, OffReason.LASTING_FAILURE), (100, OffReason.LASTING_FAILURE)]
)
def test_a_webhook_is_switched_off_after_a_day_without_success(hours: float, expected: OffReason | None) -> None:
    assert off_reason(Health(AT, 9), FAILED, AT + timedelta(hours=hours)) is expected


@pytest.mark.parametrize(("failures", "expected"), [(2, None), (7, None), (8, OffReason.LASTING_FAILURE)])
def test_a_webhook_that_was_hardly_tried_in_that_day_is_not_switched_off(
    failures: int, expected: OffReason | None
) -> None:
    assert off_reason(Health(AT, failures), FAILED, AT + timedelta(hours=30)) is expected


def test_a_receiver_that_is_gone_is_believed_at_once() -> None:
    assert off_reason(Health(AT, 1), Outcome(Result.REFUSED, 410), AT) is OffReason.GONE
    assert off_reason(Health(AT, 1), Outcome(Result.REFUSED, 404), AT) is None


def test_while_a_secret_is_replaced_both_are_signed_with() -> None:
    secrets = Secrets("one").rotated("two", AT, timedelta(hours=24))
    assert secrets.valid(AT + timedelta(hours=23)) == ("two", "one")
    assert secrets.valid(AT + timedelta(hours=24)) == ("two",)
    again = secrets.rotated("three", AT + timedelta(hours=1), timedelta(hours=24))
    assert again.valid(AT + timedelta(hours=2)) == ("three", "two")


def test_secrets_are_not_printed() -> None:
    assert "whsec" not in repr(Secrets("whsec_1", "whsec_2", AT))
