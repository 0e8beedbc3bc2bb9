"""Webhooks: who gets which events, when an attempt is repeated, and when a webhook is switched off."""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import Final
from uuid import UUID

RETRIED_FOR: Final = timedelta(hours=24)
"""How long an event is tried, and after which time without success a webhook is switched off."""
PAUSES: Final = tuple(
    timedelta(seconds=seconds) for seconds in (5, 30, 300, 1_800, 3_600, 7_200, 14_400, 21_600, 28_800)
)
"""After the first, second … failed attempt; the last for all further ones."""
RESTS_AFTER: Final = 5
"""So many failures in a row, and the receiver is tried by one event at a time only, with pauses in between."""
OFF_AFTER: Final = 8
"""A day with fewer failures in a row switches nothing off: then it was rather we who were away."""
FIRST_REST: Final = timedelta(seconds=30)
MOST_REST: Final = timedelta(minutes=10)

TEST: Final = "gongji.notify.v1.WebhookTest"
SEALED: Final = frozenset({"gongji.identity.events.v1.VerificationCodeIssued"})
"""Only identity and notify have to do with these: nobody can subscribe to them."""
OF_INSTITUTIONS: Final = frozenset(
    {
        *(
            f"gongji.settlement.events.v1.{name}"
            for name in ("SettlementCompleted", "SettlementReversed", "HoldsReleased", "HoldsTrimmed")
        ),
        "gongji.identity.events.v1.InstitutionChanged",
        "gongji.notify.events.v1.WebhookSwitchedOff",
    }
)
"""What an institution may subscribe to: what tells it nothing that it does not know from its own calls or lists. An
event of an account names the institution as well, but also the balance of a payer, which is none of its business."""


class State(Enum):
    """What a webhook does."""

    ACTIVE = "ACTIVE"
    PAUSED = "PAUSED"
    OFF = "OFF"
    REMOVED = "REMOVED"
    """A row whose deliveries are still to be cleared away; nobody sees it."""


class OffReason(Enum):
    """Why a webhook was switched off."""

    LASTING_FAILURE = "LASTING_FAILURE"
    GONE = "GONE"


class DeliveryState(Enum):
    """What becomes of one event at one webhook."""

    QUEUED = "QUEUED"
    DELIVERED = "DELIVERED"
    GIVEN_UP = "GIVEN_UP"


class Result(Enum):
    """How an attempt went."""

    DELIVERED = "DELIVERED"
    REFUSED = "REFUSED"
    """The answer was not 2xx."""
    TIMED_OUT = "TIMED_OUT"
    UNREACHABLE = "UNREACHABLE"
    UNTRUSTED = "UNTRUSTED"
    """The certificate is not good for the host."""
    ADDRESS_REFUSED = "ADDRESS_REFUSED"
    NOT_HTTP = "NOT_HTTP"
    UNEXPECTED = "UNEXPECTED"
    """An error that nobody thought of. A failure like any other, so that it is not tried for ever."""


