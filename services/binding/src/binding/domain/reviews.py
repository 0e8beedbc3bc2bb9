"""Reviews: one clerk handles (经办), a different one decides (审核).

A claim holds for the length of a lease. When that has run out another handler may take the application over, unless the
handling is finished: then it waits for the decider. Leases are judged by the database's time, which nobody can move.
"""

from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from uuid import UUID

from binding.domain.applications import NEXT, Application, ApplicationState, Step, after
from binding.domain.decision_reasons import DecisionReason, Verdict
from binding.domain.errors import Refused
from binding.domain.persons import Person

DECISIONS = frozenset({Step.APPROVE, Step.REJECT, Step.RETURN})


class ClaimedByAnother(Refused):
    """Another clerk holds the application."""

    reason = "CLAIMED_BY_ANOTHER"


class FourEyes(Refused):
    """Who decides may not be who handled it, and no clerk works on an application that they are a party to."""

    reason = "FOUR_EYES"


class QueueState(StrEnum):
    """Where an application of the queue is to be found."""

    WAITING = "WAITING"
    """Any handler may claim it: nobody has, or the claim has run out."""
    CLAIMED = "CLAIMED"
    """A handler has it, or it was handed over to one."""
    HANDLED = "HANDLED"
    """The handling is finished: it waits for a decider."""


@dataclass(frozen=True, slots=True)
class Clerk:
    """A clerk, as the assertion tells."""

    subject: str
    psn_no: str | None = None
    """The clerk's own person number, if the assertion has one: for the check that they are no party."""


@dataclass(frozen=True, slots=True)
class Lease:
    """How long a claim holds, from a moment of the database's time."""

    now: datetime
    length: timedelta

    @property
    def ends_at(self) -> datetime:
        """When it runs out; at that moment it has."""
        return self.now + self.length


@dataclass(frozen=True, slots=True)
class ReviewStep:
    """One thing that a clerk did with an application; never changed, so that statistics of a past day stay."""

    application_id: UUID
    step: Step
    clerk: str
    at: datetime
    region: str
    submitted_at: datetime
    due_on: date | None
    handed_to: str = ""
    reason: DecisionReason | None = None
    words: str = ""
    request_id: UUID | None = None
    """Of an item of a batch."""


def step_of(application: Application, step: Step, clerk: str, at: datetime, words: str = "") -> ReviewStep:
    """What is written down of a step that has led to this application."""
    return ReviewStep(
        application_id=application.application_id,
        step=step,
        clerk=clerk,
        at=at,
        region=application.region,
        submitted_at=application.submitted_at or at,
        due_on=application.due_on,
        handed_to=application.handler if step is Step.HAND_OVER else "",
        reason=DecisionReason(application.decision_reason_code) if application.decision_reason_code else None,
        words=words or application.decision_reason,
    )


def queue_place(application: Application, payer: Person | None, submitted_on: date, due_on: date) -> Application:
    """The application with its place in the queue: the payer's insured region on the day of handing in, its due day.

    The region is kept as it was: who moves away while waiting stays in the queue that they were promised an answer by.
    """
    enrolment = payer.enrolment_on(submitted_on) if payer else None
    return replace(application, region=enrolment.insuplc_admdvs if enrolment else "", due_on=due_on)


def queue_state(application: Application, now: datetime) -> QueueState:
    """Where a submitted or claimed application is to be found at a moment of the database's time."""
    if application.handled_at is not None:
        return QueueState.HANDLED
    held = application.claim_expires_at is not None and now < application.claim_expires_at
    return QueueState.CLAIMED if held else QueueState.WAITING


def claim(application: Application, clerk: Clerk, lease: Lease) -> Application:
    """The application in this clerk's hands; claiming one's own again renews the lease.

    Raises:
        FourEyes: the clerk is a party to it.
        ClaimedByAnother: another clerk holds it, has handled it, or is the one it was handed over to.
        StateForbids: it does not wait for a clerk.
    """
    _refuse_party(application, clerk)
    state = after(application.state, Step.CLAIM)
    if application.handler != clerk.subject and queue_state(application, lease.now) is not QueueState.WAITING:
        raise ClaimedByAnother("another clerk holds this application")
    return replace(
        application,
        state=state,
        handler=clerk.subject,
        handlers=(*(name for name in application.handlers if name != clerk.subject), clerk.subject),
        claim_expires_at=lease.ends_at,
        handled_at=None,
    )


def is_taken(before: Application, claimed: Application) -> bool:
    """Whether a claim changed who handles the application, rather than renew a lease that was there."""
    handled = before.state is ApplicationState.CLAIMED and before.handled_at is None
    return not handled or before.handler != claimed.handler


def finish(application: Application, clerk: Clerk, at: datetime) -> Application:
    """The handled application: it waits for a decider and for nobody's lease. Finishing again changes nothing."""
    state = after(application.state, Step.FINISH)
    _refuse_not_holder(application, clerk)
    if application.handled_at is not None:
        return application
    return replace(application, state=state, handled_at=at, claim_expires_at=None)


def release(application: Application, clerk: Clerk) -> Application:
    """The application back in the queue; who gave it back has handled it all the same, and will not decide it."""
    state = after(application.state, Step.RELEASE)
    _refuse_not_holder(application, clerk)
    return replace(application, state=state, handler="", claim_expires_at=None, handled_at=None)


def hand_over(application: Application, clerk: Clerk, to_handler: str, lease: Lease) -> Application:
    """The application kept for another handler until the lease ends; they have it once they claim it.

    Only that claim, with the other one's own assertion, tells that they are a handler and no party.

    Raises:
        FourEyes: the other one made the application.
        ClaimedByAnother: the clerk does not hold it.
    """
    state = after(application.state, Step.HAND_OVER)
    _refuse_not_holder(application, clerk)
    if to_handler == application.applicant:
        raise FourEyes("a clerk may not work on an application that they are a party to")
    return replace(application, state=state, handler=to_handler, claim_expires_at=lease.ends_at, handled_at=None)


def decide(application: Application, clerk: Clerk, verdict: Verdict, at: datetime) -> Application:
    """The decided application; the same decision again changes nothing.

    Raises:
        FourEyes: the clerk handled it, now or in an earlier round, or is a party to it.
        StateForbids: nobody has claimed it, or it was decided differently.
    """
    _refuse_party(application, clerk)
    if clerk.subject == application.handler or clerk.subject in application.handlers:
        raise FourEyes("who handled an application may not decide it")
    if application.decided_at is not None and application.state is NEXT[ApplicationState.CLAIMED, verdict.decision]:
        return application
    return replace(
        application,
        state=after(application.state, verdict.decision),
        decider=clerk.subject,
        decision_reason=verdict.words,
        decision_reason_code=verdict.reason or "",
        decided_at=at,
        claim_expires_at=None,
    )


def _refuse_party(application: Application, clerk: Clerk) -> None:
    if clerk.psn_no in application.parties or clerk.subject == application.applicant:
        raise FourEyes("a clerk may not work on an application that they are a party to")


def _refuse_not_holder(application: Application, clerk: Clerk) -> None:
    if application.handler != clerk.subject:
        raise ClaimedByAnother("another clerk holds this application")
