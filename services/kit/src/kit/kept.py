"""What is kept by months and for how long: one statement a table, which migrations, jobs, `purge` and docs share."""

from dataclasses import dataclass
from enum import Enum
from typing import Final


class Cut(Enum):
    """What a row's month follows from."""

    TIME = "timestamptz"
    """A time that is set when the row is written."""
    UUID7 = "uuid"
    """An id that was made by `kit.ids.uuid7`, and says when."""


@dataclass(frozen=True, slots=True)
class Hindrance:
    """What must not be dropped, however old it is."""

    sql: str
    """Counts what is in the way, of the partition that `{partition}` stands for."""
    what: str
    """Such as `events that are unsent`."""


@dataclass(frozen=True, slots=True)
class Kept:
    """One table that is cut into months."""

    table: str
    column: str
    """By which it is cut; never null."""
    cut: Cut
    setting: str | None
    """The field of the retention's settings that says for how many days; None: nothing of it is ever dropped."""
    why: str
    """Why so long, in a sentence."""
    hindrances: tuple[Hindrance, ...] = ()

    @property
    def before(self) -> str:
        """The partition of all that is older than the first month."""
        return f"{self.table}_before"

    @property
    def rest(self) -> str:
        """The partition of what has no month: empty, while months are made in time."""
        return f"{self.table}_rest"


OUTBOX: Final = Kept(
    "outbox_event",
    "created_at",
    Cut.TIME,
    "outbox_kept_days",
    "A restore publishes again from here what consumers may have missed, and Kafka itself is not backed up.",
    (
        Hindrance(
            "SELECT count(*) FROM outbox_run AS r JOIN {partition} AS e ON e.id >= r.id AND e.id < r.id + r.events"
            " WHERE r.id <= (SELECT max(id) FROM {partition})",
            "events that are unsent",
        ),
    ),
)
INBOX: Final = Kept(
    "inbox",
    "event_id",
    Cut.UUID7,
    "inbox_kept_days",
    "An event that comes again after it was forgotten here would have its effect twice.",
)
