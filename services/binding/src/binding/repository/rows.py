"""Rows of applications and relations to domain objects, whichever driver read them."""

from collections.abc import Sequence
from typing import Any, Protocol

from binding.domain.applications import Application, ApplicationState, Proof, ProofKind
from binding.domain.limits import Limits
from binding.domain.relations import EndCause, Relation, Relationship, RelationState


class Row(Protocol):
    """A row of either driver."""

    def __getitem__(self, column: str, /) -> Any:
        """The value of a column."""
        ...


_LIMITS = ("settlement_fen", "day_fen", "month_fen", "year_fen", "total_fen")


def limits_of(row: Row) -> Limits:
    """The limits in a row."""
    return Limits(*(row[column] for column in _LIMITS))


def limit_columns(limits: Limits) -> dict[str, int | None]:
    """Limits as columns."""
    return {column: getattr(limits, column) for column in _LIMITS}


def application_of(row: Row, proofs: Sequence[Proof]) -> Application:
    """The application in a row."""
    return Application(
        application_id=row["application_id"],
        applicant=row["applicant"],
        payer_psn_no=row["payer_psn_no"],
        beneficiary_psn_no=row["beneficiary_psn_no"],
        relationship=Relationship(row["relationship"]),
        limits=limits_of(row),
        valid_from=row["valid_from"],
        valid_to=row["valid_to"],
        priority=row["priority"],
        pledge_version=row["pledge_version"],
        pledge_sha256=row["pledge_sha256"],
        created_at=row["created_at"],
        state=ApplicationState(row["state"]),
        proofs=tuple(proofs),
        consented_at=row["consented_at"],
        submitted_at=row["submitted_at"],
        region=row["region"],
        due_on=row["due_on"],
        handler=row["handler"],
        handlers=tuple(row["handlers"]),
        claim_expires_at=row["claim_expires_at"],
        handled_at=row["handled_at"],
        decider=row["decider"],
        decision_reason=row["decision_reason"],
        decision_reason_code=row["decision_reason_code"],
        decided_at=row["decided_at"],
        relation_id=row["relation_id"],
        sequence=row["sequence"],
    )


def stated_columns(application: Application) -> dict[str, object]:
    """What a draft states once and for all."""
    return {
        "application_id": application.application_id,
        "applicant": application.applicant,
        "payer_psn_no": application.payer_psn_no,
        "beneficiary_psn_no": application.beneficiary_psn_no,
        "created_at": application.created_at,
    }


def changing_application(application: Application) -> dict[str, object]:
    """What steps change."""
    return {
        "relationship": application.relationship.value,
        "valid_from": application.valid_from,
        "valid_to": application.valid_to,
        "priority": application.priority,
        "pledge_version": application.pledge_version,
        "pledge_sha256": application.pledge_sha256,
        **limit_columns(application.limits),
        "state": application.state.value,
        "consented_at": application.consented_at,
        "submitted_at": application.submitted_at,
        "region": application.region,
        "due_on": application.due_on,
        "handler": application.handler,
        "handlers": list(application.handlers),
        "claim_expires_at": application.claim_expires_at,
        "handled_at": application.handled_at,
        "decider": application.decider,
        "decision_reason": application.decision_reason,
        "decision_reason_code": application.decision_reason_code,
        "decided_at": application.decided_at,
        "relation_id": application.relation_id,
        "sequence": application.sequence,
    }


def proof_of(row: Row) -> Proof:
    """The proof in a row, without its bytes."""
    return Proof(
        row["proof_id"], ProofKind(row["kind"]), row["media_type"], row["sha256"], row["size_bytes"], row["kept_sha256"]
    )


def relation_of(row: Row) -> Relation:
    """The relation in a row."""
    return Relation(
        relation_id=row["relation_id"],
        application_id=row["application_id"],
        payer_psn_no=row["payer_psn_no"],
        beneficiary_psn_no=row["beneficiary_psn_no"],
        relationship=Relationship(row["relationship"]),
        priority=row["priority"],
        limits=limits_of(row),
        valid_from=row["valid_from"],
        valid_to=row["valid_to"],
        approved_at=row["approved_at"],
        state=RelationState(row["state"]),
        state_reason=row["state_reason"],
        end_cause=EndCause(row["end_cause"]) if row["end_cause"] else None,
        ended_at=row["ended_at"],
        ended_from=row["ended_from"],
        suspended_at=row["suspended_at"],
        sequence=row["sequence"],
    )


def relation_columns(relation: Relation) -> dict[str, object]:
    """Every column of a relation."""
    return {
        "relation_id": relation.relation_id,
        "application_id": relation.application_id,
        "payer_psn_no": relation.payer_psn_no,
        "beneficiary_psn_no": relation.beneficiary_psn_no,
        "relationship": relation.relationship.value,
        "valid_from": relation.valid_from,
        "approved_at": relation.approved_at,
        **changing_columns(relation),
    }


def changing_columns(relation: Relation) -> dict[str, object]:
    """What changes in the life of a relation."""
    return {
        "state": relation.state.value,
        "state_reason": relation.state_reason,
        "end_cause": relation.end_cause.value if relation.end_cause else None,
        "ended_at": relation.ended_at,
        "ended_from": relation.ended_from,
        "suspended_at": relation.suspended_at,
        "valid_to": relation.valid_to,
        "priority": relation.priority,
        "sequence": relation.sequence,
        **limit_columns(relation.limits),
    }
