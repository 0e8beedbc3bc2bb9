"""The contract's messages to domain objects and back."""

import base64
import binascii
import unicodedata
from collections.abc import Mapping
from datetime import date, datetime
from typing import TypeVar
from uuid import UUID

from binding.codec_reasons import decision_reason_value, reason_text
from binding.domain.applications import Application, ApplicationState, Proof, ProofKind
from binding.domain.authorizations import Outcome, OutcomeLine, OutcomeState
from binding.domain.batch import Answer, Request
from binding.domain.granting import Grant
from binding.domain.limits import NO_USE, CounterKey, Limits, LimitWindow, Use, counter_keys
from binding.domain.relations import EndCause, Relation, Relationship, RelationState
from binding.repository import Place
from gongji.binding.v1 import application_pb2, authorization_pb2, relation_pb2
from gongji.common.v1 import reason_pb2
from kit.clock import shanghai_date
from kit.errors import FieldViolation, InvalidFields
from kit.ids import uuid_of
from kit.timestamps import moment, timestamp

MAX_PAGE, DEFAULT_PAGE = 200, 50

E = TypeVar("E", Relationship, ProofKind)

_RELATIONSHIPS = {
    Relationship.SPOUSE: relation_pb2.RELATIONSHIP_SPOUSE,
    Relationship.PARENT: relation_pb2.RELATIONSHIP_PARENT,
    Relationship.CHILD: relation_pb2.RELATIONSHIP_CHILD,
    Relationship.SIBLING: relation_pb2.RELATIONSHIP_SIBLING,
    Relationship.GRANDPARENT: relation_pb2.RELATIONSHIP_GRANDPARENT,
    Relationship.GRANDCHILD: relation_pb2.RELATIONSHIP_GRANDCHILD,
}
_RELATION_STATES = {
    RelationState.ACTIVE: relation_pb2.RELATION_STATE_ACTIVE,
    RelationState.SUSPENDED: relation_pb2.RELATION_STATE_SUSPENDED,
    RelationState.ENDED: relation_pb2.RELATION_STATE_ENDED,
}
_END_CAUSES = {
    EndCause.UNBOUND: relation_pb2.END_CAUSE_UNBOUND,
    EndCause.EXPIRED: relation_pb2.END_CAUSE_EXPIRED,
    EndCause.PAYER_DIED: relation_pb2.END_CAUSE_PAYER_DIED,
    EndCause.BENEFICIARY_DIED: relation_pb2.END_CAUSE_BENEFICIARY_DIED,
    EndCause.PAYER_ENROLMENT_LOST: relation_pb2.END_CAUSE_PAYER_ENROLMENT_LOST,
    EndCause.BENEFICIARY_ENROLMENT_LOST: relation_pb2.END_CAUSE_BENEFICIARY_ENROLMENT_LOST,
}
_WINDOWS = {
    LimitWindow.SETTLEMENT: relation_pb2.LIMIT_WINDOW_SETTLEMENT,
    LimitWindow.DAY: relation_pb2.LIMIT_WINDOW_DAY,
    LimitWindow.MONTH: relation_pb2.LIMIT_WINDOW_MONTH,
    LimitWindow.YEAR: relation_pb2.LIMIT_WINDOW_YEAR,
    LimitWindow.TOTAL: relation_pb2.LIMIT_WINDOW_TOTAL,
}
_APPLICATION_STATES = {
    ApplicationState.DRAFT: application_pb2.APPLICATION_STATE_DRAFT,
    ApplicationState.SUBMITTED: application_pb2.APPLICATION_STATE_SUBMITTED,
    ApplicationState.CLAIMED: application_pb2.APPLICATION_STATE_CLAIMED,
    ApplicationState.APPROVED: application_pb2.APPLICATION_STATE_APPROVED,
    ApplicationState.REJECTED: application_pb2.APPLICATION_STATE_REJECTED,
    ApplicationState.RETURNED: application_pb2.APPLICATION_STATE_RETURNED,
    ApplicationState.WITHDRAWN: application_pb2.APPLICATION_STATE_WITHDRAWN,
    ApplicationState.EXPIRED: application_pb2.APPLICATION_STATE_EXPIRED,
}
_PROOF_KINDS = {
    ProofKind.HOUSEHOLD_REGISTER: application_pb2.PROOF_KIND_HOUSEHOLD_REGISTER,
    ProofKind.BIRTH_CERTIFICATE: application_pb2.PROOF_KIND_BIRTH_CERTIFICATE,
    ProofKind.MARRIAGE_CERTIFICATE: application_pb2.PROOF_KIND_MARRIAGE_CERTIFICATE,
}
_OUTCOMES = {
    authorization_pb2.OUTCOME_STATE_CAPTURED: OutcomeState.CAPTURED,
    authorization_pb2.OUTCOME_STATE_RELEASED: OutcomeState.RELEASED,
    authorization_pb2.OUTCOME_STATE_RESTORED: OutcomeState.RESTORED,
    authorization_pb2.OUTCOME_STATE_TRIMMED: OutcomeState.TRIMMED,
}


