"""The header Retry-After of HTTP (RFC 9110, 10.2.3), which the other side writes as it likes."""

from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

MOST: Final = timedelta(hours=24)
"""Nobody is left alone for longer at one's word."""
_DIGITS: Final = 9
"""A number with more is beyond the most anyway."""


def retry_after(stated: str | None, now: datetime) -> timedelta | None:
    """How long the other side wants to be left alone, `MOST` at most; None if it does not say, or not in its words.

    Args:
        stated: the header: seconds, or a date.
        now: real time, for the date is of the other side's clock.
    """
    if not stated:
        return None
    if stated.isascii() and stated.isdigit():
        return min(timedelta(seconds=int(stated.lstrip("0")[:_DIGITS] or "0")), MOST)
    try:
        # OverflowError: a day, a year or a zone of twenty digits.
        until = parsedate_to_datetime(stated)
    except (ValueError, TypeError, OverflowError):
        return None
    if until.tzinfo is None:
        return None
    return min(max(until - now, timedelta()), MOST)
