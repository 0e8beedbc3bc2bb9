"""What every counter must come to, by settlement's lines: one wrong fen in one window is told."""

from datetime import UTC, date, datetime
from uuid import UUID

import pytest
from support.limit_counters import EVER, Counts, Line, differing, reckon

RELATION = UUID(int=1)
LATE_IN_MAY = datetime(2025, 5, 31, 15, 59, tzinfo=UTC)
"""The last minute of May in Shanghai."""
EARLY_IN_JUNE = datetime(2025, 5, 31, 16, 0, tzinfo=UTC)
KEY = f"{RELATION}"


def counts() -> Counts:
    return reckon(
        [
            Line(RELATION, LATE_IN_MAY, 100, 0),
            Line(RELATION, EARLY_IN_JUNE, 20, 0),
            Line(RELATION, EARLY_IN_JUNE, 0, 3),
        ]
    )


def test_days_and_months_are_those_of_shanghai() -> None:
    assert counts() == {
        (KEY, "DAY", date(2025, 5, 31)): (100, 0),
        (KEY, "DAY", date(2025, 6, 1)): (20, 3),
        (KEY, "MONTH", date(2025, 5, 1)): (100, 0),
        (KEY, "MONTH", date(2025, 6, 1)): (20, 3),
        (KEY, "YEAR", date(2025, 1, 1)): (120, 3),
        (KEY, "TOTAL", EVER): (120, 3),
    }
    assert differing(counts(), counts()) == []


def test_what_comes_to_nothing_is_no_counter() -> None:
    assert reckon([Line(RELATION, LATE_IN_MAY, 0, 0)]) == {}


@pytest.mark.parametrize("window", sorted(counts()))
@pytest.mark.parametrize("off", [(1, 0), (0, -1), (-1, 1)])
def test_one_wrong_counter_of_one_window_is_told(window: tuple[str, str, date], off: tuple[int, int]) -> None:
    used, held = counts()[window]
    (told,) = differing(counts(), {**counts(), window: (used + off[0], held + off[1])})
    assert f"{window[1]} from {window[2]}" in told
    left_out = {each: value for each, value in counts().items() if each != window}
    assert len(differing(counts(), left_out)) == len(differing(left_out, counts())) == 1