def date_text(day: date | None) -> str:
    """A date as the contract carries it; None is empty."""
    return day.isoformat() if day else ""


def text_of(text: str, field: str) -> str:
    """A text for people. Raises InvalidFields for control characters; a database takes no NUL, and nobody the rest."""
    if any(unicodedata.category(character) == "Cc" and character not in "\n\t" for character in text):
        raise InvalidFields([FieldViolation(field, "has control characters")])
    return text


def limits_of(message: relation_pb2.Limits) -> Limits:
    """Limits from the contract; what is not there is no limit."""
    return Limits(**{field.name: value for field, value in message.ListFields()})


def limits_message(limits: Limits) -> relation_pb2.Limits:
    """Limits as the contract carries them."""
    return relation_pb2.Limits(
        settlement_fen=limits.settlement_fen,
        day_fen=limits.day_fen,
        month_fen=limits.month_fen,
        year_fen=limits.year_fen,
        total_fen=limits.total_fen,
    )


def window_value(window: LimitWindow) -> relation_pb2.LimitWindow.ValueType:
    """A window as the contract carries it."""
    return _WINDOWS[window]


def relationship_value(relationship: Relationship) -> relation_pb2.Relationship.ValueType:
    """A relationship as the contract carries it."""
    return _RELATIONSHIPS[relationship]


def relationship_of(value: relation_pb2.Relationship.ValueType) -> Relationship:
    """A relationship from the contract, which has refused the unknown ones."""
    return _key(_RELATIONSHIPS, value)


def proof_kind_of(value: application_pb2.ProofKind.ValueType) -> ProofKind:
    """A kind of proof from the contract, which has refused the unknown ones."""
    return _key(_PROOF_KINDS, value)


def _key(names: Mapping[E, int], value: int) -> E:
    return next(name for name, number in names.items() if number == value)


def application_state_value(state: ApplicationState) -> application_pb2.ApplicationState.ValueType:
    """A state as the contract carries it."""
    return _APPLICATION_STATES[state]


def application_message(application: Application, *, for_staff: bool) -> application_pb2.Application:
    """An application; only staff is told which clerk handles it."""
    message = application_pb2.Application(
        application_id=str(application.application_id),
        state=_APPLICATION_STATES[application.state],
        payer_psn_no=application.payer_psn_no,
        beneficiary_psn_no=application.beneficiary_psn_no,
        relationship=_RELATIONSHIPS[application.relationship],
        limits=limits_message(application.limits),
        valid_from=date_text(application.valid_from),
        valid_to=date_text(application.valid_to),
        priority=application.priority,
        pledge_version=application.pledge_version,
        proofs=[proof_message(proof) for proof in application.proofs],
        consented=application.consented_at is not None,
        handler=application.handler if for_staff else "",
        decision_reason=application.decision_reason,
        relation_id=str(application.relation_id or ""),
        region=application.region,
        due_on=date_text(application.due_on),
        decision_reason_code=decision_reason_value(application.decision_reason_code),
        decision_reason_text=reason_text(application.decision_reason_code),
        pledge_sha256=application.pledge_sha256,
        created_at=timestamp(application.created_at),
    )
    if for_staff and application.claim_expires_at:
        message.claim_expires_at.CopyFrom(timestamp(application.claim_expires_at))
    if for_staff and application.handled_at:
        message.handled_at.CopyFrom(timestamp(application.handled_at))
    if application.submitted_at:
        message.submitted_at.CopyFrom(timestamp(application.submitted_at))
    return message


def proof_message(proof: Proof) -> application_pb2.Proof:
    """A proof as the contract carries it, without its bytes."""
    return application_pb2.Proof(
        proof_id=str(proof.proof_id),
        kind=_PROOF_KINDS[proof.kind],
        media_type=proof.media_type,
        size_bytes=proof.size_bytes,
        sha256=proof.kept_sha256 or proof.sha256,
    )


