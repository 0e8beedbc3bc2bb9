"""Days on the wire: YYYY-MM-DD, which the contract's pattern lets be also 30 February."""

from datetime import date

from kit.errors import FieldViolation, InvalidFields


def stated_day(text: str, field: str) -> date:
    """The day that a field states.

    Raises:
        InvalidFields: there is no such day in the calendar.
    """
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise InvalidFields([FieldViolation(field, "is not a day of the calendar (YYYY-MM-DD)")]) from None
