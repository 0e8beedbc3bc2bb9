"""Windows of limits and what is left in them (R6)."""

from datetime import UTC, date, datetime

import pytest

from binding.domain.limits import (
    COUNTED_WINDOWS,
    TOTAL_START,
    CounterKey,
    Left,
    Limits,
    LimitWindow,
    Use,
    counter_keys,
    tightest,
    window_start,
)
from binding.testing import TODAY, named
from kit.clock import shanghai_date

R = named("father-child")


def spent(**used_fen: int) -> dict[CounterKey, Use]:
    return {
        key: Use(
            used_fen.get(key.window.lower(), 0) // 2,
            used_fen.get(key.window.lower(), 0) - used_fen.get(key.window.lower(), 0) // 2,
        )
        for key in counter_keys(R, TODAY)
    }


@pytest.mark.parametrize(
    ("window", "day", "start"),
    [
        (LimitWindow.DAY, date(2024, 2, 29), date(2024, 2, 29)),
        (LimitWindow.MONTH, date(2024, 2, 29), date(2024, 2, 1)),
        (LimitWindow.MONTH, date(2024, 3, 1), date(2024, 3, 1)),
        (LimitWindow.YEAR, date(2024, 2, 29), date(2024, 1, 1)),
        (LimitWindow.YEAR, date(2023, 12, 31), date(2023, 1, 1)),
        (LimitWindow.TOTAL, date(2024, 2, 29), TOTAL_START),
        (LimitWindow.TOTAL, date(2031, 7, 5), TOTAL_START),
    ],
)
def test_a_window_begins_on_its_first_day(window: LimitWindow, day: date, start: date) -> None:
    assert window_start(window, day) == start


@pytest.mark.parametrize(
    ("before", "after", "same"),
    [
        # 15:59:59 UTC is the last second of the day in Shanghai
        (datetime(2025, 6, 10, 15, 59, 59, tzinfo=UTC), datetime(2025, 6, 10, 16, 0, tzinfo=UTC), {"MONTH", "YEAR"}),
        (datetime(2025, 6, 30, 15, 59, 59, tzinfo=UTC), datetime(2025, 6, 30, 16, 0, tzinfo=UTC), {"YEAR"}),
        (datetime(2025, 12, 31, 15, 59, 59, tzinfo=UTC), datetime(2025, 12, 31, 16, 0, tzinfo=UTC), set()),
        (datetime(2024, 2, 28, 15, 59, 59, tzinfo=UTC), datetime(2024, 2, 28, 16, 0, tzinfo=UTC), {"MONTH", "YEAR"}),
        (datetime(2024, 2, 29, 15, 59, 59, tzinfo=UTC), datetime(2024, 2, 29, 16, 0, tzinfo=UTC), {"YEAR"}),
        (datetime(2025, 2, 28, 15, 59, 59, tzinfo=UTC), datetime(2025, 2, 28, 16, 0, tzinfo=UTC), {"YEAR"}),
        # midnight in UTC is an ordinary morning in Shanghai
        (datetime(2025, 12, 31, 23, 59, tzinfo=UTC), datetime(2026, 1, 1, 0, 0, tzinfo=UTC), {"DAY", "MONTH", "YEAR"}),
    ],
)
def test_windows_turn_at_midnight_in_shanghai(before: datetime, after: datetime, same: set[str]) -> None:
    keys = zip(counter_keys(R, shanghai_date(before)), counter_keys(R, shanghai_date(after)), strict=True)
    assert {old.window.value for old, new in keys if old == new} == same | {"TOTAL"}


def test_every_relation_counts_in_four_windows() -> None:
    assert [key.window for key in counter_keys(R, TODAY)] == list(COUNTED_WINDOWS)
    assert len(COUNTED_WINDOWS) == 4


def test_without_a_limit_nothing_is_tight() -> None:
    assert tightest(Limits(), R, TODAY, spent(day=5)) is None


@pytest.mark.parametrize(
    ("limits", "used", "left"),
    [
        (Limits(settlement_fen=100), {"day": 90}, Left(100, LimitWindow.SETTLEMENT)),
        (Limits(day_fen=100), {"day": 90}, Left(10, LimitWindow.DAY)),
        (Limits(day_fen=100, year_fen=105), {"day": 90, "year": 96}, Left(9, LimitWindow.YEAR)),
        (Limits(month_fen=50, total_fen=80), {"month": 20, "total": 70}, Left(10, LimitWindow.TOTAL)),
        (Limits(total_fen=80), {"total": 100}, Left(-20, LimitWindow.TOTAL)),
    ],
)
def test_the_tightest_window_is_the_one_with_the_least_left(limits: Limits, used: dict[str, int], left: Left) -> None:
    assert tightest(limits, R, TODAY, spent(**used)) == left


@pytest.mark.parametrize("first", range(5))
def test_on_a_tie_the_first_window_is_told(first: int) -> None:
    windows = list(LimitWindow)
    fields = [f"{window.lower()}_fen" for window in windows]
    limits = Limits(**dict.fromkeys(fields[first:], 100))
    assert tightest(limits, R, TODAY, {}) == Left(100, windows[first])


def test_what_others_hold_counts_like_what_is_used() -> None:
    uses = {CounterKey(R, LimitWindow.DAY, TODAY): Use(30, 40)}
    assert tightest(Limits(day_fen=100), R, TODAY, uses) == Left(30, LimitWindow.DAY)


def test_the_use_of_another_relation_or_window_does_not_count() -> None:
    uses = {
        CounterKey(named("other"), LimitWindow.DAY, TODAY): Use(99, 0),
        CounterKey(R, LimitWindow.DAY, date(2025, 6, 9)): Use(99, 0),
    }
    assert tightest(Limits(day_fen=100), R, TODAY, uses) == Left(100, LimitWindow.DAY)
