"""The life of a delivery outside of the inbox: QUEUED → SENT → DELIVERED or FAILED; or GIVEN_UP when trying is no use.

```
QUEUED ─taken, a receipt will come──▶ SENT ─receipt──▶ DELIVERED | FAILED
   │ ├──taken, that is all we learn, or no receipt in three days─▶ SENT (ended)
   │ ├──refused for good────────────▶ FAILED
   │ └──tried often enough, or beyond the day's bound─▶ GIVEN_UP
   └──not taken: later again
```
A receipt may overtake the answer to the hand-over, so it ends what is QUEUED, too. What has ended does not change.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from enum import Enum
from hashlib import sha256
from typing import Final, Protocol
from uuid import UUID

from notify.domain.channels import Channel
from notify.domain.kinds import Kind
from notify.domain.wording import SHANGHAI

MOST_ERROR_CHARACTERS: Final = 200
DAILY_BOUND: Final = "beyond the person's daily bound"
NO_CONTACT: Final = "the contact is there no more"
UNREADABLE: Final = "what it says cannot be opened"
NO_KEY: Final = "sealed by a key that is not there"
UNWANTED: Final = "switched off since it was queued"
NO_RECEIPT: Final = "no receipt came"
HEARD_WITHIN: Final = timedelta(hours=72)
"""Providers try a telephone that is off for two days at most."""
WITH_RECEIPTS: Final = frozenset({Channel.SMS, Channel.PUSH})
KEPT_TRYING: Final = timedelta(days=1)
"""How long an outage may last, of the other side or of a key, before what waits is given up."""


_ORDERED_BYTES: Final = 8
_VARIANT: Final = 0x80
_BELOW_THE_VARIANT: Final = 0x3F


def delivery_id_of(event_id: UUID, psn_no: str, channel: Channel) -> UUID:
    """The one id of telling a person of an event on a channel, whenever it is reckoned; it sorts as the event does.

    So what a restore from backup has forgotten goes out again under the id that the other side has taken already.
    """
    told = sha256(f"{event_id} {psn_no} {channel.value}".encode()).digest()
    rest = bytes([told[0] & _BELOW_THE_VARIANT | _VARIANT]) + told[1 : 16 - _ORDERED_BYTES]
    return UUID(bytes=event_id.bytes[:_ORDERED_BYTES] + rest)


class State(Enum):
    """Where a delivery stands."""

    QUEUED = "QUEUED"
    SENT = "SENT"
    DELIVERED = "DELIVERED"
    FAILED = "FAILED"
    GIVEN_UP = "GIVEN_UP"


@dataclass(frozen=True, slots=True)
class Payload:
    """What a delivery says. Kept encrypted, and only until it was taken or has ended."""

    template: str
    language: str
    title: str = field(repr=False)
    body: str = field(repr=False)
    params: Mapping[str, str] = field(repr=False)
    """In the order that a gateway's template takes them."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One notice on its way to one person by one channel; event, person and channel are its key."""

    delivery_id: UUID
    event_id: UUID
    psn_no: str
    channel: Channel
    contact_id: UUID
    message_id: UUID | None
    """Its message in the inbox; None if the person keeps none of that kind."""
    kind: Kind
    state: State
    attempts: int
    """How often it was tried, the attempt under way included."""
    next_attempt_at: datetime
    """By the injected clock."""
    created_at: datetime
    provider_id: str | None = None
    last_error: str | None = None
    sent_at: datetime | None = None
    ended_at: datetime | None = None

    @property
    def has_ended(self) -> bool:
        """Whether nothing will change any more."""
        return self.ended_at is not None


class Bounds(Protocol):
    """How often and how soon a channel is tried; `notify.channels.policy.Policy` is one."""

    @property
    def attempts(self) -> int:
        """How often one message is tried that the other side takes from others."""
        ...

    @property
    def first_wait_seconds(self) -> float:
        """About how long after the first failure the second attempt comes."""
        ...

    @property
    def most_wait_seconds(self) -> float:
        """The longest wait that nobody asked for."""
        ...


