"""Months of Asia/Shanghai: every instant and every UUIDv7 is in just one, and the bounds say so."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kit.clock import ClockError
from kit.ids import uuid7
from kit.months import Month, month_of, month_of_id, month_of_partition

MONTHS = st.builds(Month, st.integers(1970, 9000), st.integers(1, 12)).filter(lambda month: month > Month(1970, 1))
INSTANTS = st.datetimes(datetime(1970, 2, 1), datetime(9000, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - with zone
TURN = datetime(2026, 10, 31, 16, tzinfo=UTC)
"""Midnight in Shanghai, with which November begins."""


def made_at(at: datetime, random: int) -> UUID:
    milliseconds = (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    return UUID(int=milliseconds << 80 | 0x7 << 76 | random & ~(0xF << 76))


@given(INSTANTS)
@example(TURN)
@example(TURN - timedelta(microseconds=1))
def test_every_instant_is_in_just_one_month(at: datetime) -> None:
    month = month_of(at)
    assert month.begins_at <= at < month.next.begins_at


@given(INSTANTS, st.integers(0, 2**80 - 1))
@example(TURN, 0)
@example(TURN, 2**80 - 1)
@example(TURN - timedelta(milliseconds=1), 2**80 - 1)
def test_every_id_is_in_the_month_in_which_it_was_made(at: datetime, random: int) -> None:
    made = made_at(at, random)
    month = month_of(at)
    assert month.first_id <= made < month.next.first_id
    assert month_of_id(made) == month


@given(MONTHS)
def test_months_follow_each_other_without_a_gap(month: Month) -> None:
    assert month < month.next
    assert month_of(month.next.begins_at) == month.next
    assert month_of(month.next.begins_at - timedelta(microseconds=1)) == month
    assert month_of_id(month.first_id) == month


@given(MONTHS, st.integers(0, 40))
def test_so_many_months_later_is_the_next_so_many_times(month: Month, months: int) -> None:
    expected = month
    for _ in range(months):
        expected = expected.next
    assert month.later(months) == expected


@given(MONTHS)
def test_a_partition_says_its_month(month: Month) -> None:
    assert month_of_partition(month.partition_of("inbox")) == month


@pytest.mark.parametrize("name", ["inbox", "inbox_before", "inbox_rest", "outbox_event_1", "inbox_2026_11_x"])
def test_other_partitions_say_none(name: str) -> None:
    assert month_of_partition(name) is None


def test_a_month_begins_at_midnight_in_shanghai() -> None:
    assert Month(2026, 11).begins_at == TURN
    assert Month(2026, 11).first_id == UUID("01a192b0-7400-0000-0000-000000000000")
    assert str(Month(2026, 11)) == "2026-11"


def test_what_is_made_now_is_in_the_month_of_now() -> None:
    before, made, after = datetime.now(UTC), uuid7(), datetime.now(UTC)
    assert month_of(before) <= month_of_id(made) <= month_of(after)


def test_an_instant_without_a_zone_has_no_month() -> None:
    with pytest.raises(ClockError):
        month_of(datetime(2026, 11, 1))  # noqa: DTZ001 - this is what must be refused
