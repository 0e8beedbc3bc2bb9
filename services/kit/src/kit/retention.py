"""How long a service keeps what it keeps by months: settings of `purge`, with bounds that policy may not cross."""

from typing import Annotated, Final

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from kit.config import ClockSettings

LEAST_OUTBOX_DAYS: Final = 93
MOST_OUTBOX_DAYS: Final = 400
LEAST_INBOX_DAYS: Final = 460


class Days:
    """A validator: days within bounds, each refused with its reason."""

    def __init__(self, least: int, why_least: str, most: int | None = None, why_most: str = "") -> None:
        self._least = least
        self._why_least = why_least
        self._most = most
        self._why_most = why_most

    def __call__(self, value: int) -> int:
        """The days, if they are within bounds."""
        if value < self._least:
            raise _refused(f"must be {self._least} days or more: {self._why_least}")
        if self._most is not None and value > self._most:
            raise _refused(f"must be {self._most} days or less: {self._why_most}")
        return value


def _refused(what: str) -> PydanticCustomError:
    return PydanticCustomError("refused", "{what}", {"what": what})


_OUTBOX: Final = Days(
    LEAST_OUTBOX_DAYS,
    "topics keep events for 30, backups reach back 30, and a loss may be noticed late",
    MOST_OUTBOX_DAYS,
    f"consumers are sure to know an event again for {LEAST_INBOX_DAYS} only",
)
_INBOX: Final = Days(
    LEAST_INBOX_DAYS,
    f"an event of {MOST_OUTBOX_DAYS} days may be published again, and then be in its topic and its DLQ for 30 each",
)


class OutboxRetention(ClockSettings):
    """How long a service that publishes keeps its events."""

    outbox_kept_days: Annotated[int, AfterValidator(_OUTBOX)] = Field(
        default=190,
        description=f"Days for which published events stay in the outbox, at least; from {LEAST_OUTBOX_DAYS} to "
        f"{MOST_OUTBOX_DAYS}.",
        examples=["190"],
    )


class BusRetention(OutboxRetention):
    """The same of one that also consumes."""

    inbox_kept_days: Annotated[int, AfterValidator(_INBOX)] = Field(
        default=LEAST_INBOX_DAYS,
        description="Days for which consumers know an event again, at least; "
        f"no fewer than {LEAST_INBOX_DAYS}, whatever the outbox of who publishes is set to.",
        examples=["460"],
    )
