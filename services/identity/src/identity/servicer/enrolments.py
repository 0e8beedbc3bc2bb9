"""PersonService: enrolments."""

from typing import Any

from gongji.identity.v1 import person_pb2
from identity import codec
from identity.servicer.services import PersonMethods


class EnrolmentMethods(PersonMethods):
    """See the contract."""

    async def RecordEnrolment(  # noqa: N802 - the contract's name
        self, request: person_pb2.RecordEnrolmentRequest, context: Any
    ) -> person_pb2.RecordEnrolmentResponse:
        """See the contract."""
        del context
        changed = await self._services.enrolments.record_enrolment(request.psn_no, codec.enrolment(request.enrolment))
        return person_pb2.RecordEnrolmentResponse(changed=changed)
