"""Institutions."""

from typing import Final

from gongji.identity.v1 import institution_pb2
from identity.codec.codes import inverted
from identity.codec.days import check_order, day_or_none, day_text, period
from identity.domain.institution import Designation, Institution, InstitutionType, first_disorder
from identity.domain.institution_change import ChangeState, InstitutionChange
from kit.errors import FieldViolation, InvalidFields
from kit.timestamps import timestamp

_INSTITUTION_TYPES: Final = {
    institution_pb2.INSTITUTION_TYPE_MEDICAL: InstitutionType.MEDICAL,
    institution_pb2.INSTITUTION_TYPE_PHARMACY: InstitutionType.PHARMACY,
}
INSTITUTION_TYPE_NUMBERS: Final = inverted(_INSTITUTION_TYPES)
_CHANGE_STATES: Final = {
    institution_pb2.INSTITUTION_CHANGE_STATE_PROPOSED: ChangeState.PROPOSED,
    institution_pb2.INSTITUTION_CHANGE_STATE_CONFIRMED: ChangeState.CONFIRMED,
    institution_pb2.INSTITUTION_CHANGE_STATE_REJECTED: ChangeState.REJECTED,
}
_CHANGE_STATE_NUMBERS: Final = inverted(_CHANGE_STATES)


def institution(message: institution_pb2.Institution) -> Institution:
    """The institution in a message whose field is called `institution`.

    Raises:
        InvalidFields: a day is none, or periods are in the wrong order or overlap.
    """
    return Institution(
        message.fixmedins_code,
        message.fixmedins_name,
        _INSTITUTION_TYPES[message.fixmedins_type],
        message.admdvs,
        _designations(message) if message.designations else _single_designation(message),
        message.remote_settlement,
        message.suspended,
    )


def _designations(message: institution_pb2.Institution) -> tuple[Designation, ...]:
    path = "institution.designations[{}]."
    periods = [
        Designation(*period(stated.valid_from, stated.valid_to, path.format(position)))
        for position, stated in enumerate(message.designations)
    ]
    disorder = first_disorder(periods)
    if disorder is not None:
        field = f"{path.format(disorder)}valid_from"
        raise InvalidFields([FieldViolation(field, "is not after the end of the period before")])
    return tuple(periods)


def _single_designation(message: institution_pb2.Institution) -> tuple[Designation, ...]:
    first = day_or_none(message.designated_from, "institution.designated_from")
    last = day_or_none(message.designated_to, "institution.designated_to")
    if first is None and last is not None:
        raise InvalidFields([FieldViolation("institution.designated_to", "needs designated_from")])
    if first is None:
        return ()
    check_order(first, last, "institution.designated_to", "designated_from")
    return (Designation(first, last),)


def institution_message(known: Institution) -> institution_pb2.Institution:
    """The message of an institution; who knows but one period is told the last."""
    last = known.designations[-1] if known.designations else None
    return institution_pb2.Institution(
        fixmedins_code=known.fixmedins_code,
        fixmedins_name=known.fixmedins_name,
        fixmedins_type=INSTITUTION_TYPE_NUMBERS[known.fixmedins_type],
        admdvs=known.admdvs,
        designated_from=day_text(last.valid_from) if last else "",
        designated_to=day_text(last.valid_to) if last else "",
        remote_settlement=known.remote_settlement,
        suspended=known.suspended,
        designations=[
            institution_pb2.DesignationPeriod(valid_from=day_text(one.valid_from), valid_to=day_text(one.valid_to))
            for one in known.designations
        ],
    )


def change_state(number: "institution_pb2.InstitutionChangeState.ValueType") -> ChangeState | None:
    """The state that a request asks for; None for all."""
    return _CHANGE_STATES.get(number)


def change_message(change: InstitutionChange, *, outdated: bool = False) -> institution_pb2.InstitutionChange:
    """The message of a proposal."""
    return institution_pb2.InstitutionChange(
        change_id=str(change.change_id),
        proposed=institution_message(change.proposed),
        base_version=change.base_version,
        state=_CHANGE_STATE_NUMBERS[change.state],
        proposed_by=change.proposed_by,
        proposed_at=timestamp(change.proposed_at),
        reason=change.reason,
        decided_by=change.decided_by or "",
        decided_at=timestamp(change.decided_at) if change.decided_at else None,
        rejection_reason=change.rejection_reason,
        outdated=outdated,
    )
