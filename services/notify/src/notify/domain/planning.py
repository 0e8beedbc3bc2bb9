"""What goes out besides the inbox: which channels a person wants a notice on, and when each may be used.

R15 says what people are told in any case: that, nobody switches off in the inbox. Everything outside of it is theirs to
choose, for each kind of notice, and at night a telephone is left alone (免打扰) unless money was taken.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from types import MappingProxyType
from typing import Final
from uuid import UUID

from notify.domain.channels import Channel
from notify.domain.kinds import REQUIRED, Kind
from notify.domain.wording import SHANGHAI

DEFAULT_LANGUAGE: Final = "zh-CN"
_ONE_DAY: Final = timedelta(days=1)
_ONE_SECOND: Final = timedelta(seconds=1)
_SPREAD_SECONDS: Final = 300
"""What waited for the morning does not come to the gateway in one moment."""


@dataclass(frozen=True, slots=True)
class QuietHours:
    """A part of every day by the wall clocks of Shanghai, from `starts` to just before `ends`; may span midnight."""

    starts: time
    ends: time
    """Never the same as `starts`: whole days are no quiet hours."""

    def end_after(self, at: datetime) -> datetime | None:
        """When the quiet hours that `at` lies in are over; None if it lies in none."""
        local = at.astimezone(SHANGHAI)
        clock = local.time()
        is_evening = clock >= self.starts
        is_morning = clock < self.ends
        spans_midnight = self.ends < self.starts
        if not (is_evening or is_morning if spans_midnight else is_evening and is_morning):
            return None
        last_day = local.date() + _ONE_DAY if spans_midnight and is_evening else local.date()
        return datetime.combine(last_day, self.ends, SHANGHAI)


@dataclass(frozen=True, slots=True)
class Verified:
    """A contact that a person has verified."""

    contact_id: UUID
    verified_at: datetime


_NO_CONTACTS: Final[Mapping[Channel, Verified]] = MappingProxyType({})
DEFAULT_QUIET: Final = QuietHours(time(22, 0), time(8, 0))
"""Until somebody says otherwise."""


@dataclass(frozen=True, slots=True)
class Recipient:
    """How one person wants to be told. Somebody who never said anything is `Recipient(psn_no)`."""

    psn_no: str
    language: str = DEFAULT_LANGUAGE
    quiet: QuietHours | None = DEFAULT_QUIET
    """None for somebody who wants none."""
    contacts: Mapping[Channel, Verified] = field(default_factory=lambda: _NO_CONTACTS)
    """The verified contact of each channel that has one; never INBOX."""
    unwanted: frozenset[tuple[Kind, Channel]] = frozenset()
    """What they switched off. Whatever they did not is wanted: they verified the contact to be told there."""

    def keeps_in_inbox(self, kind: Kind) -> bool:
        """Whether notices of this kind are kept in the inbox (R15)."""
        return kind in REQUIRED or (kind, Channel.INBOX) not in self.unwanted


@dataclass(frozen=True, slots=True)
class Addressed:
    """A notice as far as planning goes; an event has at most one for each person."""

    event_id: UUID
    psn_no: str
    kind: Kind
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class Planned:
    """One delivery outside of the inbox; event, person and channel are its key."""

    event_id: UUID
    psn_no: str
    kind: Kind
    channel: Channel
    contact_id: UUID
    not_before: datetime
    """Aware, by the injected clock: now, or within five minutes of the end of the quiet hours."""


def plan(notices: Iterable[Addressed], people: Mapping[str, Recipient], now: datetime) -> list[Planned]:
    """The deliveries outside of the inbox, in the order of the notices.

    Nothing of before a contact was verified goes there: a topic that is read anew would pour months on a new telephone.

    Args:
        notices: what people are told.
        people: those of them who said how they want to be told; who is not here has the inbox alone.
        now: the present, aware.
    """
    if not people:  # nearly always, and this is on the way of every settlement
        return []
    return [
        Planned(notice.event_id, notice.psn_no, notice.kind, channel, contact.contact_id, earliest)
        for notice in notices
        if (told := people.get(notice.psn_no)) is not None
        for channel, contact in told.contacts.items()
        if contact.verified_at <= notice.occurred_at
        and (earliest := not_before(notice.event_id, notice.kind, channel, told, now)) is not None
    ]


def not_before(event_id: UUID, kind: Kind, channel: Channel, told: Recipient, now: datetime) -> datetime | None:
    """When a notice may go out on a channel at the earliest; None if the person wants none of its kind there."""
    if (kind, channel) in told.unwanted:
        return None
    # Only a telephone rings; and that money was taken is told at any hour.
    if channel is not Channel.SMS or kind is Kind.DEBIT or told.quiet is None:
        return now
    end = told.quiet.end_after(now)
    return end + event_id.int % _SPREAD_SECONDS * _ONE_SECOND if end else now
