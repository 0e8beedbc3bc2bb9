"""Dated enrolments, against a model that keeps one entry a day."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from identity.domain.enrolment import Enrolment, InsuranceStatus, changes, in_force, is_known
from identity.domain.person import Person, record_enrolment, take_enrolment_from_register
from identity.testing import enrolment, person

FIRST = date(2024, 2, 25)
HORIZON = [FIRST + timedelta(days=days) for days in range(20)]


@st.composite
def statements(draw: st.DrawFn) -> Enrolment:
    first = draw(st.integers(0, 15))
    length = draw(st.none() | st.integers(0, 8))
    status = draw(st.sampled_from([InsuranceStatus.NORMAL, InsuranceStatus.SUSPENDED]))
    last = None if length is None else HORIZON[first] + timedelta(days=length)
    return enrolment(HORIZON[first], last, psn_insu_stas=status)


def said(stated: Enrolment) -> Enrolment:
    return replace(stated, valid_from=date.min)


def calendar(recorded: Sequence[Enrolment]) -> dict[date, Enrolment]:
    """Each statement overwrites every day from its first on; what it says of the days after its last is: nothing."""
    days: dict[date, Enrolment] = {}
    for one in recorded:
        days.update({day: said(one) for day in HORIZON if day >= one.valid_from})
    return days


@given(st.lists(statements(), max_size=6))
def test_a_day_has_what_was_recorded_last_for_it(recorded: list[Enrolment]) -> None:
    days = calendar(recorded)
    for day in HORIZON:
        expected = days.get(day)
        if expected is not None and expected.valid_to is not None and expected.valid_to < day:
            expected = None
        found = in_force(recorded, day)
        assert (said(found) if found else None) == expected


@given(st.lists(statements(), max_size=6), statements())
def test_a_statement_changes_something_exactly_when_a_day_reads_otherwise(
    recorded: list[Enrolment], new: Enrolment
) -> None:
    assert changes(recorded, new) == (calendar(recorded) != calendar([*recorded, new]))


@given(st.lists(statements(), max_size=6), statements())
def test_a_statement_that_was_recorded_changes_nothing_when_it_comes_again(
    recorded: list[Enrolment], new: Enrolment
) -> None:
    assert not changes([*recorded, new], new)
    assert is_known([*recorded, new], new)


@given(st.lists(statements(), min_size=1, max_size=6))
def test_nothing_recorded_is_ever_taken_out(stated: list[Enrolment]) -> None:
    someone = Person("P1", "张三", (), FIRST)
    for one in stated:
        before, someone = someone, record_enrolment(someone, one)
        assert someone.enrolments[: len(before.enrolments)] == before.enrolments
        assert someone.version - before.version == len(someone.enrolments) - len(before.enrolments)


def test_a_repeated_register_row_does_not_undo_what_was_recorded_for_later_days() -> None:
    row = enrolment(date(2025, 1, 1))
    suspended = enrolment(date(2025, 3, 1), psn_insu_stas=InsuranceStatus.SUSPENDED)
    someone = record_enrolment(person(enrolments=(row,)), suspended)
    assert take_enrolment_from_register(someone, row) is someone


def test_an_operator_may_undo_what_was_recorded_for_later_days() -> None:
    row = enrolment(date(2025, 1, 1))
    suspended = enrolment(date(2025, 3, 1), psn_insu_stas=InsuranceStatus.SUSPENDED)
    someone = record_enrolment(record_enrolment(person(enrolments=(row,)), suspended), row)
    assert someone.enrolment_on(date(2025, 4, 1)) == row


def test_first_and_last_day_count() -> None:
    recorded = [enrolment(date(2025, 3, 1), date(2025, 3, 31))]
    held = [
        day for day in (28 + n for n in range(40)) if in_force(recorded, date(2025, 2, 1) + timedelta(days=day - 1))
    ]
    assert (held[0], held[-1]) == (29, 59)
    assert in_force(recorded, date(2025, 2, 28)) is None
    assert in_force(recorded, date(2025, 3, 1)) is not None
    assert in_force(recorded, date(2025, 3, 31)) is not None
    assert in_force(recorded, date(2025, 4, 1)) is None


def test_arrears_alone_are_a_change() -> None:
    recorded = [enrolment()]
    assert changes(recorded, enrolment(date(2025, 5, 1), arrears=True))


def test_what_was_corrected_for_its_whole_time_no_longer_counts_as_said() -> None:
    normal, later = enrolment(date(2025, 1, 1)), date(2025, 3, 1)
    mistaken = enrolment(later, psn_insu_stas=InsuranceStatus.SUSPENDED)
    assert not changes([normal, mistaken, enrolment(later)], normal)
    assert changes([normal, mistaken], normal)