def relation_message(relation: Relation, day: date, uses: Mapping[CounterKey, Use]) -> relation_pb2.Relation:
    """A relation with the use of the windows that `day` falls into."""
    message = relation_pb2.Relation(
        relation_id=str(relation.relation_id),
        payer_psn_no=relation.payer_psn_no,
        beneficiary_psn_no=relation.beneficiary_psn_no,
        relationship=_RELATIONSHIPS[relation.relationship],
        state=_RELATION_STATES[relation.state],
        priority=relation.priority,
        limits=limits_message(relation.limits),
        valid_from=date_text(relation.valid_from),
        valid_to=date_text(relation.valid_to),
        use=[_window_use(relation, key, uses.get(key, NO_USE)) for key in counter_keys(relation.relation_id, day)],
        state_reason=relation.state_reason,
        approved_at=timestamp(relation.approved_at),
        end_cause=_END_CAUSES[relation.end_cause] if relation.end_cause else relation_pb2.END_CAUSE_UNSPECIFIED,
        ended_from=date_text(relation.ended_from),
    )
    if relation.ended_at:
        message.ended_at.CopyFrom(timestamp(relation.ended_at))
    if relation.suspended_at:
        message.suspended_at.CopyFrom(timestamp(relation.suspended_at))
    return message


def _window_use(relation: Relation, key: CounterKey, use: Use) -> relation_pb2.WindowUse:
    return relation_pb2.WindowUse(
        window=_WINDOWS[key.window],
        used_fen=use.used_fen,
        held_fen=use.held_fen,
        limit_fen=relation.limits.of(key.window),
    )


def relation_state_value(state: RelationState) -> relation_pb2.RelationState.ValueType:
    """A state as the contract carries it."""
    return _RELATION_STATES[state]


def request_of(message: authorization_pb2.AuthorizationRequest) -> Request:
    """What settlement asks about one bill."""
    occurred_at = moment(message.occurred_at)
    return Request(
        authorization_id=uuid_of(message.authorization_id),
        beneficiary_psn_no=message.beneficiary_psn_no,
        need_fen=message.amount_fen,
        occurred_at=occurred_at,
        occurred_on=shanghai_date(occurred_at),
        requested_at=moment(message.requested_at),
        outcomes=tuple(_outcome_of(outcome, message.beneficiary_psn_no) for outcome in message.outcomes),
        replaces=_replaces(message.replaces),
        payer_psn_no=message.payer_psn_no,
    )


def _outcome_of(message: authorization_pb2.Outcome, beneficiary_psn_no: str) -> Outcome:
    occurred_at = moment(message.occurred_at)
    return Outcome(
        authorization_id=uuid_of(message.authorization_id),
        state=_OUTCOMES[message.state],
        beneficiary_psn_no=beneficiary_psn_no,
        occurred_at=occurred_at,
        occurred_on=shanghai_date(occurred_at),
        lines=tuple(OutcomeLine(uuid_of(line.relation_id), line.amount_fen) for line in message.lines),
        replaces=_replaces(message.replaces),
    )


def _replaces(text: str) -> UUID | None:
    return uuid_of(text) if text else None


def answer_message(answer: Answer) -> authorization_pb2.AuthorizationResult:
    """What settlement is told about one bill."""
    return authorization_pb2.AuthorizationResult(
        authorization_id=str(answer.authorization_id),
        refusal=reason_value(answer.refusal),
        grants=[_grant_message(grant) for grant in answer.grants],
    )


def _grant_message(grant: Grant) -> authorization_pb2.PayerGrant:
    return authorization_pb2.PayerGrant(
        payer_psn_no=grant.payer_psn_no,
        relation_id=str(grant.relation_id),
        granted_fen=grant.granted_fen,
        reason=reason_value(grant.reason),
        window=_WINDOWS[grant.window] if grant.window else relation_pb2.LIMIT_WINDOW_UNSPECIFIED,
    )


def reason_value(name: str | None) -> reason_pb2.Reason.ValueType:
    """A reason of the vocabulary as the contract carries it; None is unspecified."""
    return _REASONS[name or "UNSPECIFIED"]


_REASONS = {name.removeprefix("REASON_"): value for name, value in reason_pb2.Reason.items()}


def page_size_of(asked: int) -> int:
    """How many a page has: 50 unless asked otherwise, 200 at most."""
    return min(asked or DEFAULT_PAGE, MAX_PAGE)


def page_token(place: Place) -> str:
    """An opaque token for where a page ended."""
    return base64.urlsafe_b64encode(f"{place.at.isoformat()} {place.id}".encode()).decode()


def place_of(token: str) -> Place | None:
    """Where the page before ended; None from the beginning. Raises InvalidFields for a token that is none of ours."""
    if not token:
        return None
    try:
        at, _, identifier = base64.b64decode(token, altchars=b"-_", validate=True).decode("ascii").partition(" ")
        place = Place(datetime.fromisoformat(at), UUID(identifier))
    except (binascii.Error, ValueError):
        raise bad_token() from None
    if place.at.tzinfo is None:
        raise bad_token()
    return place


def bad_token() -> InvalidFields:
    """What a page token is refused with that is none of ours."""
    return InvalidFields([FieldViolation("page_token", "is not a token from an earlier answer")])
