"""Filings of care elsewhere (异地就医备案)."""

from typing import Final

from gongji.identity.v1 import person_pb2
from identity.codec.codes import inverted
from identity.codec.days import day_text, period
from identity.domain.remote_care import RemoteCareKind, RemoteCareLevel, RemoteFiling, kind_of
from kit.errors import FieldViolation, InvalidFields
from kit.ids import uuid7

_KINDS: Final = {
    person_pb2.REMOTE_CARE_KIND_TEMPORARY: RemoteCareKind.TEMPORARY,
    person_pb2.REMOTE_CARE_KIND_LONG_TERM: RemoteCareKind.LONG_TERM,
}
_KIND_NUMBERS: Final = inverted(_KINDS)
_LEVEL_NUMBERS: Final = {
    RemoteCareLevel.PROVINCE: person_pb2.REMOTE_CARE_LEVEL_PROVINCE,
    RemoteCareLevel.CITY: person_pb2.REMOTE_CARE_LEVEL_CITY,
}


def filing(request: person_pb2.FileRemoteCareRequest) -> RemoteFiling:
    """A new filing.

    Raises:
        InvalidFields: a day is none, the days are in the wrong order, or a temporary filing has no last day.
    """
    first, last = period(request.valid_from, request.valid_to)
    kind = kind_of(_KINDS.get(request.kind), last)
    if kind is RemoteCareKind.TEMPORARY and last is None:
        raise InvalidFields([FieldViolation("valid_to", "is required of a temporary filing")])
    return RemoteFiling(uuid7(), request.psn_no, request.admdvs, first, last, kind)


def filing_message(kept: RemoteFiling) -> person_pb2.RemoteCareFiling:
    """The message of a filing."""
    return person_pb2.RemoteCareFiling(
        filing_id=str(kept.filing_id),
        admdvs=kept.admdvs,
        level=_LEVEL_NUMBERS[kept.level],
        kind=_KIND_NUMBERS[kept.kind],
        valid_from=day_text(kept.valid_from),
        valid_to=day_text(kept.valid_to),
        cancelled_on=day_text(kept.cancelled_on),
    )
