"""ReconciliationService of the contract: an institution sees its own days, operators and auditors all."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any

from gongji.settlement.v1 import reconciliation_pb2 as pb2
from gongji.settlement.v1 import reconciliation_pb2_grpc
from kit.auth import current
from settlement import reconciliation_codec as codec
from settlement.daily_file import daily_file, file_name
from settlement.domain.reasons import Reason, SettlementRefusedError
from settlement.domain.reconciliation import DetailLine
from settlement.reconciliation_service import ReconciliationService


class ReconciliationServicer(reconciliation_pb2_grpc.ReconciliationServiceServicer):
    """Serves `gongji.settlement.v1.ReconciliationService`; who may call what is in `access.py`."""

    def __init__(self, reconciliation: ReconciliationService) -> None:
        self._reconciliation = reconciliation

    async def GetDailyTotals(  # noqa: N802 - the contract's name
        self, request: pb2.GetDailyTotalsRequest, context: Any
    ) -> pb2.GetDailyTotalsResponse:
        """See the contract."""
        del context
        require_own(request.fixmedins_code)
        return codec.totals_message(
            *await self._reconciliation.daily_totals(request.fixmedins_code, codec.day_of(request.day))
        )

    async def StreamDetails(  # noqa: N802 - the contract's name
        self, request: pb2.StreamDetailsRequest, context: Any
    ) -> AsyncIterator[pb2.StreamDetailsResponse]:
        """See the contract."""
        del context
        require_own(request.fixmedins_code)
        async with aclosing(self._details(request.fixmedins_code, request.day)) as pages:
            async for page in pages:
                yield codec.details_message(page)

    async def DownloadDailyFile(  # noqa: N802 - the contract's name
        self, request: pb2.DownloadDailyFileRequest, context: Any
    ) -> AsyncIterator[pb2.DownloadDailyFileResponse]:
        """See the contract."""
        del context
        require_own(request.fixmedins_code)
        code, day = request.fixmedins_code, codec.day_of(request.day)
        yield pb2.DownloadDailyFileResponse(file_name=file_name(code, day))
        async with (
            aclosing(self._details(code, request.day)) as pages,
            aclosing(daily_file(code, day, pages)) as chunks,
        ):
            async for chunk in chunks:
                yield pb2.DownloadDailyFileResponse(chunk=chunk)

    def _details(self, fixmedins_code: str, day: str) -> AsyncGenerator[Sequence[DetailLine], None]:
        return self._reconciliation.details(fixmedins_code, codec.day_of(day))

    async def CloseDay(  # noqa: N802 - the contract's name
        self, request: pb2.CloseDayRequest, context: Any
    ) -> pb2.CloseDayResponse:
        """See the contract."""
        del context
        return codec.closing_message(await self._reconciliation.close_day(codec.day_of(request.day), who()))


def require_own(fixmedins_code: str) -> None:
    """Return if the caller is no institution, or this one.

    Raises:
        SettlementRefusedError: FORBIDDEN_INSTITUTION.
    """
    principal = current().principal
    if principal.kind == "institution" and principal.name != fixmedins_code:
        raise SettlementRefusedError(Reason.FORBIDDEN_INSTITUTION, "fixmedins_code is not the calling institution's")


def who() -> str:
    """Who is calling, as it is kept: the person behind the portal, else the certificate's name."""
    call = current()
    return call.assertion.subject if call.assertion else str(call.principal)
