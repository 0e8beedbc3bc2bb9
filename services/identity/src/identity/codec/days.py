"""Days, which are checked to be days of the calendar here."""

from datetime import date

from kit.days import stated_day
from kit.errors import FieldViolation, InvalidFields


def day_or_none(text: str, field: str) -> date | None:
    """The day that a field states, or None if it is empty."""
    return stated_day(text, field) if text else None


def period(valid_from: str, valid_to: str, prefix: str = "") -> tuple[date, date | None]:
    """The first and the last day of a message that has `valid_from` and `valid_to`.

    Raises:
        InvalidFields: one is no day, or they are in the wrong order.
    """
    first, last = stated_day(valid_from, f"{prefix}valid_from"), day_or_none(valid_to, f"{prefix}valid_to")
    check_order(first, last, f"{prefix}valid_to", "valid_from")
    return first, last


def check_order(first: date, last: date | None, field: str, other: str) -> None:
    """Refuse a last day before the first.

    Raises:
        InvalidFields: it is.
    """
    if last is not None and last < first:
        raise InvalidFields([FieldViolation(field, f"is before {other}")])


def day_text(value: date | None) -> str:
    """A day as the contract writes it; empty for None."""
    return value.isoformat() if value is not None else ""
