"""SettlementService: checks who asks for whom, gathers calls into batches, and answers in the contract's words."""

from typing import Any
from uuid import UUID

from gongji.settlement.v1 import settlement_pb2 as pb2
from gongji.settlement.v1 import settlement_pb2_grpc
from kit.auth import require_institution
from kit.batcher import MicroBatcher
from settlement import codec
from settlement.domain.reasons import Reason, SettlementRefusedError
from settlement.domain.state import Settlement
from settlement.intents import Command
from settlement.preview_service import Preview, PreviewCommand
from settlement.query_service import QueryService
from settlement.reverse_service import ReverseCommand

FIXMEDINS_CODE_CHARACTERS = 12


class SettlementServicer(settlement_pb2_grpc.SettlementServiceServicer):
    """What a HIS calls."""

    def __init__(
        self,
        settling: MicroBatcher[Command, Settlement],
        previewing: MicroBatcher[PreviewCommand, Preview],
        reversing: MicroBatcher[ReverseCommand, Settlement],
        query: QueryService,
    ) -> None:
        self._settling = settling
        self._previewing = previewing
        self._reversing = reversing
        self._query = query

    async def PreSettle(  # noqa: N802 - the contract's name
        self, request: pb2.PreSettleRequest, context: Any
    ) -> pb2.PreSettleResponse:
        """See the contract."""
        del context
        _must_be_own(request.fixmedins_code)
        return codec.preview_message(await self._previewing.submit(codec.preview_command(request)))

    async def Settle(  # noqa: N802 - the contract's name
        self, request: pb2.SettleRequest, context: Any
    ) -> pb2.SettleResponse:
        """See the contract."""
        del context
        _must_be_own(request.fixmedins_code, request.msgid)
        settlement = await self._settling.submit(codec.settle_command(request))
        return pb2.SettleResponse(settlement=codec.settlement_message(settlement))

    async def Reverse(  # noqa: N802 - the contract's name
        self, request: pb2.ReverseRequest, context: Any
    ) -> pb2.ReverseResponse:
        """See the contract."""
        del context
        _must_be_own(request.fixmedins_code, request.msgid, request.original_msgid)
        settlement = await self._reversing.submit(codec.reverse_command(request))
        return pb2.ReverseResponse(settlement=codec.settlement_message(settlement))

    async def GetSettlement(  # noqa: N802 - the contract's name
        self, request: pb2.GetSettlementRequest, context: Any
    ) -> pb2.GetSettlementResponse:
        """See the contract."""
        del context
        _must_be_own(request.fixmedins_code, request.msgid)
        if request.WhichOneof("key") == "setl_id":
            settlement = await self._query.by_id(request.fixmedins_code, UUID(request.setl_id))
        else:
            settlement = await self._query.by_msgid(request.fixmedins_code, request.msgid)
        return pb2.GetSettlementResponse(settlement=codec.settlement_message(settlement))


def _must_be_own(fixmedins_code: str, *msgids: str) -> None:
    """A request names the institution that calls, and ids that begin with its code."""
    if fixmedins_code != require_institution():
        raise SettlementRefusedError(Reason.FORBIDDEN_INSTITUTION, "fixmedins_code is not the calling institution's")
    if any(msgid and msgid[:FIXMEDINS_CODE_CHARACTERS] != fixmedins_code for msgid in msgids):
        raise SettlementRefusedError(Reason.FORBIDDEN_INSTITUTION, "a msgid begins with another institution's code")
