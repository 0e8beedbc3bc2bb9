"""identity-events-v1 → the projection: proto ⇄ domain, and what cannot be read is said to be unreadable."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date
from enum import IntEnum
from typing import Any, Final, TypeVar

from google.protobuf.message import Message

from gongji.identity.events.v1 import events_pb2
from gongji.identity.v1 import institution_pb2
from kit.events import Envelope, UnreadableEventError
from settlement.domain.bill import InstitutionType
from settlement.domain.projection import Died, Enrolled, InstitutionTold, Told, Verified
from settlement.domain.visit import Designation, InsuranceStatus, InsuranceType
from settlement.projection import Projection

TOPICS: Final = ("identity-events-v1",)
NOT_OURS: Final = frozenset({"gongji.identity.events.v1.VerificationCodeIssued"})
"""Events that say nothing of what settlement keeps."""

E = TypeVar("E", bound=IntEnum)


class Subscriber:
    """The handler of the consumer group; see `kit.kafka.Consumer`."""

    def __init__(self, projection: Projection) -> None:
        self._projection = projection

    async def handle(self, envelopes: Sequence[Envelope]) -> None:
        """Take in a batch.

        Raises:
            UnreadableEventError: an event carries a date or code that does not exist.
        """
        told = [(envelope.id, told_by(envelope.message)) for envelope in envelopes if envelope.type not in NOT_OURS]
        if told:
            await self._projection.take(told)


def told_by(message: Message) -> Told:
    """What an event of identity tells."""
    reader = _READERS.get(message.DESCRIPTOR.full_name)
    if reader is None:
        raise UnreadableEventError(f"{message.DESCRIPTOR.full_name} is not an event that settlement knows")
    return reader(message)


def _verified(message: events_pb2.PersonVerified) -> Verified:
    return Verified(message.psn_no, message.sequence, message.verified_at.ToDatetime(UTC))


def _corrected(message: events_pb2.PersonCorrected) -> Verified:
    return Verified(message.psn_no, message.sequence, message.corrected_at.ToDatetime(UTC))


def _enrolled(message: events_pb2.EnrolmentChanged) -> Enrolled:
    enrolment = message.enrolment
    return Enrolled(
        psn_no=message.psn_no,
        sequence=message.sequence,
        as_of=message.changed_at.ToDatetime(UTC),
        valid_from=_day("enrolment.valid_from", enrolment.valid_from),
        valid_to=_day_or_none("enrolment.valid_to", enrolment.valid_to),
        insutype=_code(InsuranceType, "enrolment.insutype", enrolment.insutype),
        insuplc_admdvs=enrolment.insuplc_admdvs,
        psn_insu_stas=_code(InsuranceStatus, "enrolment.psn_insu_stas", enrolment.psn_insu_stas),
        arrears=enrolment.arrears,
    )


def _died(message: events_pb2.PersonDied) -> Died:
    died_on = _day("died_on", message.died_on)
    return Died(message.psn_no, message.sequence, message.recorded_at.ToDatetime(UTC), died_on)


def _institution(message: events_pb2.InstitutionChanged) -> InstitutionTold:
    institution = message.institution
    return InstitutionTold(
        fixmedins_code=institution.fixmedins_code,
        sequence=message.sequence,
        as_of=message.changed_at.ToDatetime(UTC),
        fixmedins_type=_code(InstitutionType, "institution.fixmedins_type", institution.fixmedins_type),
        admdvs=institution.admdvs,
        designations=_designations(institution),
        remote_settlement=institution.remote_settlement,
        suspended=institution.suspended,
    )


def _designations(institution: institution_pb2.Institution) -> tuple[Designation, ...]:
    path = "institution.designations"
    if institution.designations:
        return tuple(
            Designation(_day(f"{path}.valid_from", one.valid_from), _day_or_none(f"{path}.valid_to", one.valid_to))
            for one in institution.designations
        )
    # An event of the release before, which knew one period.
    first = _day_or_none("institution.designated_from", institution.designated_from)
    last = _day_or_none("institution.designated_to", institution.designated_to)
    return (Designation(first, last),) if first else ()


_READERS: Final[Mapping[str, Callable[[Any], Told]]] = {
    events_pb2.PersonVerified.DESCRIPTOR.full_name: _verified,
    events_pb2.PersonCorrected.DESCRIPTOR.full_name: _corrected,
    events_pb2.EnrolmentChanged.DESCRIPTOR.full_name: _enrolled,
    events_pb2.PersonDied.DESCRIPTOR.full_name: _died,
    events_pb2.InstitutionChanged.DESCRIPTOR.full_name: _institution,
}


def _day(field: str, text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UnreadableEventError(f"{field} is not a date") from None


def _day_or_none(field: str, text: str) -> date | None:
    return _day(field, text) if text else None


def _code(kind: type[E], field: str, number: int) -> E:
    try:
        return kind(number)
    except ValueError:
        raise UnreadableEventError(f"{field} is not a code that settlement knows") from None
