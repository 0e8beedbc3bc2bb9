"""Time comes from one place and can be moved only where a test moves it."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.clock import (
    SHANGHAI,
    ClockError,
    Elapsed,
    FixedClock,
    OffsetClock,
    SystemClock,
    clock_from,
    shanghai_date,
)

NOON = datetime(2025, 6, 1, 12, 0, tzinfo=UTC)


def near(at: datetime, expected: datetime) -> bool:
    return abs(at - expected) < timedelta(seconds=5)


def write(path: Path, text: str) -> None:
    beside = path.with_suffix(".new")
    beside.write_text(text)
    beside.replace(path)


@pytest.mark.parametrize(
    ("at", "day"),
    [
        (datetime(2025, 12, 31, 15, 59, 59, tzinfo=UTC), date(2025, 12, 31)),
        (datetime(2025, 12, 31, 16, 0, 0, tzinfo=UTC), date(2026, 1, 1)),
        (datetime(2025, 6, 1, 0, 0, tzinfo=SHANGHAI), date(2025, 6, 1)),
    ],
)
def test_a_day_begins_at_midnight_in_shanghai(at: datetime, day: date) -> None:
    assert shanghai_date(at) == day


@settings(deadline=None)
@given(st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2100, 1, 1)))  # noqa: DTZ001 - made aware below
def test_the_day_is_eight_hours_ahead_of_utc(naive: datetime) -> None:
    assert shanghai_date(naive.replace(tzinfo=UTC)) == (naive + timedelta(hours=8)).date()


def test_a_moment_without_a_zone_has_no_day() -> None:
    with pytest.raises(ClockError, match="time zone"):
        shanghai_date(NOON.replace(tzinfo=None))
    with pytest.raises(ClockError, match="time zone"):
        FixedClock(NOON.replace(tzinfo=None))


def test_a_fixed_clock_moves_only_when_told() -> None:
    clock = FixedClock(NOON)
    clock.advance(timedelta(days=1))
    assert clock.now() == NOON + timedelta(days=1)
    clock.set(NOON.astimezone(SHANGHAI))
    assert clock.now() == NOON
    assert clock.now().tzinfo is UTC


def test_an_offset_is_read_again_whenever_the_file_changes(tmp_path: Path) -> None:
    file = tmp_path / "offset"
    clock = OffsetClock(file)
    assert near(clock.now(), SystemClock().now())
    write(file, "86400\n")
    assert near(clock.now(), SystemClock().now() + timedelta(days=1))
    write(file, "-3600.5")
    assert near(clock.now(), SystemClock().now() - timedelta(seconds=3600.5))
    file.unlink()
    assert near(clock.now(), SystemClock().now())


def test_a_file_that_is_just_being_written_leaves_the_time_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "offset"
    write(file, "86400")
    clock = OffsetClock(file)
    clock.now()
    write(file, "")
    assert near(clock.now(), SystemClock().now() + timedelta(days=1))


@pytest.mark.parametrize("text", ["tomorrow", "1e99", "nan"])
def test_an_offset_that_is_no_number_is_refused_with_the_file_named(tmp_path: Path, text: str) -> None:
    file = tmp_path / "offset"
    write(file, text)
    with pytest.raises(ClockError, match=str(file)):
        OffsetClock(file).now()


def test_the_settings_choose_the_clock(tmp_path: Path) -> None:
    assert isinstance(clock_from(SimpleNamespace(clock_offset_file=None)), SystemClock)
    assert isinstance(clock_from(SimpleNamespace(clock_offset_file=tmp_path / "x")), OffsetClock)


def test_elapsed_seconds_follow_the_ticks_alone() -> None:
    now = 100.0
    elapsed = Elapsed(lambda: now)
    now = 101.5
    assert elapsed.seconds == 1.5
    elapsed.restart()
    assert elapsed.seconds == 0
