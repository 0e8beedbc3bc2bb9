"""Lists of an institution's settlements of a day, and the place at which a list goes on."""

import base64
import binascii
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple
from uuid import UUID

from kit.clock import SHANGHAI
from kit.errors import FieldViolation, InvalidFields
from settlement.domain.state import Settlement

DEFAULT_PAGE = 50


class Place(NamedTuple):
    """Where a settlement stands in a list: by its time, then by its id."""

    at: datetime
    settlement_id: UUID


def bounds_of(day: date) -> tuple[datetime, datetime]:
    """A day's first moment and the first one after it, Asia/Shanghai."""
    first = datetime.combine(day, time.min, SHANGHAI)
    return first, datetime.combine(day + timedelta(days=1), time.min, SHANGHAI)


def beginning_of(day: date) -> Place:
    """Before all settlements of a day."""
    return Place(bounds_of(day)[0], UUID(int=0))


def listed_at(settlement: Settlement) -> datetime | None:
    """The time that decides the day and the place: of settling (R14), or of coming where nothing was settled."""
    return settlement.setl_time or settlement.occurred_at


def page_token(last: Settlement) -> str:
    """The opaque token with which the page after this settlement is asked for."""
    at = listed_at(last)
    microseconds = int((at - _EPOCH) / timedelta(microseconds=1)) if at else 0
    return base64.urlsafe_b64encode(microseconds.to_bytes(8, "big") + last.settlement_id.bytes).decode()


def place_of(token: str, day: date) -> Place:
    """Where the page begins: after this place; without a token at the beginning of the day.

    Raises:
        InvalidFields: the token is not one that `page_token` made.
    """
    if not token:
        return beginning_of(day)
    try:
        raw = base64.b64decode(token, altchars=b"-_", validate=True)
        at = _EPOCH + timedelta(microseconds=int.from_bytes(raw[:8], "big"))
        return Place(at, UUID(bytes=raw[8:]))
    except (binascii.Error, ValueError, OverflowError):
        raise InvalidFields([FieldViolation("page_token", "is not a token of an answer before")]) from None


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
