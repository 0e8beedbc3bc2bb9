from datetime import UTC, datetime, timedelta, timezone

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from kit.timestamps import moment, timestamp, timestamp_fields

ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=ZONES))  # noqa: DTZ001 - the zone is the strategy's
def test_a_moment_is_written_as_protobuf_writes_it_wherever_it_was(at: datetime) -> None:
    expected = Timestamp()
    expected.FromDatetime(at)
    assert timestamp(at) == expected
    assert timestamp(at).ToDatetime(tzinfo=UTC) == moment(timestamp(at)) == at
    assert timestamp_fields(at) == {"seconds": expected.seconds, "nanos": expected.nanos}


def test_a_moment_without_a_zone_is_none() -> None:
    with pytest.raises(TypeError):
        timestamp(datetime(2025, 6, 10))  # noqa: DTZ001 - that is the point
