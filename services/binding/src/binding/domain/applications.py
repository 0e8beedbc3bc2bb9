"""Applications for mutual aid: one clerk handles (经办), a different one decides (审核)."""

from dataclasses import dataclass, replace
from datetime import date, datetime
from enum import StrEnum
from uuid import UUID

from binding.domain.errors import Refused, StateForbids
from binding.domain.limits import Limits
from binding.domain.relations import Relationship


class ApplicationState(StrEnum):
    """Where an application stands."""

    DRAFT = "DRAFT"
    SUBMITTED = "SUBMITTED"
    CLAIMED = "CLAIMED"
    APPROVED = "APPROVED"
    REJECTED = "REJECTED"
    RETURNED = "RETURNED"


class Step(StrEnum):
    """What may be done with an application."""

    ADD_PROOF = "ADD_PROOF"
    CONSENT = "CONSENT"
    SUBMIT = "SUBMIT"
    CLAIM = "CLAIM"
    APPROVE = "APPROVE"
    REJECT = "REJECT"
    RETURN = "RETURN"


class ProofKind(StrEnum):
    """The kind of a proof."""

    HOUSEHOLD_REGISTER = "HOUSEHOLD_REGISTER"
    BIRTH_CERTIFICATE = "BIRTH_CERTIFICATE"
    MARRIAGE_CERTIFICATE = "MARRIAGE_CERTIFICATE"


NEXT: dict[tuple[ApplicationState, Step], ApplicationState] = {
    (ApplicationState.DRAFT, Step.ADD_PROOF): ApplicationState.DRAFT,
    (ApplicationState.DRAFT, Step.CONSENT): ApplicationState.DRAFT,
    (ApplicationState.DRAFT, Step.SUBMIT): ApplicationState.SUBMITTED,
    (ApplicationState.RETURNED, Step.ADD_PROOF): ApplicationState.RETURNED,
    (ApplicationState.RETURNED, Step.CONSENT): ApplicationState.RETURNED,
    (ApplicationState.RETURNED, Step.SUBMIT): ApplicationState.SUBMITTED,
    (ApplicationState.SUBMITTED, Step.CLAIM): ApplicationState.CLAIMED,
    (ApplicationState.CLAIMED, Step.APPROVE): ApplicationState.APPROVED,
    (ApplicationState.CLAIMED, Step.REJECT): ApplicationState.REJECTED,
    (ApplicationState.CLAIMED, Step.RETURN): ApplicationState.RETURNED,
}
"""Every step that is allowed; what is not here is refused."""

DECISIONS = frozenset({Step.APPROVE, Step.REJECT, Step.RETURN})


class ClaimedByAnother(Refused):
    """Another clerk holds the application."""

    reason = "CLAIMED_BY_ANOTHER"


class FourEyes(Refused):
    """Who decides may not be who handled it, and no clerk works on an application that they are a party to."""

    reason = "FOUR_EYES"


@dataclass(frozen=True, slots=True)
class Clerk:
    """A clerk, as the assertion tells."""

    subject: str
    psn_no: str | None = None
    """The clerk's own person number, if the assertion has one: for the check that they are no party."""


@dataclass(frozen=True, slots=True)
class Proof:
    """A stored proof, without its bytes."""

    proof_id: UUID
    kind: ProofKind
    media_type: str
    sha256: str
    """64 hexadecimal digits."""
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Application:
    """An application for mutual aid."""

    application_id: UUID
    applicant: str
    """Subject of the assertion it was made with."""
    payer_psn_no: str
    beneficiary_psn_no: str
    relationship: Relationship
    limits: Limits
    valid_from: date | None
    """First day; None means the day of approval."""
    valid_to: date
    priority: int
    """Place among the beneficiary's payers; 0 means after those that are there."""
    pledge_version: str
    state: ApplicationState = ApplicationState.DRAFT
    proofs: tuple[Proof, ...] = ()
    consented_at: datetime | None = None
    submitted_at: datetime | None = None
    handler: str = ""
    decider: str = ""
    decision_reason: str = ""
    decided_at: datetime | None = None
    relation_id: UUID | None = None
    sequence: int = 0
    """Events told about it so far."""

    @property
    def parties(self) -> frozenset[str]:
        """psn_no of both sides."""
        return frozenset({self.payer_psn_no, self.beneficiary_psn_no})


def after(state: ApplicationState, step: Step) -> ApplicationState:
    """The state after a step. Raises StateForbids when the step is not allowed."""
    try:
        return NEXT[state, step]
    except KeyError:
        raise StateForbids(
            f"an application that is {state} does not allow {step}", {"state": state, "step": step}
        ) from None


def consent(application: Application, at: datetime) -> Application:
    """The application with the beneficiary's consent (R4); what was given once stays as it was given."""
    if application.consented_at is not None:
        return application
    return replace(application, state=after(application.state, Step.CONSENT), consented_at=at)


def submit(application: Application, at: datetime) -> Application:
    """The application, handed in. Handing in again what is on its way, or decided for good, changes nothing."""
    if (application.state, Step.SUBMIT) not in NEXT:
        return application
    return replace(
        application,
        state=after(application.state, Step.SUBMIT),
        submitted_at=at,
        handler="",
        decider="",
        decision_reason="",
        decided_at=None,
    )


def claim(application: Application, clerk: Clerk) -> Application:
    """The application in this clerk's hands; claiming one's own again changes nothing.

    Raises:
        FourEyes: the clerk is a party to it.
        ClaimedByAnother: another clerk holds it.
        StateForbids: it does not wait for a clerk.
    """
    _refuse_party(application, clerk)
    if application.state is ApplicationState.CLAIMED:
        if application.handler != clerk.subject:
            raise ClaimedByAnother("another clerk holds this application")
        return application
    return replace(application, state=after(application.state, Step.CLAIM), handler=clerk.subject)


def decide(application: Application, clerk: Clerk, decision: Step, reason: str, at: datetime) -> Application:
    """The decided application; the same decision again changes nothing.

    Raises:
        FourEyes: the clerk handled it or is a party to it.
        StateForbids: nobody has claimed it, or it was decided differently.
    """
    _refuse_party(application, clerk)
    if clerk.subject == application.handler:
        raise FourEyes("who handled an application may not decide it")
    if application.decided_at is not None and application.state is NEXT[ApplicationState.CLAIMED, decision]:
        return application
    state = after(application.state, decision)
    return replace(application, state=state, decider=clerk.subject, decision_reason=reason, decided_at=at)


def _refuse_party(application: Application, clerk: Clerk) -> None:
    if clerk.psn_no in application.parties or clerk.subject == application.applicant:
        raise FourEyes("a clerk may not work on an application that they are a party to")
