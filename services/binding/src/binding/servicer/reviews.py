"""ReviewService."""

from uuid import UUID

from binding import codec
from binding.repository import Place
from binding.service.reviews import Reviews
from binding.servicer.calling import Context, caller
from gongji.binding.v1 import review_pb2, review_pb2_grpc


class ReviewServicer(review_pb2_grpc.ReviewServiceServicer):
    """One clerk handles (经办), a different one decides (审核)."""

    def __init__(self, reviews: Reviews) -> None:
        self._reviews = reviews

    async def ListWaiting(  # noqa: N802 - the contract's name
        self, request: review_pb2.ListWaitingRequest, _context: Context
    ) -> review_pb2.ListWaitingResponse:
        """The queue, oldest first."""
        size = codec.page_size_of(request.page_size)
        found = await self._reviews.waiting(codec.place_of(request.page_token), size + 1)
        page = found[:size]
        answer = review_pb2.ListWaitingResponse(
            applications=[codec.application_message(application, for_staff=True) for application in page]
        )
        if len(found) > size and page[-1].submitted_at:
            answer.next_page_token = codec.page_token(Place(page[-1].submitted_at, page[-1].application_id))
        return answer

    async def ClaimApplication(  # noqa: N802
        self, request: review_pb2.ClaimApplicationRequest, _context: Context
    ) -> review_pb2.ClaimApplicationResponse:
        """Take an application to handle it."""
        application = await self._reviews.claim(caller(), UUID(request.application_id))
        return review_pb2.ClaimApplicationResponse(application=codec.application_message(application, for_staff=True))

    async def DecideApplication(  # noqa: N802
        self, request: review_pb2.DecideApplicationRequest, _context: Context
    ) -> review_pb2.DecideApplicationResponse:
        """Approve, reject or return."""
        decision, reason = codec.decision_of(request.decision), codec.text_of(request.reason, "reason")
        application = await self._reviews.decide(caller(), UUID(request.application_id), decision, reason)
        return review_pb2.DecideApplicationResponse(application=codec.application_message(application, for_staff=True))
