"""The life of a relation, and what is known of persons."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from binding.domain.errors import StateForbids
from binding.domain.limits import Limits
from binding.domain.persons import Person, age_on
from binding.domain.relations import (
    NEXT,
    EndCause,
    Relation,
    RelationState,
    ValidityRefused,
    change_limits,
    decline_reason,
    end,
    expire,
    extend,
    place,
    resume,
    suspend,
    unbind,
)
from binding.testing import NOON, TODAY, enrolment, relation

S = RelationState
LONGEST = timedelta(days=1827)
ENDED: dict[str, Any] = {"state": S.ENDED, "end_cause": EndCause.UNBOUND, "ended_at": NOON}

STEPS: dict[str, Callable[[Relation], Relation]] = {
    "suspend": lambda it: suspend(it, "arrears checked", NOON, TODAY),
    "resume": lambda it: resume(it, TODAY),
    "end": lambda it: end(it, EndCause.PAYER_DIED, "", NOON),
    "unbind": lambda it: unbind(it, "", NOON, TODAY),
    "change": lambda it: change_limits(it, Limits(day_fen=1), TODAY),
    "extend": lambda it: extend(it, it.valid_to + timedelta(days=1), TODAY, LONGEST),
    "place": lambda it: place(it, 7, TODAY),
}
ALIKE = {"unbind": "end", "extend": "change", "place": "change"}
"""Steps that are allowed where another one is."""
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


@pytest.mark.parametrize("state", list(S))
@pytest.mark.parametrize("step", list(STEPS))
def test_every_step_is_allowed_or_refused_as_the_table_says(state: RelationState, step: str) -> None:
    before = relation(**ENDED) if state is S.ENDED else relation(state=state)
    then = THEN[state, ALIKE.get(step, step)]
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


def test_resuming_forgets_why_and_since_when_it_was_suspended() -> None:
    suspended = suspend(relation(), "why", NOON, TODAY)
    assert (suspended.state_reason, suspended.suspended_at) == ("why", NOON)
    assert resume(suspended, TODAY) == relation()


# what ran out by date is over, whether the scheduler has recorded it or not

RAN_OUT = relation(valid_to=TODAY - timedelta(days=1))
RECORDED = expire(RAN_OUT, NOON)


@pytest.mark.parametrize("before", [RAN_OUT, RECORDED])
@pytest.mark.parametrize("step", ["resume", "change", "extend", "place"])
def test_what_ran_out_changes_no_more(before: Relation, step: str) -> None:
    with pytest.raises(StateForbids):
        STEPS[step](before)


@pytest.mark.parametrize("before", [RAN_OUT, RECORDED])
def test_there_is_nothing_left_to_suspend_of_what_ran_out(before: Relation) -> None:
    assert STEPS["suspend"](before) is before


@pytest.mark.parametrize("before", [RAN_OUT, RECORDED])
def test_unbinding_what_ran_out_leaves_it_expired(before: Relation) -> None:
    ended = unbind(before, "too late", NOON, TODAY)
    assert (ended.end_cause, ended.ended_from, ended.state_reason) == (EndCause.EXPIRED, TODAY, "")


def test_a_relation_is_good_for_the_whole_of_its_last_day() -> None:
    last = relation(valid_to=TODAY)
    assert unbind(last, "", NOON, TODAY).end_cause is EndCause.UNBOUND
    assert STEPS["suspend"](last).state is S.SUSPENDED


@pytest.mark.parametrize(
    "day", [TODAY - timedelta(days=2), TODAY - timedelta(days=1), TODAY, TODAY + timedelta(days=1)]
)
@pytest.mark.parametrize("suspended", [False, True])
def test_recording_that_it_ran_out_changes_no_answer(day: date, suspended: bool) -> None:  # noqa: FBT001 - a case
    before = suspend(relation(valid_to=RAN_OUT.valid_to), "why", NOON, RAN_OUT.valid_to) if suspended else RAN_OUT
    assert decline_reason(expire(before, NOON), day, {}) == decline_reason(before, day, {})


def test_an_end_by_a_date_counts_from_that_day_and_another_for_every_day() -> None:
    lost = end(relation(), EndCause.PAYER_ENROLMENT_LOST, "", NOON, TODAY)
    assert decline_reason(lost, TODAY - timedelta(days=1), {}) is None
    assert decline_reason(lost, TODAY, {}) == "RELATION_ENDED"
    unbound = end(relation(), EndCause.UNBOUND, "", NOON)
    assert decline_reason(unbound, TODAY - timedelta(days=1), {}) == "RELATION_ENDED"


# extending


@pytest.mark.parametrize(
    ("valid_to", "refused"),
    [
        (date(2026, 12, 30), True),
        (date(2026, 12, 31), False),
        (date(2027, 1, 1), False),
        (TODAY + timedelta(days=1000), False),
        (TODAY + timedelta(days=1001), True),
        (date.max, True),
    ],
)
def test_the_last_day_moves_forward_only_and_not_beyond_the_bound(valid_to: date, refused: bool) -> None:  # noqa: FBT001
    before = relation(valid_to=date(2026, 12, 31))
    if refused:
        with pytest.raises(ValidityRefused):
            extend(before, valid_to, TODAY, timedelta(days=1000))
    else:
        assert extend(before, valid_to, TODAY, timedelta(days=1000)) == replace(before, valid_to=valid_to)


def test_a_last_day_beyond_the_bound_may_stay_as_it_was_approved() -> None:
    far = relation(valid_to=date(2099, 1, 1))
    assert extend(far, far.valid_to, TODAY, timedelta(days=1000)) == far


def test_an_extension_keeps_a_suspension() -> None:
    suspended = suspend(relation(), "why", NOON, TODAY)
    extended = extend(suspended, date(2027, 1, 1), TODAY, LONGEST)
    assert (extended.state, extended.state_reason, extended.suspended_at) == (S.SUSPENDED, "why", NOON)


def test_the_states_in_the_readme_are_those_of_the_rules() -> None:
    drawn = diagram_of("## A relation")
    named = {(state, step): then for state, step, then in drawn}
    assert named == {(state.value, step.value): then.value for (state, step), then in NEXT.items()}


def diagram_of(heading: str) -> list[tuple[str, str, str]]:
    """(state, step, state after it) of the first Mermaid diagram under a heading of the README."""
    text = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    _, _, section = text.partition(f"\n{heading}\n")
    _, _, rest = section.partition("```mermaid\n")
    chart, _, _ = rest.partition("```")
    arrow = re.compile(r"^ *([A-Z]+) --> ([A-Z]+): ([a-z]+)", re.MULTILINE)
    return [(before, step.upper(), after) for before, after, step in arrow.findall(chart)]


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
