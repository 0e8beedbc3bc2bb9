"""Institutions."""

from typing import Final

from gongji.identity.v1 import institution_pb2
from identity.codec.codes import inverted
from identity.codec.days import check_order, day_or_none, day_text
from identity.domain.institution import Institution, InstitutionType
from kit.errors import FieldViolation, InvalidFields

_INSTITUTION_TYPES: Final = {
    institution_pb2.INSTITUTION_TYPE_MEDICAL: InstitutionType.MEDICAL,
    institution_pb2.INSTITUTION_TYPE_PHARMACY: InstitutionType.PHARMACY,
}
INSTITUTION_TYPE_NUMBERS: Final = inverted(_INSTITUTION_TYPES)


def institution(message: institution_pb2.Institution) -> Institution:
    """The institution in a message whose field is called `institution`."""
    first = day_or_none(message.designated_from, "institution.designated_from")
    last = day_or_none(message.designated_to, "institution.designated_to")
    if first is None and last is not None:
        raise InvalidFields([FieldViolation("institution.designated_to", "needs designated_from")])
    if first is not None:
        check_order(first, last, "institution.designated_to", "designated_from")
    return Institution(
        message.fixmedins_code,
        message.fixmedins_name,
        _INSTITUTION_TYPES[message.fixmedins_type],
        message.admdvs,
        first,
        last,
        message.remote_settlement,
        message.suspended,
    )


def institution_message(known: Institution) -> institution_pb2.Institution:
    """The message of an institution."""
    return institution_pb2.Institution(
        fixmedins_code=known.fixmedins_code,
        fixmedins_name=known.fixmedins_name,
        fixmedins_type=INSTITUTION_TYPE_NUMBERS[known.fixmedins_type],
        admdvs=known.admdvs,
        designated_from=day_text(known.designated_from),
        designated_to=day_text(known.designated_to),
        remote_settlement=known.remote_settlement,
        suspended=known.suspended,
    )