def wait_seconds(attempts: int, bounds: Bounds, asked_seconds: float | None, share: float) -> float:
    """How long to wait after this many attempts: doubling, never shorter than the other side asks, up to a day.

    Args:
        attempts: those that failed, 1 or more.
        bounds: the channel's.
        asked_seconds: what the other side asked for.
        share: between 0 and 1, drawn anew each time: spreads a crowd over the second half of the wait.
    """
    highest_seconds = min(bounds.most_wait_seconds, bounds.first_wait_seconds * 2.0 ** min(attempts - 1, 30))
    drawn_seconds = highest_seconds * (0.5 + share / 2)
    return max(drawn_seconds, min(asked_seconds or 0.0, KEPT_TRYING.total_seconds()))


def taken(delivery: Delivery, provider_id: str | None, *, awaits_receipt: bool, now: datetime) -> Delivery:
    """After the other side took it."""
    if delivery.state is not State.QUEUED:
        return delivery
    ended_at = None if awaits_receipt else now
    return replace(delivery, state=State.SENT, provider_id=provider_id, sent_at=now, ended_at=ended_at)


class Failure(Enum):
    """Why an attempt failed, as far as it says what to do."""

    REFUSED = "REFUSED"
    """The message will never be taken."""
    BUSY = "BUSY"
    """This message was not taken, while others are: so many attempts are enough."""
    OUTAGE = "OUTAGE"
    """The other side takes nothing from anybody: that uses up no attempts, it only may not last for ever."""


def not_taken(
    delivery: Delivery, why: str, bounds: Bounds, *, failure: Failure, wait: timedelta, now: datetime
) -> Delivery:
    """After an attempt that failed: tried again after `wait`, unless that is of no use or was done for long enough."""
    if delivery.state is not State.QUEUED:
        return delivery
    delivery = replace(delivery, last_error=why[:MOST_ERROR_CHARACTERS])
    if failure is Failure.REFUSED:
        return replace(delivery, state=State.FAILED, ended_at=now)
    is_outage = failure is Failure.OUTAGE
    if now - delivery.created_at >= KEPT_TRYING if is_outage else delivery.attempts >= bounds.attempts:
        return replace(delivery, state=State.GIVEN_UP, ended_at=now)
    return replace(delivery, next_attempt_at=now + wait)


def left_alone(delivery: Delivery) -> Delivery:
    """After a claim whose message was not even tried."""
    return replace(delivery, attempts=delivery.attempts - 1) if delivery.state is State.QUEUED else delivery


def put_off(delivery: Delivery, until: datetime) -> Delivery:
    """After a claim for whose message it is too early."""
    return replace(left_alone(delivery), next_attempt_at=until)


def without_key(delivery: Delivery, now: datetime, wait: timedelta) -> Delivery:
    """After a claim by a process that has not the key; while keys are changed another one may have it."""
    if now - delivery.created_at >= KEPT_TRYING:
        return given_up(delivery, NO_KEY, now)
    return replace(put_off(delivery, now + wait), last_error=NO_KEY)


def failed(delivery: Delivery, why: str, now: datetime) -> Delivery:
    """After a claim whose message can never be sent."""
    return replace(left_alone(delivery), state=State.FAILED, last_error=why, ended_at=now)


def given_up(delivery: Delivery, why: str, now: datetime) -> Delivery:
    """Never tried (any more), and the reason."""
    return replace(left_alone(delivery), state=State.GIVEN_UP, last_error=why, ended_at=now)


def received(delivery: Delivery, *, has_arrived: bool, code: str, now: datetime) -> Delivery:
    """After a receipt; the first one counts, and none changes what has ended."""
    if delivery.has_ended:
        return delivery
    state = State.DELIVERED if has_arrived else State.FAILED
    error = delivery.last_error if has_arrived else (code or "the provider did not say why")
    return replace(delivery, state=state, last_error=error, sent_at=delivery.sent_at or now, ended_at=now)


def may_be_received(delivery: Delivery) -> bool:
    """Whether a receipt can be about it: by a gateway, and of what was handed over to it."""
    return delivery.channel in WITH_RECEIPTS and delivery.attempts > 0


def unheard(delivery: Delivery, now: datetime) -> Delivery:
    """After its receipt did not come: that it was taken is all that will ever be known."""
    if delivery.has_ended or delivery.state is not State.SENT:
        return delivery
    return replace(delivery, last_error=NO_RECEIPT, ended_at=now)


def day_of(now: datetime) -> date:
    """The day whose bound counts (Asia/Shanghai)."""
    return now.astimezone(SHANGHAI).date()


def within_bound(wanted: int, counted: int, most: int) -> int:
    """How many of `wanted` may go out, where `counted` includes them already."""
    return max(0, min(wanted, most - (counted - wanted)))
