from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kit.retry_after import MOST, retry_after

AT = datetime(2025, 6, 10, 2, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ("0", timedelta()),
        ("90", timedelta(seconds=90)),
        ("86399", timedelta(seconds=86_399)),
        ("86401", MOST),
        ("0000000000090", timedelta(seconds=90)),
        ("9" * 5_000, MOST),
        ("Tue, 10 Jun 2025 02:01:00 GMT", timedelta(seconds=60)),
        ("Tuesday, 10-Jun-25 02:01:00 GMT", timedelta(seconds=60)),
        ("Tue, 10 Jun 2025 10:01:00 +0800", timedelta(seconds=60)),
        ("Tue, 10 Jun 2225 02:01:00 GMT", MOST),
        ("Tue, 10 Jun 2025 01:00:00 GMT", timedelta()),
    ],
)
def test_seconds_and_dates_are_understood(stated: str, expected: timedelta) -> None:
    assert retry_after(stated, AT) == expected


@pytest.mark.parametrize(
    "stated",
    [
        None,
        "",
        "-5",
        "1.5",
        "١٢",
        "²",
        "soon",
        "Tue, 10 Jun 2025 02:01:00",
        "Tue, 10 Jun 2025 02:01:00 -0000",
        "Tue, 99 Jun 2025 02:01:00 GMT",
        "Mon, 9999999999999999999999 Jan 2027 00:00:00 GMT",
        "Mon, 04 Jan 99999999999999999999 00:00:00 GMT",
        "Mon, 04 Jan 2027 00:00:00 +99999999999999999999",
    ],
)
def test_what_is_neither_says_nothing(stated: str | None) -> None:
    assert retry_after(stated, AT) is None


@given(st.datetimes(timezones=st.just(UTC)))
@example(datetime.min.replace(tzinfo=UTC))
@example(datetime.max.replace(tzinfo=UTC))
def test_no_date_asks_for_less_than_nothing_or_more_than_the_most(until: datetime) -> None:
    asked = retry_after(format_datetime(until, usegmt=True), AT)
    assert asked is not None
    assert timedelta() <= asked <= MOST


@given(
    st.text()
    | st.from_regex(r"(Mon, )?[0-9]{1,25} Jan [0-9]{1,25} [0-9]{1,25}:[0-9]{1,25}:[0-9]{1,25} ([+-][0-9]{1,25}|GMT)")
)
def test_whatever_the_other_side_writes_is_an_answer_within_bounds(stated: str) -> None:
    asked = retry_after(stated, AT)
    assert asked is None or timedelta() <= asked <= MOST
