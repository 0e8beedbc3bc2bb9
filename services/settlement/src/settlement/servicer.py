"""SettlementService: checks who asks for whom, gathers calls into batches, and answers in the contract's words."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, TypeVar
from uuid import UUID

from gongji.settlement.v1 import settlement_pb2 as pb2
from gongji.settlement.v1 import settlement_pb2_grpc
from kit.auth import require_institution
from settlement import codec
from settlement.bulk import BATCH_MAX
from settlement.bulk_codec import BulkRequest
from settlement.bulk_stream import BulkStream
from settlement.domain.quotes import Quote
from settlement.domain.reasons import Reason, SettlementRefusedError, VisitRefusedError
from settlement.domain.state import Settlement
from settlement.listing import DEFAULT_PAGE, page_token, place_of
from settlement.ownership import must_be_own
from settlement.pipeline import Pipeline
from settlement.preview_service import Preview, all_cash
from settlement.reconciliation_codec import day_of
from settlement.sandbox import Asked, for_ever

T = TypeVar("T")


class SettlementServicer(settlement_pb2_grpc.SettlementServiceServicer):
    """What a HIS calls."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    async def PreSettle(  # noqa: N802 - the contract's name
        self, request: pb2.PreSettleRequest, context: Any
    ) -> pb2.PreSettleResponse:
        """See the contract."""
        del context
        must_be_own(request.fixmedins_code, request.msgid if request.hold else "")
        work = self._hold if request.hold else self._preview
        try:
            return await self._play(request, lambda: work(request))
        except VisitRefusedError as refused:
            return codec.preview_message(Preview(all_cash(codec.bill_of(request.bill)), refused.refusal))

    async def _preview(self, request: pb2.PreSettleRequest) -> pb2.PreSettleResponse:
        return codec.preview_message(await self._pipeline.previewing.submit(codec.preview_command(request)))

    async def _hold(self, request: pb2.PreSettleRequest) -> pb2.PreSettleResponse:
        held = await self._pipeline.settling.submit(codec.hold_command(request))
        return codec.held_message(expect(held, Quote))

    async def _play(self, request: Asked, work: Callable[[], Awaitable[T]]) -> T:
        """The answer of `work`, unless this is a sandbox institution that ordered something else."""
        if (refusal := self._pipeline.sandbox.refusal_of(request)) is not None:
            raise refusal
        return await self._pipeline.sandbox.play([request], work)

    async def CancelQuote(  # noqa: N802 - the contract's name
        self, request: pb2.CancelQuoteRequest, context: Any
    ) -> pb2.CancelQuoteResponse:
        """See the contract."""
        del context
        must_be_own(request.fixmedins_code)
        quote = await self._pipeline.quotes.cancel(request.fixmedins_code, UUID(request.quote_id))
        return pb2.CancelQuoteResponse(quote=codec.quote_message(quote))

    async def GetQuote(  # noqa: N802 - the contract's name
        self, request: pb2.GetQuoteRequest, context: Any
    ) -> pb2.GetQuoteResponse:
        """See the contract."""
        del context
        must_be_own(request.fixmedins_code, request.msgid)
        if request.WhichOneof("key") == "quote_id":
            quote = await self._pipeline.quotes.by_id(request.fixmedins_code, UUID(request.quote_id))
        else:
            quote = await self._pipeline.quotes.by_msgid(request.fixmedins_code, request.msgid)
        return pb2.GetQuoteResponse(quote=codec.quote_message(quote))

    async def Settle(  # noqa: N802 - the contract's name
        self, request: pb2.SettleRequest, context: Any
    ) -> pb2.SettleResponse:
        """See the contract."""
        del context
        must_be_own(request.fixmedins_code, request.msgid)
        batcher = self._pipeline.quoted if request.quote_id else self._pipeline.settling
        answer = await self._play(request, lambda: batcher.submit(codec.settle_command(request)))
        settlement = expect(answer, Settlement)
        return codec.settled_message(settlement)

    async def BatchSettle(  # noqa: N802 - the contract's name
        self, request: pb2.BatchSettleRequest, context: Any
    ) -> pb2.BatchSettleResponse:
        """See the contract."""
        del context
        if len(request.items) > BATCH_MAX:
            raise SettlementRefusedError(Reason.BATCH_TOO_LARGE, f"at most {BATCH_MAX} bills in one call")
        sandbox = self._pipeline.sandbox
        asked = BulkRequest(request.items, require_institution(), sandbox.refusal_of)
        answers = await sandbox.play(request.items, lambda: self._pipeline.bulk.settle(asked.commands))
        return pb2.BatchSettleResponse(results=asked.results(answers))

    async def SettleStream(  # noqa: N802 - the contract's name
        self, requests: AsyncIterator[pb2.SettleStreamRequest], context: Any
    ) -> AsyncIterator[pb2.SettleStreamResponse]:
        """See the contract."""
        del context
        sandbox = self._pipeline.sandbox
        lost: set[str] = set()
        stream = BulkStream(self._pipeline.bulk, require_institution(), sandbox.refusal_of)
        async with aclosing(stream.results(sandbox.incoming(requests, lost))) as results:
            async for some in results:
                if not lost.isdisjoint(result.msgid for result in some):
                    await for_ever()
                yield pb2.SettleStreamResponse(results=some)

    async def Reverse(  # noqa: N802 - the contract's name
        self, request: pb2.ReverseRequest, context: Any
    ) -> pb2.ReverseResponse:
        """See the contract."""
        del context
        must_be_own(request.fixmedins_code, request.msgid, request.original_msgid)
        settlement = await self._pipeline.reversing.submit(codec.reverse_command(request))
        return pb2.ReverseResponse(settlement=codec.settlement_message(settlement))

    async def Resettle(  # noqa: N802 - the contract's name
        self, request: pb2.ResettleRequest, context: Any
    ) -> pb2.ResettleResponse:
        """See the contract."""
        del context
        must_be_own(request.fixmedins_code, request.msgid, request.original_msgid)
        command = codec.resettle_command(request)
        settlement = expect(await self._play(request, lambda: self._pipeline.settling.submit(command)), Settlement)
        original = settlement.order.replaces if settlement.order else None
        if original is None:
            raise SettlementRefusedError(Reason.MSGID_REUSED, "this msgid was used before with another body")
        replaced = await self._pipeline.query.by_id(request.fixmedins_code, original)
        return pb2.ResettleResponse(
            settlement=codec.settlement_message(settlement), replaced=codec.settlement_message(replaced)
        )

    async def GetSettlement(  # noqa: N802 - the contract's name
        self, request: pb2.GetSettlementRequest, context: Any
    ) -> pb2.GetSettlementResponse:
        """See the contract."""
        del context
        must_be_own(request.fixmedins_code, request.msgid)
        if request.WhichOneof("key") == "setl_id":
            settlement = await self._pipeline.query.by_id(request.fixmedins_code, UUID(request.setl_id))
        else:
            settlement = await self._pipeline.query.by_msgid(request.fixmedins_code, request.msgid)
        return pb2.GetSettlementResponse(settlement=codec.settlement_message(settlement))

    async def ListSettlements(  # noqa: N802 - the contract's name
        self, request: pb2.ListSettlementsRequest, context: Any
    ) -> pb2.ListSettlementsResponse:
        """See the contract."""
        del context
        must_be_own(request.fixmedins_code)
        day = day_of(request.day)
        after, most = place_of(request.page_token, day), request.page_size or DEFAULT_PAGE
        found, is_more = await self._pipeline.query.of_day(request.fixmedins_code, day, after, most)
        return pb2.ListSettlementsResponse(
            settlements=[codec.settlement_message(each) for each in found],
            next_page_token=page_token(found[-1]) if is_more else "",
        )


def expect(answer: Settlement | Quote, kind: type[T]) -> T:
    """The answer as what its request comes to; a msgid is bound to its body, and that to the kind."""
    if not isinstance(answer, kind):
        raise SettlementRefusedError(Reason.MSGID_REUSED, "this msgid was used before with another body")
    return answer
