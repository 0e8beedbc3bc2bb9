"""Moments on the wire."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final

from google.protobuf.timestamp_pb2 import Timestamp

Fields = dict[str, Any]
"""A message as the names and values of its fields.

A message in a message is given so, and not as one that was made before: that would be written to bytes and read again,
at three times the price.
"""


def timestamp(at: datetime) -> Timestamp:
    """An aware moment as the contract writes it."""
    return Timestamp(**timestamp_fields(at))


def moment(stamp: Timestamp) -> datetime:
    """The contract's moment, aware, in UTC; below a microsecond it is cut off."""
    return _EPOCH + timedelta(seconds=stamp.seconds, microseconds=stamp.nanos // 1000)


@lru_cache(maxsize=128)  # the moments of a batch are few, and each is told in several messages
def timestamp_fields(at: datetime) -> Mapping[str, int]:
    """The fields of `timestamp`."""
    since = at - _EPOCH
    return {"seconds": since.days * _DAY_SECONDS + since.seconds, "nanos": since.microseconds * 1000}


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_SECONDS: Final = 86_400
