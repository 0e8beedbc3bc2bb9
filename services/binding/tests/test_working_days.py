"""Due days: the rule against a model that counts by hand, and the calendar against the State Council's notices."""

from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from binding.calendars import BadWorkingDaysFile, ChineseCalendar, RegionalDays, is_announced
from binding.domain.working_days import Promise, Weekdays, due_on

NATIONAL = ChineseCalendar()
# 国办发明电〔2024〕12号 and 国办发明电〔2025〕7号: first and last day off, and the weekend days worked instead.
HOLIDAYS = {
    2025: ["01-01/01-01", "01-28/02-04", "04-04/04-06", "05-01/05-05", "05-31/06-02", "10-01/10-08"],
    2026: ["01-01/01-03", "02-15/02-23", "04-04/04-06", "05-01/05-05", "06-19/06-21", "09-25/09-27", "10-01/10-07"],
}
WORKED = {
    2025: ["01-26", "02-08", "04-27", "09-28", "10-11"],
    2026: ["01-04", "02-14", "02-28", "05-09", "09-20", "10-10"],
}


class Listed:
    """A calendar of weekdays with exceptions."""

    def __init__(self, exceptions: set[date]) -> None:
        self.exceptions = exceptions

    def is_working_day(self, day: date) -> bool:
        return (day.weekday() < 5) != (day in self.exceptions)


days = st.dates(date(2024, 1, 1), date(2027, 12, 31))


@given(submitted_on=days, working_days=st.integers(1, 60), exceptions=st.sets(days, max_size=80))
def test_the_due_day_is_a_working_day_with_just_as_many_after_the_submission(
    submitted_on: date, working_days: int, exceptions: set[date]
) -> None:
    calendar = Listed(exceptions)
    due = due_on(submitted_on, working_days, calendar)
    between = [submitted_on + timedelta(days=number + 1) for number in range((due - submitted_on).days)]
    assert sum(calendar.is_working_day(day) for day in between) == working_days
    assert calendar.is_working_day(due)


@given(first=days, second=days, working_days=st.integers(1, 30))
def test_who_hands_in_earlier_is_never_due_later(first: date, second: date, working_days: int) -> None:
    earlier, later = sorted((first, second))
    assert due_on(earlier, working_days, NATIONAL) <= due_on(later, working_days, NATIONAL)


def test_a_week_without_holidays() -> None:
    assert due_on(date(2025, 6, 10), 5, Weekdays()) == date(2025, 6, 17)
    assert due_on(date(2025, 6, 13), 1, Weekdays()) == date(2025, 6, 16)
    assert due_on(date(2025, 6, 14), 1, Weekdays()) == date(2025, 6, 16)


@pytest.mark.parametrize(
    ("submitted_on", "due"),
    [
        (date(2025, 1, 24), date(2025, 2, 8)),  # Sunday 26 and Monday 27 January are worked, then again 5 February
        (date(2025, 9, 26), date(2025, 10, 9)),  # Sunday 28, then 29 and 30 September; 9 October is the fourth
        (date(2025, 9, 30), date(2025, 10, 13)),
        (date(2026, 2, 13), date(2026, 2, 26)),  # Saturday 14 is worked, then eight days of 春节
    ],
)
def test_holidays_and_the_weekends_that_make_up_for_them_count(submitted_on: date, due: date) -> None:
    expected = {date(2025, 1, 24): 6, date(2025, 9, 26): 4, date(2025, 9, 30): 4, date(2026, 2, 13): 4}
    assert due_on(submitted_on, expected[submitted_on], NATIONAL) == due


@pytest.mark.parametrize("year", [2025, 2026])
def test_the_calendar_is_the_notice_of_the_year_day_by_day(year: int) -> None:
    off = set[date]()
    for span in HOLIDAYS[year]:
        first, last = (date.fromisoformat(f"{year}-{day}") for day in span.split("/"))
        off |= {first + timedelta(days=number) for number in range((last - first).days + 1)}
    worked = {date.fromisoformat(f"{year}-{day}") for day in WORKED[year]}
    assert is_announced(year)
    day = date(year, 1, 1)
    while day.year == year:
        expected = day in worked or (day.weekday() < 5 and day not in off)
        assert NATIONAL.is_working_day(day) == expected, day
        day += timedelta(days=1)


def looked_up(year: int) -> float:
    labels = {"year": str(year)}
    return REGISTRY.get_sample_value("gongji_binding_unannounced_calendar_days_total", labels) or 0.0


def test_a_year_without_a_notice_is_counted_by_its_statutory_holidays_and_said_to_be() -> None:
    assert not is_announced(2031)
    before = looked_up(2031)
    assert not NATIONAL.is_working_day(date(2031, 10, 1))
    assert NATIONAL.is_working_day(date(2031, 10, 15))
    assert looked_up(2031) == before + 2
    assert due_on(date(2031, 9, 30), 1, NATIONAL) > date(2031, 10, 3)


@pytest.mark.parametrize("year", [1900, 2149, 2300, 9990])
def test_no_year_is_too_far_away(year: int) -> None:
    assert due_on(date(year, 1, 1), 5, NATIONAL) > date(year, 1, 5)


def test_a_known_year_is_not_complained_of() -> None:
    before = looked_up(2026)
    NATIONAL.is_working_day(date(2026, 3, 2))
    assert looked_up(2026) == before


def file(folder: Path, text: str) -> Path:
    path = folder / "working-days.json"
    path.write_text(text)
    return path


def test_a_regions_own_days_go_first(tmp_path: Path) -> None:
    stated = file(tmp_path, '{"off": ["2026-05-27"], "worked": ["2026-05-30", "2026-10-01"]}')
    xinjiang = ChineseCalendar(RegionalDays.load(stated))
    assert NATIONAL.is_working_day(date(2026, 5, 27))
    assert not xinjiang.is_working_day(date(2026, 5, 27))
    assert xinjiang.is_working_day(date(2026, 5, 30))
    assert xinjiang.is_working_day(date(2026, 10, 1))
    assert Promise(1, xinjiang).due_on(date(2026, 5, 26)) == date(2026, 5, 28)


def test_a_year_that_the_region_states_is_not_complained_of(tmp_path: Path) -> None:
    before = looked_up(2032)
    stated = RegionalDays.load(file(tmp_path, '{"years": [2032], "off": ["2032-02-10"]}'))
    assert not ChineseCalendar(stated).is_working_day(date(2032, 2, 10))
    assert looked_up(2032) == before


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"off": ["2026-02-30"]}',
        '{"off": "2026-02-03"}',
        '{"off": [20260203]}',
        '{"years": ["soon"]}',
        '{"of": ["2026-02-03"]}',
        '{"off": ["2026-02-03"], "worked": ["2026-02-03"]}',
    ],
)
def test_a_file_that_says_something_else_is_refused_by_name(tmp_path: Path, text: str) -> None:
    with pytest.raises(BadWorkingDaysFile, match=r"working-days\.json"):
        RegionalDays.load(file(tmp_path, text))


def test_without_a_file_a_region_adds_nothing() -> None:
    assert RegionalDays.load(None) == RegionalDays()
