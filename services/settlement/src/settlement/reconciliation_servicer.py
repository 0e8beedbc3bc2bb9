"""ReconciliationService of the contract: an institution sees its own days, operators and auditors all."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any, Final
from uuid import UUID

from gongji.settlement.v1 import reconciliation_pb2 as pb2
from gongji.settlement.v1 import reconciliation_pb2_grpc
from kit.auth import current
from kit.errors import FieldViolation, InvalidFields, Refusal
from settlement import difference_codec as differences
from settlement import reconciliation_codec as codec
from settlement.daily_file import daily_file, file_name
from settlement.difference_service import DifferenceService, Resolution
from settlement.domain.differences import DifferenceState
from settlement.domain.reasons import Reason, SettlementRefusedError
from settlement.domain.reconciliation import DetailLine
from settlement.reconciliation_service import ReconciliationService

COMPARED_AT_ONCE: Final = 4
"""Comparisons whose lines are held in memory at a time; more are told to come again."""
DEFAULT_PAGE_DIFFERENCES: Final = 50


class ReconciliationServicer(reconciliation_pb2_grpc.ReconciliationServiceServicer):
    """Serves `gongji.settlement.v1.ReconciliationService`; who may call what is in `access.py`."""

    def __init__(self, reconciliation: ReconciliationService, differences: DifferenceService) -> None:
        self._reconciliation = reconciliation
        self._differences = differences
        self._comparing = asyncio.Semaphore(COMPARED_AT_ONCE)

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

    async def CompareDetails(  # noqa: N802 - the contract's name
        self, requests: AsyncIterator[pb2.CompareDetailsRequest], context: Any
    ) -> pb2.CompareDetailsResponse:
        """See the contract."""
        del context
        first = await anext(requests, None)
        if first is None:
            raise InvalidFields([FieldViolation("", "the stream has no message")])
        require_own(first.fixmedins_code)
        if self._comparing.locked():
            raise Refusal("OVERLOADED", "others are being compared just now; send the same again in a moment")
        async with self._comparing:
            there = await differences.lines_in(first, requests)
            compared = await self._differences.compare(first.fixmedins_code, codec.day_of(first.day), there)
        return differences.compared_message(compared)

    async def ListDifferences(  # noqa: N802 - the contract's name
        self, request: pb2.ListDifferencesRequest, context: Any
    ) -> pb2.ListDifferencesResponse:
        """See the contract."""
        del context
        require_own(request.fixmedins_code)
        size = request.page_size or DEFAULT_PAGE_DIFFERENCES
        found = await self._differences.page(
            request.fixmedins_code,
            codec.day_of(request.day) if request.day else None,
            differences.state_of(request.state),
            differences.place_of(request.page_token),
            size + 1,
        )
        return differences.page_message(found, size)

    async def ResolveDifference(  # noqa: N802 - the contract's name
        self, request: pb2.ResolveDifferenceRequest, context: Any
    ) -> pb2.ResolveDifferenceResponse:
        """See the contract."""
        del context
        principal = current().principal
        resolution = Resolution(
            difference_id=UUID(request.difference_id),
            state=DifferenceState(pb2.DifferenceState.Name(request.state).removeprefix("DIFFERENCE_STATE_")),
            note=request.note,
            by=who(),
            institution=principal.name if principal.kind == "institution" else None,
        )
        difference = await self._differences.resolve(resolution)
        return pb2.ResolveDifferenceResponse(difference=differences.difference_message(difference))

    async def GetClearingStatement(  # noqa: N802 - the contract's name
        self, request: pb2.GetClearingStatementRequest, context: Any
    ) -> pb2.GetClearingStatementResponse:
        """See the contract."""
        del context
        require_own(request.fixmedins_code)
        month = codec.day_of(f"{request.month}-01", "month")
        return codec.statement_message(await self._reconciliation.statement(request.fixmedins_code, month))

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
