"""PersonService: enrolments."""

from typing import Any

from gongji.identity.v1 import person_pb2
from identity import codec
from identity.servicer.calling import viewer
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

    async def GetEnrolment(  # noqa: N802 - the contract's name
        self, request: person_pb2.GetEnrolmentRequest, context: Any
    ) -> person_pb2.GetEnrolmentResponse:
        """See the contract."""
        del context
        asked = codec.day_or_none(request.day, "day")
        day, held = await self._services.enrolments.on_day(request.psn_no, asked, viewer())
        return person_pb2.GetEnrolmentResponse(day=codec.day_text(day), enrolment=codec.enrolment_message(held))

    async def ListEnrolments(  # noqa: N802 - the contract's name
        self, request: person_pb2.ListEnrolmentsRequest, context: Any
    ) -> person_pb2.ListEnrolmentsResponse:
        """See the contract."""
        del context
        size, before = codec.page_size(request.page_size), codec.place_in(request.page_token, codec.position)
        found = await self._services.enrolments.history(request.psn_no, viewer(), before, size + 1)
        recorded, token = codec.page(found, size, lambda one: one.position)
        return person_pb2.ListEnrolmentsResponse(
            enrolments=[codec.recorded_enrolment_message(one) for one in recorded], next_page_token=token
        )