GONE_STATUS: Final = 410


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt went, with what the receiver said."""

    result: Result
    status: int | None = None
    retry_after: timedelta | None = None
    """How long the receiver wants to be left alone."""

    @property
    def is_delivered(self) -> bool:
        """Whether the event was taken."""
        return self.result is Result.DELIVERED

    @property
    def is_gone(self) -> bool:
        """Whether the receiver wants nothing any more."""
        return self.status == GONE_STATUS


@dataclass(frozen=True, slots=True)
class Health:
    """How a webhook has been doing since it last took something."""

    failing_since: datetime | None = None
    failures_in_row: int = 0
    rests_until: datetime | None = None

    def after(self, outcome: Outcome, now: datetime) -> "Health":
        """How it is doing after an attempt."""
        if outcome.is_delivered:
            return Health()
        failures = self.failures_in_row + 1
        return Health(self.failing_since or now, failures, rest_until(failures, outcome.retry_after, now))


@dataclass(frozen=True, slots=True)
class Secrets:
    """What requests are signed with."""

    current: str = field(repr=False)
    previous: str | None = field(default=None, repr=False)
    previous_until: datetime | None = None

    def rotated(self, new: str, now: datetime, overlap: timedelta) -> "Secrets":
        """With a new one; the current is signed with for a while, an earlier one no longer."""
        return Secrets(new, self.current, now + overlap)

    def valid(self, now: datetime) -> tuple[str, ...]:
        """Those to sign with, the current first."""
        if self.previous is None or self.previous_until is None or now >= self.previous_until:
            return (self.current,)
        return (self.current, self.previous)


@dataclass(frozen=True, slots=True)
class Webhook:
    """A subscription to events."""

    webhook_id: UUID
    owner: str
    """institution/ and a fixmedins_code, or system/ and a name."""
    url: str = field(repr=False)
    event_types: frozenset[str]
    description: str
    secrets: Secrets
    created_at: datetime
    state: State = State.ACTIVE
    off_reason: OffReason | None = None
    health: Health = Health()
    last_delivered_at: datetime | None = None
    events_told: int = 0
    """The sequence of the last event about this webhook."""

    @property
    def is_sending(self) -> bool:
        """Whether it is active."""
        return self.state is State.ACTIVE

    def turned(self, state: State) -> "Webhook":
        """Active or paused, as its owner wants it. Failures are forgotten: whoever changes it says that it works."""
        return replace(self, state=state, off_reason=None, health=Health())

    def removed(self) -> "Webhook":
        """What is left of it until its deliveries are cleared away: nothing that could be used."""
        return replace(self, state=State.REMOVED, off_reason=None, url="", secrets=Secrets(""))

    def switched_off(self, reason: OffReason) -> "Webhook":
        """The same, off, which is an event of its own."""
        return replace(self, state=State.OFF, off_reason=reason, events_told=self.events_told + 1)


@dataclass(frozen=True, slots=True)
class Listening:
    """What decides whether a webhook gets an event."""

    webhook_id: UUID
    owner: str
    event_types: frozenset[str]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Standing:
    """What identity told of an institution."""

    fixmedins_code: str
    suspended: bool
    epoch: int
    sequence: int


def institution(fixmedins_code: str) -> str:
    """The owner that an institution is."""
    return f"institution/{fixmedins_code}"


def system(name: str) -> str:
    """The owner that another system is."""
    return f"system/{name}"


def is_institution(owner: str) -> bool:
    """Whether the owner is an institution."""
    return owner.startswith("institution/")


def refused_types(owner: str, asked: AbstractSet[str], known: AbstractSet[str]) -> set[str]:
    """Of the event types asked for those that the owner cannot have; `known` are all of the catalogue's topics."""
    allowed = OF_INSTITUTIONS if is_institution(owner) else known - SEALED
    return set(asked) - allowed


def wants(listening: Listening, event_type: str, owner: str, occurred_at: datetime) -> bool:
    """Whether a webhook gets an event: of its types, from its creation on; an institution only what concerns it.

    `owner` is whom the event concerns, as an owner of webhooks; empty if it names none.
    """
    if event_type not in listening.event_types or event_type in SEALED or occurred_at < listening.created_at:
        return False
    if not is_institution(listening.owner):
        return True
    return event_type in OF_INSTITUTIONS and listening.owner == owner


def next_attempt_at(
    queued_at: datetime, attempts: int, retry_after: timedelta | None, now: datetime, jitter: float
) -> datetime | None:
    """When to try again after so many failed attempts, or None to give up: 24 hours have passed.

    The last attempt is made when they have, whatever the pause would be.

    Args:
        queued_at: since when the event waits.
        attempts: that were made, at least one.
        retry_after: how long the receiver wants to be left alone.
        now: when the last attempt ended.
        jitter: from 0.0 to 1.0, stretches the pause by up to a fifth.
    """
    end = queued_at + RETRIED_FOR
    if now >= end:
        return None
    pause = PAUSES[min(attempts, len(PAUSES)) - 1] * (1 + jitter / 5)
    return min(end, now + max(pause, retry_after or timedelta()))


def rest_until(failures_in_row: int, retry_after: timedelta | None, now: datetime) -> datetime | None:
    """Until when nothing more is sent to a receiver that fails; None if it may be tried at once."""
    asked = now + min(retry_after, MOST_REST) if retry_after else None
    if failures_in_row < RESTS_AFTER:
        return asked
    rest: timedelta = min(MOST_REST, FIRST_REST * 2 ** min(failures_in_row - RESTS_AFTER, 10))
    return max(now + rest, asked) if asked else now + rest


def off_reason(health: Health, outcome: Outcome, now: datetime) -> OffReason | None:
    """Why a webhook is to be switched off after an attempt; None if it is not. `health` is that after it."""
    if outcome.is_gone:
        return OffReason.GONE
    lasting = health.failing_since is not None and now - health.failing_since >= RETRIED_FOR
    return OffReason.LASTING_FAILURE if lasting and health.failures_in_row >= OFF_AFTER else None
