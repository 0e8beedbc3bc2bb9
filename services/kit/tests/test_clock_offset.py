"""A clock that is off is told before it decides wrongly."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from kit.clock_offset import ClockOffset, apart_seconds
from kit.health import Health

NOW = datetime(2026, 11, 26, 4, 0, tzinfo=UTC)
OFFSETS = st.timedeltas(min_value=-timedelta(days=400), max_value=timedelta(days=400))
TAKEN = st.timedeltas(min_value=timedelta(), max_value=timedelta(seconds=20))


# Whether it is ready, and whether it is degraded.
READY, DEGRADED, OUT = (True, False), (True, True), (False, False)


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


@given(offset=OFFSETS, there=TAKEN, back=TAKEN)
def test_never_more_is_told_than_is_certain(offset: timedelta, there: timedelta, back: timedelta) -> None:
    told = apart_seconds(NOW + offset, NOW + there, NOW + there + back + offset)
    true = offset.total_seconds()
    assert abs(told) <= abs(true) + 1e-6
    assert told * true >= 0
    assert abs(true - told) <= (there + back).total_seconds() + 1e-6


@pytest.mark.parametrize(
    ("off", "state", "why"),
    [
        (0, READY, ""),
        (29, READY, ""),
        (-29, READY, ""),
        (31, DEGRADED, "this computer's clock is 31 s ahead of the database's; set right whichever is wrong (NTP)"),
        (-300, DEGRADED, "300 s behind the database's"),
        (301, OUT, "301 s ahead of the database's"),
        (-600, OUT, "600 s behind the database's"),
    ],
)
async def test_half_a_minute_is_told_and_five_are_too_much(
    off: float,
    state: tuple[bool, bool],
    why: str,
) -> None:
    health, offset = Health(), ClockOffset()
    health.set("process", True)
    offset.compared(NOW + seconds(off), NOW, NOW + seconds(off))
    assert REGISTRY.get_sample_value("gongji_clock_offset_seconds") == off
    await health.ask("clock", offset.look)
    assert (health.ready(), health.degraded() == ["clock"]) == state
    assert why in health.checks()["clock"].why


async def test_a_clock_that_was_set_right_is_well_again() -> None:
    health, offset = Health(), ClockOffset()
    offset.compared(NOW + seconds(600), NOW, NOW + seconds(601))
    await health.ask("clock", offset.look)
    offset.compared(NOW, NOW, NOW + seconds(1))
    await health.ask("clock", offset.look)
    assert health.ready()


async def test_before_the_first_comparison_nothing_is_said_against_it() -> None:
    health = Health()
    await health.ask("clock", ClockOffset().look)
    assert health.ready()
