"""The life of a relation, and what is known of persons."""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest

from binding.domain.errors import StateForbids
from binding.domain.limits import Limits
from binding.domain.persons import Person, age_on
from binding.domain.relations import EndCause, Relation, RelationState, change_limits, end, resume, suspend
from binding.testing import NOON, TODAY, enrolment, relation

S = RelationState
ENDED: dict[str, Any] = {"state": S.ENDED, "end_cause": EndCause.UNBOUND, "ended_at": NOON}

STEPS: dict[str, Callable[[Relation], Relation]] = {
    "suspend": lambda it: suspend(it, "arrears checked"),
    "resume": resume,
    "end": lambda it: end(it, EndCause.PAYER_DIED, "", NOON),
    "change": lambda it: change_limits(it, Limits(day_fen=1)),
}
THEN: dict[tuple[RelationState, str], RelationState | None] = {
    (S.ACTIVE, "suspend"): S.SUSPENDED,
    (S.ACTIVE, "resume"): S.ACTIVE,
    (S.ACTIVE, "end"): S.ENDED,
    (S.ACTIVE, "change"): S.ACTIVE,
    (S.SUSPENDED, "suspend"): S.SUSPENDED,
    (S.SUSPENDED, "resume"): S.ACTIVE,
    (S.SUSPENDED, "end"): S.ENDED,
    (S.SUSPENDED, "change"): S.SUSPENDED,
    (S.ENDED, "suspend"): None,
    (S.ENDED, "resume"): None,
    (S.ENDED, "end"): S.ENDED,
    (S.ENDED, "change"): None,
}


@pytest.mark.parametrize(("state", "step"), list(THEN))
def test_every_step_is_allowed_or_refused_as_the_table_says(state: RelationState, step: str) -> None:
    before = relation(**ENDED) if state is S.ENDED else relation(state=state)
    then = THEN[state, step]
    if then is None:
        with pytest.raises(StateForbids):
            STEPS[step](before)
    else:
        assert STEPS[step](before).state is then


@pytest.mark.parametrize(
    ("before", "step"),
    [
        (relation(), "resume"),
        (relation(state=S.SUSPENDED, state_reason="first"), "suspend"),
        (relation(**ENDED), "end"),
    ],
)
def test_what_is_so_already_stays_the_same(before: Relation, step: str) -> None:
    assert STEPS[step](before) is before


def test_resuming_forgets_why_it_was_suspended() -> None:
    assert resume(suspend(relation(), "why")) == relation()


def test_an_end_tells_its_cause_and_time() -> None:
    ended = end(relation(), EndCause.UNBOUND, "moved away", NOON)
    assert (ended.end_cause, ended.state_reason, ended.ended_at) == (EndCause.UNBOUND, "moved away", NOON)


@pytest.mark.parametrize(
    ("brdy", "day", "years"),
    [
        (date(2007, 6, 10), date(2025, 6, 9), 17),
        (date(2007, 6, 10), date(2025, 6, 10), 18),
        (date(2008, 2, 29), date(2026, 2, 28), 17),
        (date(2008, 2, 29), date(2026, 3, 1), 18),
        (date(2008, 2, 29), date(2028, 2, 29), 20),
    ],
)
def test_age_counts_completed_years(brdy: date, day: date, years: int) -> None:
    assert age_on(brdy, day) == years


def test_the_newest_statement_that_has_begun_is_in_force() -> None:
    first = enrolment(sequence=2)
    future = enrolment(sequence=3, valid_from=TODAY + timedelta(days=30))
    correction = enrolment(sequence=5, valid_from=date(2025, 1, 1), valid_to=date(2025, 5, 31))
    person = Person("P", None, None, (correction, first, future))
    assert person.enrolment_on(date(2024, 12, 31)) == first
    assert person.enrolment_on(date(2025, 5, 31)) == correction
    assert person.enrolment_on(TODAY) is None  # the correction ran out, and what it replaced does not come back
    assert person.enrolment_on(date(2019, 1, 1)) is None
