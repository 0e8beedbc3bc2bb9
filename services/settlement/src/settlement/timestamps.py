"""Moments on the wire."""

from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp


def timestamp(at: datetime) -> Timestamp:
    """An aware moment as the contract writes it."""
    written = Timestamp()
    written.FromDatetime(at)
    return written
