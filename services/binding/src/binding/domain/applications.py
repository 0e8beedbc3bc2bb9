"""Applications for mutual aid: one clerk handles (经办), a different one decides (审核)."""

from dataclasses import dataclass, replace
from datetime import date, datetime
from enum import StrEnum
from uuid import UUID

from binding.domain.errors import StateForbids
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
    FINISH = "FINISH"
    RELEASE = "RELEASE"
    HAND_OVER = "HAND_OVER"
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
    (ApplicationState.CLAIMED, Step.CLAIM): ApplicationState.CLAIMED,
    (ApplicationState.CLAIMED, Step.FINISH): ApplicationState.CLAIMED,
    (ApplicationState.CLAIMED, Step.RELEASE): ApplicationState.SUBMITTED,
    (ApplicationState.CLAIMED, Step.HAND_OVER): ApplicationState.SUBMITTED,
    (ApplicationState.CLAIMED, Step.APPROVE): ApplicationState.APPROVED,
    (ApplicationState.CLAIMED, Step.REJECT): ApplicationState.REJECTED,
    (ApplicationState.CLAIMED, Step.RETURN): ApplicationState.RETURNED,
}
"""Every step that is allowed; what is not here is refused."""


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
    region: str = ""
    """Where the payer was insured when it was handed in: whose queue it is in."""
    due_on: date | None = None
    """The last day to decide it; None for a draft."""
    handler: str = ""
    """Who handles it; while it is submitted, to whom it was handed over."""
    handlers: tuple[str, ...] = ()
    """Everybody who ever had it in hand, in order: none of them decides."""
    claim_expires_at: datetime | None = None
    """When the handler's claim runs out, by the database's time; None while nobody's does."""
    handled_at: datetime | None = None
    """When the handling was finished."""
    decider: str = ""
    decision_reason: str = ""
    """In the decider's words."""
    decision_reason_code: str = ""
    """Its place in the catalogue."""
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
        claim_expires_at=None,
        handled_at=None,
        decider="",
        decision_reason="",
        decision_reason_code="",
        decided_at=None,
    )
