"""How often somebody may try: bounded in any hour, and a lock-out that ends by itself."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from identity.domain.refusals import IdentityRefusal


class AttemptKind(StrEnum):
    """What is counted, each kind by itself."""

    CODE_SENT = "CODE_SENT"
    """A code was sent: each costs a message, and opens five guesses."""
    WRONG_CODE = "WRONG_CODE"
    """A code was guessed wrongly."""
    MISMATCH = "MISMATCH"
    """Name and certificate were not those of one person: somebody may be looking for names."""


@dataclass(frozen=True, slots=True)
class Bound:
    """At most so many attempts within any stretch of time this long."""

    most: int
    within: timedelta = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Bounds:
    """What holds for every kind of attempt."""

    person: Bound
    """Of attempts about one person, or about one certificate's number while nobody was recognised by it."""
    caller: Bound
    """Of attempts by one caller, whomever they are about."""


def locked_until(attempts: Iterable[datetime], bound: Bound, now: datetime) -> datetime | None:
    """Until when nothing more is let through, or None if one more attempt may be made.

    Args:
        attempts: when they were made, in any order. Replicas' clocks differ a little, so those that seem to lie ahead
            count as well; what is further away than `bound.within`, in either direction, does not.
        bound: how many.
        now: the present, aware.
    """
    recent = sorted(at for at in attempts if abs(now - at) < bound.within)
    return recent[-bound.most] + bound.within if len(recent) >= bound.most else None


class TooManyAttempts(IdentityRefusal):
    """The caller, or whomever the attempts are about, is locked out for a while."""

    reason = "TOO_MANY_ATTEMPTS"
    message = "too many attempts; wait as long as retry_after_seconds says, then try again"

    def __init__(self, until: datetime, now: datetime) -> None:
        self.until = until
        seconds = max(1, -((now - until) // timedelta(seconds=1)))
        super().__init__(metadata={"retry_after_seconds": str(seconds)})
