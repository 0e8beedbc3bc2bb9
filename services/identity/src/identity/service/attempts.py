"""Attempts are let through, counted and refused here; every refusal is kept although the call fails."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from identity.domain.attempts import AttemptKind, Bounds, TooManyAttempts, locked_until
from identity.domain.refusals import IdentityRefusal, RealNameMismatch
from identity.domain.verification import CodeWrong
from identity.repository import Access, Attempt, Operation, Repository
from kit.db import LeavesTrace


class LockedOut(TooManyAttempts, LeavesTrace):
    """Refused, with a line in the access log."""


class CountedMismatch(RealNameMismatch, LeavesTrace):
    """Refused, and counted."""


class CountedWrongCode(CodeWrong, LeavesTrace):
    """Refused, and counted, also at the verification."""


class Evidence(StrEnum):
    """What somebody relies on, as the access log tells it."""

    REAL_NAME = "REAL_NAME"
    CODE = "CODE"


_EVIDENCE = {
    AttemptKind.MISMATCH: Evidence.REAL_NAME,
    AttemptKind.CODE_SENT: Evidence.CODE,
    AttemptKind.WRONG_CODE: Evidence.CODE,
}


@dataclass(frozen=True, slots=True)
class Registrant:
    """Who is at the portal and wants to register somebody."""

    caller: str
    """Principal and subject, as the access log names them."""
    psn_no: str | None
    """None at somebody's own first registration."""
    request_id: str


@dataclass(frozen=True, slots=True)
class Step:
    """What somebody is trying, as the access log tells it."""

    operation: Operation
    by: Registrant
    now: datetime

    def access(self, means: Evidence, outcome: str, psn_no: str | None = None) -> Access:
        """The line of the access log."""
        return Access(self.now, self.by.caller, self.operation, means, outcome, self.by.request_id, psn_no)


class Gate:
    """Lets attempts through as long as there are not too many."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds

    async def check(self, repository: Repository, kind: AttemptKind, subject: str, step: Step) -> None:
        """Return if one more attempt may be made; until the transaction ends nobody else makes one.

        Raises:
            LockedOut: there were too many.
        """
        caller, now = step.by.caller, step.now
        await repository.lock_attempts(subject, caller)
        about = await repository.attempts_about(subject, kind, self._bounds.person, now)
        by = await repository.attempts_by(caller, kind, self._bounds.caller, now)
        ends = (locked_until(about, self._bounds.person, now), locked_until(by, self._bounds.caller, now))
        if until := max((end for end in ends if end is not None), default=None):
            await repository.log_access(_line(step, kind, subject, TooManyAttempts.reason))
            raise LockedOut(until, now)

    async def count(self, repository: Repository, kind: AttemptKind, subject: str, step: Step) -> None:
        """Count an attempt that `check` let through."""
        attempt = Attempt(kind, subject, step.by.caller, step.now, step.by.request_id)
        await repository.add_attempt(attempt)

    async def count_failure(
        self, repository: Repository, kind: AttemptKind, subject: str, step: Step, refusal: IdentityRefusal
    ) -> None:
        """Count a failed one, with a line in the access log."""
        await self.count(repository, kind, subject, step)
        await repository.log_access(_line(step, kind, subject, refusal.reason))


def _line(step: Step, kind: AttemptKind, subject: str, outcome: str) -> Access:
    # Whom it was about is noted where somebody was recognised: it is for that person to know who tried.
    return step.access(_EVIDENCE[kind], outcome, None if kind is AttemptKind.MISMATCH else subject)
