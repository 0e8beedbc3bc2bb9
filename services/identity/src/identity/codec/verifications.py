"""One-time codes."""

from uuid import UUID

from gongji.identity.v1 import person_pb2
from identity.service.verifications import ShownCode
from kit.errors import FieldViolation, InvalidFields


def shown_code(request: person_pb2.RegisterPersonRequest) -> ShownCode | None:
    """The code in a request, or None if it has none.

    Raises:
        InvalidFields: it has a verification without a code, or a code without a verification.
    """
    if bool(request.verification_id) != bool(request.code):
        field = "code" if request.verification_id else "verification_id"
        raise InvalidFields([FieldViolation(field, "goes with the other one: verification_id and code, or neither")])
    return ShownCode(UUID(request.verification_id), request.code) if request.code else None
