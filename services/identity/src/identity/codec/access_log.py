"""Lines of the access log."""

from datetime import date, datetime, time, timedelta

from gongji.identity.v1 import access_log_pb2
from identity.codec.days import check_order, day_or_none
from identity.repository import AccessFilter, LoggedAccess
from kit.clock import SHANGHAI
from kit.errors import FieldViolation, InvalidFields
from kit.timestamps import timestamp

_INSTITUTION = "institution/"


def access_filter(request: access_log_pb2.ListAccessRequest) -> AccessFilter:
    """Which lines a request wants.

    Raises:
        InvalidFields: a day is none, or the days are in the wrong order.
    """
    first, last = day_or_none(request.from_day, "from_day"), day_or_none(request.to_day, "to_day")
    if first is not None:
        check_order(first, last, "to_day", "from_day")
    return AccessFilter(
        psn_no=request.psn_no or None,
        caller=request.caller or None,
        since=_midnight(first) if first else None,
        until=_midnight_after(last) if last else None,
    )


def access_message(line: LoggedAccess) -> access_log_pb2.AccessLine:
    """A line."""
    access = line.access
    at = access.caller.removeprefix(_INSTITUTION) if access.caller.startswith(_INSTITUTION) else ""
    return access_log_pb2.AccessLine(
        occurred_at=timestamp(access.occurred_at),
        caller=access.caller,
        operation=access_log_pb2.AccessOperation.Value(f"ACCESS_OPERATION_{access.operation}"),
        means=access.means,
        outcome=access.outcome,
        psn_no=access.psn_no or "",
        fixmedins_code=at,
        stated_reason=access.stated_reason,
        request_id=access.request_id,
    )


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), SHANGHAI)


def _midnight_after(day: date) -> datetime:
    if day == date.max:
        raise InvalidFields([FieldViolation("to_day", "has no day after it")])
    return _midnight(day + timedelta(days=1))
