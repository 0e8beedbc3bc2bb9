"""ReviewService."""

from uuid import UUID

from binding import codec, codec_reviews
from binding.domain.applications import Application
from binding.domain.decision_reasons import Verdict, flaw_in
from binding.repository import QueueFilter, QueuePlace
from binding.service.decisions import Decisions
from binding.service.reviews import Reviews
from binding.servicer.calling import Context, caller
from gongji.binding.v1 import application_pb2, review_pb2, review_pb2_grpc
from kit.errors import FieldViolation, InvalidFields


class ReviewServicer(review_pb2_grpc.ReviewServiceServicer):
    """One clerk handles (经办), a different one decides (审核)."""

    def __init__(self, reviews: Reviews, decisions: Decisions) -> None:
        self._reviews = reviews
        self._decisions = decisions

    async def ListWaiting(  # noqa: N802 - the contract's name
        self, request: review_pb2.ListWaitingRequest, _context: Context
    ) -> review_pb2.ListWaitingResponse:
        """The queue, oldest due first."""
        size = codec.page_size_of(request.page_size)
        wanted = QueueFilter(
            region=request.region,
            state=codec_reviews.queue_state_of(request.state),
            handler=caller().subject if request.mine_only else "",
        )
        after = codec_reviews.queue_place_of(request.page_token)
        found = await self._reviews.queue(wanted, after, size + 1, overdue_only=request.overdue_only)
        page = found[:size]
        answer = review_pb2.ListWaitingResponse(applications=map(_message, page))
        if len(found) > size:
            answer.next_page_token = codec_reviews.queue_token(QueuePlace.of(page[-1]))
        return answer

    async def CountWaiting(  # noqa: N802
        self, request: review_pb2.CountWaitingRequest, _context: Context
    ) -> review_pb2.CountWaitingResponse:
        """The queue in figures."""
        counted = await self._reviews.counts(request.region)
        regions = [codec_reviews.count_message(count, counted.at) for count in counted.regions]
        return review_pb2.CountWaitingResponse(regions=regions)

    async def ClaimApplication(  # noqa: N802
        self, request: review_pb2.ClaimApplicationRequest, _context: Context
    ) -> review_pb2.ClaimApplicationResponse:
        """Take an application to handle it."""
        application = await self._reviews.claim(caller(), UUID(request.application_id))
        return review_pb2.ClaimApplicationResponse(application=_message(application))

    async def ClaimNext(  # noqa: N802
        self, request: review_pb2.ClaimNextRequest, _context: Context
    ) -> review_pb2.ClaimNextResponse:
        """Take the oldest due one."""
        application = await self._reviews.claim_next(caller(), request.region)
        return review_pb2.ClaimNextResponse(application=_message(application) if application else None)

    async def FinishHandling(  # noqa: N802
        self, request: review_pb2.FinishHandlingRequest, _context: Context
    ) -> review_pb2.FinishHandlingResponse:
        """Leave it to a decider."""
        application = await self._reviews.finish(caller(), UUID(request.application_id))
        return review_pb2.FinishHandlingResponse(application=_message(application))

    async def ReleaseApplication(  # noqa: N802
        self, request: review_pb2.ReleaseApplicationRequest, _context: Context
    ) -> review_pb2.ReleaseApplicationResponse:
        """Give it back to the queue."""
        application = await self._reviews.release(caller(), UUID(request.application_id))
        return review_pb2.ReleaseApplicationResponse(application=_message(application))

    async def HandOverApplication(  # noqa: N802
        self, request: review_pb2.HandOverApplicationRequest, _context: Context
    ) -> review_pb2.HandOverApplicationResponse:
        """Keep it for another handler."""
        who, words = caller(), codec.text_of(request.reason, "reason")
        if request.to_handler == who.subject:
            raise InvalidFields([FieldViolation("to_handler", "is the caller")])
        application = await self._reviews.hand_over(who, UUID(request.application_id), request.to_handler, words)
        return review_pb2.HandOverApplicationResponse(application=_message(application))

    async def DecideApplication(  # noqa: N802
        self, request: review_pb2.DecideApplicationRequest, _context: Context
    ) -> review_pb2.DecideApplicationResponse:
        """Approve, reject or return."""
        verdict = _whole(codec_reviews.verdict_of(request.decision, request.reason_code, request.reason))
        application = await self._decisions.decide(caller(), UUID(request.application_id), verdict)
        return review_pb2.DecideApplicationResponse(application=_message(application))

    async def BatchDecide(  # noqa: N802
        self, request: review_pb2.BatchDecideRequest, _context: Context
    ) -> review_pb2.BatchDecideResponse:
        """Decide many, with a result each."""
        items = [codec_reviews.item_of(item) for item in request.items]
        results = await self._decisions.decide_batch(caller(), items)
        return review_pb2.BatchDecideResponse(results=map(codec_reviews.result_message, results))

    async def GetReviewStatistics(  # noqa: N802
        self, request: review_pb2.GetReviewStatisticsRequest, _context: Context
    ) -> review_pb2.GetReviewStatisticsResponse:
        """What was done in a period."""
        size = codec.page_size_of(request.page_size)
        period, after = codec_reviews.period_of(request), codec_reviews.clerk_day_of(request.page_token)
        found = await self._reviews.statistics(period, after, size + 1)
        return codec_reviews.statistics_message(found, size)

    async def ListReasons(  # noqa: N802
        self, request: review_pb2.ListReasonsRequest, _context: Context
    ) -> review_pb2.ListReasonsResponse:
        """The catalogue."""
        return review_pb2.ListReasonsResponse(reasons=codec_reviews.catalogue_messages(request.decision))


def _message(application: Application) -> application_pb2.Application:
    return codec.application_message(application, for_staff=True)


def _whole(verdict: Verdict) -> Verdict:
    flaw = flaw_in(verdict)
    if flaw:
        raise InvalidFields([FieldViolation(*flaw)])
    return verdict
