"""What binding tells on binding-events-v1: from domain objects to the contract's messages.

Each aggregate counts its own events without a gap: take the message from the aggregate after `counted`, and store it.
"""

from dataclasses import replace
from datetime import date, datetime
from typing import TypeVar

from binding.codec import date_text, limits_message, relationship_value, window_value
from binding.codec_reasons import decision_reason_value, reason_text
from binding.domain.applications import Application
from binding.domain.nearly_used import NearlyUsed
from binding.domain.relations import EndCause, Relation
from gongji.binding.events.v1 import events_pb2
from kit.events import Event
from kit.timestamps import timestamp

A = TypeVar("A", Application, Relation)


def counted(aggregate: A) -> A:
    """The aggregate with one more event told about it."""
    return replace(aggregate, sequence=aggregate.sequence + 1)


def application_submitted(application: Application, at: datetime) -> Event:
    """It was handed in."""
    message = events_pb2.ApplicationSubmitted(
        application=_application(application), submitted_at=timestamp(at), sequence=application.sequence
    )
    return Event(message, str(application.application_id), at)


def application_returned(application: Application, at: datetime) -> Event:
    """It was returned for correction."""
    message = events_pb2.ApplicationReturned(
        application=_application(application),
        returned_at=timestamp(at),
        reason=application.decision_reason,
        reason_code=decision_reason_value(application.decision_reason_code),
        reason_text=reason_text(application.decision_reason_code),
        sequence=application.sequence,
    )
    return Event(message, str(application.application_id), at)


def application_rejected(application: Application, at: datetime) -> Event:
    """It was rejected."""
    message = events_pb2.ApplicationRejected(
        application=_application(application),
        rejected_at=timestamp(at),
        reason=application.decision_reason,
        reason_code=decision_reason_value(application.decision_reason_code),
        reason_text=reason_text(application.decision_reason_code),
        sequence=application.sequence,
    )
    return Event(message, str(application.application_id), at)


def application_consented(application: Application, at: datetime) -> Event:
    """The adult beneficiary consented."""
    message = events_pb2.ApplicationConsented(
        application=_application(application), consented_at=timestamp(at), sequence=application.sequence
    )
    return Event(message, str(application.application_id), at)


def application_withdrawn(application: Application, at: datetime) -> Event:
    """It was taken back."""
    message = events_pb2.ApplicationWithdrawn(
        application=_application(application), withdrawn_at=timestamp(at), sequence=application.sequence
    )
    return Event(message, str(application.application_id), at)


def application_expired(application: Application, at: datetime) -> Event:
    """It was not handed in within its time."""
    message = events_pb2.ApplicationExpired(
        application=_application(application), expired_at=timestamp(at), sequence=application.sequence
    )
    return Event(message, str(application.application_id), at)


def relation_activated(relation: Relation, at: datetime, *, resumed: bool = False) -> Event:
    """It took effect, by approval or again after a suspension."""
    message = events_pb2.RelationActivated(
        relation=_relation(relation),
        activated_at=timestamp(at),
        application_id="" if resumed else str(relation.application_id),
        sequence=relation.sequence,
    )
    return Event(message, str(relation.relation_id), at)


def relation_changed(relation: Relation, at: datetime) -> Event:
    """Its limits, its last day or its place changed."""
    message = events_pb2.RelationChanged(
        relation=_relation(relation), changed_at=timestamp(at), sequence=relation.sequence
    )
    return Event(message, str(relation.relation_id), at)


def relation_suspended(relation: Relation, at: datetime) -> Event:
    """It was suspended, by an operator or because of a corrected birth date."""
    message = events_pb2.RelationSuspended(
        relation=_relation(relation),
        suspended_at=timestamp(at),
        reason=relation.state_reason,
        sequence=relation.sequence,
    )
    return Event(message, str(relation.relation_id), at)


def relation_ended(relation: Relation, at: datetime) -> Event:
    """It ended."""
    message = events_pb2.RelationEnded(
        relation=_relation(relation),
        ended_at=timestamp(at),
        cause=_CAUSES[relation.end_cause] if relation.end_cause else events_pb2.RELATION_END_CAUSE_UNSPECIFIED,
        ended_from=date_text(relation.ended_from),
        sequence=relation.sequence,
    )
    return Event(message, str(relation.relation_id), at)


def relation_expiring(relation: Relation, at: datetime) -> Event:
    """It will run out by date soon."""
    message = events_pb2.RelationExpiring(
        relation=_relation(relation), noticed_at=timestamp(at), sequence=relation.sequence
    )
    return Event(message, str(relation.relation_id), at)


def beneficiary_comes_of_age(on: date, relation: Relation, at: datetime) -> Event:
    """Its beneficiary, a minor, will be of age from a day on (R4)."""
    message = events_pb2.BeneficiaryComesOfAge(
        relation=_relation(relation),
        comes_of_age_on=date_text(on),
        noticed_at=timestamp(at),
        sequence=relation.sequence,
    )
    return Event(message, str(relation.relation_id), at)


def limit_nearly_used(notice: NearlyUsed, at: datetime) -> Event:
    """A window of its limits is used to a large part."""
    message = events_pb2.LimitNearlyUsed(
        relation=_relation(notice.relation),
        window=window_value(notice.key.window),
        used_fen=notice.used_fen,
        limit_fen=notice.limit_fen,
        noticed_at=timestamp(at),
        sequence=notice.relation.sequence,
    )
    return Event(message, str(notice.relation.relation_id), at)


_CAUSES = {
    EndCause.UNBOUND: events_pb2.RELATION_END_CAUSE_UNBOUND,
    EndCause.EXPIRED: events_pb2.RELATION_END_CAUSE_EXPIRED,
    EndCause.PAYER_DIED: events_pb2.RELATION_END_CAUSE_PAYER_DIED,
    EndCause.BENEFICIARY_DIED: events_pb2.RELATION_END_CAUSE_BENEFICIARY_DIED,
    EndCause.PAYER_ENROLMENT_LOST: events_pb2.RELATION_END_CAUSE_PAYER_ENROLMENT_LOST,
    EndCause.BENEFICIARY_ENROLMENT_LOST: events_pb2.RELATION_END_CAUSE_BENEFICIARY_ENROLMENT_LOST,
}


def _application(application: Application) -> events_pb2.ApplicationFacts:
    return events_pb2.ApplicationFacts(
        application_id=str(application.application_id),
        payer_psn_no=application.payer_psn_no,
        beneficiary_psn_no=application.beneficiary_psn_no,
        relationship=relationship_value(application.relationship),
    )


def _relation(relation: Relation) -> events_pb2.RelationFacts:
    return events_pb2.RelationFacts(
        relation_id=str(relation.relation_id),
        payer_psn_no=relation.payer_psn_no,
        beneficiary_psn_no=relation.beneficiary_psn_no,
        relationship=relationship_value(relation.relationship),
        limits=limits_message(relation.limits),
        valid_from=date_text(relation.valid_from),
        valid_to=date_text(relation.valid_to),
        priority=relation.priority,
    )
