"""Applications for mutual aid: one clerk handles (经办), a different one decides (审核)."""

from dataclasses import dataclass, fields, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple
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
    WITHDRAWN = "WITHDRAWN"
    EXPIRED = "EXPIRED"


class Step(StrEnum):
    """What may be done with an application."""

    UPDATE = "UPDATE"
    ADD_PROOF = "ADD_PROOF"
    REMOVE_PROOF = "REMOVE_PROOF"
    CONSENT = "CONSENT"
    SUBMIT = "SUBMIT"
    CLAIM = "CLAIM"
    FINISH = "FINISH"
    RELEASE = "RELEASE"
    HAND_OVER = "HAND_OVER"
    APPROVE = "APPROVE"
    REJECT = "REJECT"
    RETURN = "RETURN"
    WITHDRAW = "WITHDRAW"
    EXPIRE = "EXPIRE"


class ProofKind(StrEnum):
    """The kind of a proof."""

    HOUSEHOLD_REGISTER = "HOUSEHOLD_REGISTER"
    BIRTH_CERTIFICATE = "BIRTH_CERTIFICATE"
    MARRIAGE_CERTIFICATE = "MARRIAGE_CERTIFICATE"


NEXT: dict[tuple[ApplicationState, Step], ApplicationState] = {
    (ApplicationState.DRAFT, Step.UPDATE): ApplicationState.DRAFT,
    (ApplicationState.DRAFT, Step.ADD_PROOF): ApplicationState.DRAFT,
    (ApplicationState.DRAFT, Step.REMOVE_PROOF): ApplicationState.DRAFT,
    (ApplicationState.DRAFT, Step.CONSENT): ApplicationState.DRAFT,
    (ApplicationState.DRAFT, Step.SUBMIT): ApplicationState.SUBMITTED,
    (ApplicationState.DRAFT, Step.WITHDRAW): ApplicationState.WITHDRAWN,
    (ApplicationState.DRAFT, Step.EXPIRE): ApplicationState.EXPIRED,
    (ApplicationState.RETURNED, Step.UPDATE): ApplicationState.RETURNED,
    (ApplicationState.RETURNED, Step.ADD_PROOF): ApplicationState.RETURNED,
    (ApplicationState.RETURNED, Step.REMOVE_PROOF): ApplicationState.RETURNED,
    (ApplicationState.RETURNED, Step.CONSENT): ApplicationState.RETURNED,
    (ApplicationState.RETURNED, Step.SUBMIT): ApplicationState.SUBMITTED,
    (ApplicationState.RETURNED, Step.WITHDRAW): ApplicationState.WITHDRAWN,
    (ApplicationState.RETURNED, Step.EXPIRE): ApplicationState.EXPIRED,
    (ApplicationState.SUBMITTED, Step.WITHDRAW): ApplicationState.WITHDRAWN,
    (ApplicationState.CLAIMED, Step.WITHDRAW): ApplicationState.WITHDRAWN,
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

_HANDED_IN = frozenset(
    {ApplicationState.SUBMITTED, ApplicationState.CLAIMED, ApplicationState.APPROVED, ApplicationState.REJECTED}
)


class ConsentUnsigned(Refused):
    """The assertion does not sign this application and the hash of its pledge."""

    reason = "CONSENT_UNSIGNED"


@dataclass(frozen=True, slots=True)
class Proof:
    """A stored proof, without its bytes."""

    proof_id: UUID
    kind: ProofKind
    media_type: str
    sha256: str
    """Of the file as it was sent, 64 hexadecimal digits: the same file again is the same proof."""
    size_bytes: int
    """Of the file as it is kept."""
    kept_sha256: str = ""
    """Of the file as it is kept; empty for proofs from before pictures were written anew: then it is `sha256`."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What an applicant asks for, and may ask for differently while the application is theirs to change."""

    relationship: Relationship
    limits: Limits
    valid_from: date | None
    """First day; None means the day of approval."""
    valid_to: date
    priority: int
    """Place among the beneficiary's payers; 0 means after those that are there."""
    pledge_version: str
    pledge_sha256: str


class Signed(NamedTuple):
    """What a consent was signed for, as the assertion states it; empty where it states nothing."""

    application_id: str
    pledge_sha256: str


@dataclass(frozen=True, slots=True)
class Consent:
    """A consent as it was given, with the evidence; kept for good, also when the application changes after it."""

    application_id: UUID
    psn_no: str
    pledge_sha256: str
    given_at: datetime
    issuer: str
    jti: str
    assertion: str
    """The signed statement itself, a JWT that has run out since and was used once."""


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
    pledge_sha256: str
    """Hash of that version's text, 64 hexadecimal digits; empty for applications from before it was kept."""
    created_at: datetime
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


def drafted(
    application_id: UUID, applicant: str, asked: Asked, at: datetime, *, payer_psn_no: str, beneficiary_psn_no: str
) -> Application:
    """A new draft."""
    stated = {field.name: getattr(asked, field.name) for field in fields(asked)}
    return Application(
        application_id=application_id,
        applicant=applicant,
        payer_psn_no=payer_psn_no,
        beneficiary_psn_no=beneficiary_psn_no,
        created_at=at,
        **stated,
    )


def after(state: ApplicationState, step: Step) -> ApplicationState:
    """The state after a step. Raises StateForbids when the step is not allowed."""
    try:
        return NEXT[state, step]
    except KeyError:
        raise StateForbids(
            f"an application that is {state} does not allow {step}", {"state": state, "step": step}
        ) from None


def update(application: Application, asked: Asked) -> Application:
    """The application, asking for something else. Raises StateForbids when it is no longer the applicant's to change.

    A consent was given to a relationship and a text: with either changed it has to be given anew.
    """
    state = after(application.state, Step.UPDATE)
    changed = replace(application, state=state, **{field.name: getattr(asked, field.name) for field in fields(asked)})
    signed = (application.relationship, application.pledge_sha256) == (asked.relationship, asked.pledge_sha256)
    return changed if signed else replace(changed, consented_at=None)


def add_proof(application: Application, proof: Proof) -> Application:
    """The application with a proof more. Raises StateForbids."""
    state = after(application.state, Step.ADD_PROOF)
    return replace(application, state=state, proofs=(*application.proofs, proof))


def remove_proof(application: Application, proof_id: UUID) -> Application:
    """The application without a proof; without one that it does not have, it stays as it is. Raises StateForbids."""
    state = after(application.state, Step.REMOVE_PROOF)
    kept = tuple(proof for proof in application.proofs if proof.proof_id != proof_id)
    return replace(application, state=state, proofs=kept) if kept != application.proofs else application


def withdraw(application: Application) -> Application:
    """The application, taken back by its applicant; again, nothing changes. Raises StateForbids when it is decided."""
    if application.state is ApplicationState.WITHDRAWN:
        return application
    return replace(application, state=after(application.state, Step.WITHDRAW))


def lapses_at(application: Application, life: timedelta) -> datetime | None:
    """When it ends by time unless it is handed in: counted from drafting, or from its return; None while it waits."""
    match application.state:
        case ApplicationState.DRAFT:
            return application.created_at + life
        case ApplicationState.RETURNED:
            return (application.decided_at or application.created_at) + life
        case _:
            return None


def refuse_lapsed(application: Application, at: datetime, life: timedelta) -> None:
    """Raises StateForbids for what has ended by time, whether or not that has been recorded yet."""
    lapsing = lapses_at(application, life)
    if lapsing is not None and lapsing <= at:
        raise StateForbids(
            "the application was not handed in within its time; draft a new one", {"state": ApplicationState.EXPIRED}
        )


def expire(application: Application, at: datetime, life: timedelta) -> Application:
    """The application, ended by time; while it has time left, or is no draft any more, it stays as it is."""
    lapsing = lapses_at(application, life)
    if lapsing is None or lapsing > at:
        return application
    return replace(application, state=after(application.state, Step.EXPIRE))


def consent(application: Application, signed: Signed, at: datetime) -> Application:
    """The application with the beneficiary's consent (R4); what was given once stays as it was given.

    Raises:
        ConsentUnsigned: what was signed is another application, or another text.
        StateForbids: it is no longer open.
    """
    if signed != Signed(str(application.application_id), application.pledge_sha256):
        raise ConsentUnsigned(
            "the assertion has to sign this application and its pledge",
            {"application_id": str(application.application_id), "pledge_sha256": application.pledge_sha256},
        )
    if application.consented_at is not None:
        return application
    return replace(application, state=after(application.state, Step.CONSENT), consented_at=at)


def submit(application: Application, at: datetime) -> Application:
    """The application, handed in. Handing in again what is on its way, or decided for good, changes nothing.

    Raises:
        StateForbids: it was withdrawn, or ended by time.
    """
    if application.state in _HANDED_IN:
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
