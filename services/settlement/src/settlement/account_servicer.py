"""AccountService of the contract: proto ⇄ domain, and the owner's right to see only the own account."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any, Final
from uuid import UUID

from gongji.settlement.v1 import account_pb2, account_pb2_grpc
from kit.auth import current
from kit.errors import Refusal
from settlement import account_codec as codec
from settlement import closing_codec, contribution_codec, statement_codec
from settlement.account_service import AccountService
from settlement.closing_service import ClosingService
from settlement.contribution_service import ContributionService
from settlement.domain.accounts import Instruction
from settlement.statement_export import StatementExport
from settlement.statement_service import StatementService

DEFAULT_PAGE_ENTRIES: Final = 50
IMPORTS_AT_ONCE: Final = 4
"""Streams of contributions that are taken at a time: each keeps a connection to the database busy for minutes."""


class AccountServicer(account_pb2_grpc.AccountServiceServicer):
    """Serves `gongji.settlement.v1.AccountService`; who may call what is in `access.py`."""

    def __init__(
        self,
        accounts: AccountService,
        contributions: ContributionService,
        closing: ClosingService,
        statements: StatementService,
        exports: StatementExport,
    ) -> None:
        self._accounts = accounts
        self._contributions = contributions
        self._closing = closing
        self._statements = statements
        self._exports = exports
        self._importing = asyncio.Semaphore(IMPORTS_AT_ONCE)

    async def OpenAccount(  # noqa: N802 - the contract's name
        self, request: account_pb2.OpenAccountRequest, context: Any
    ) -> account_pb2.OpenAccountResponse:
        """See the contract."""
        del context
        account = await self._accounts.open(request.psn_no)
        return account_pb2.OpenAccountResponse(account=codec.account_message(account))

    async def RecordContribution(  # noqa: N802 - the contract's name
        self, request: account_pb2.RecordContributionRequest, context: Any
    ) -> account_pb2.RecordContributionResponse:
        """See the contract."""
        del context
        balance_fen = await self._accounts.contribute(contribution_codec.row_of_message(request))
        return account_pb2.RecordContributionResponse(balance_after=balance_fen)

    async def ImportContributions(  # noqa: N802 - the contract's name
        self, request_iterator: Any, context: Any
    ) -> account_pb2.ImportContributionsResponse:
        """See the contract. Each message of the stream is a transaction of its own."""
        del context
        if self._importing.locked():
            raise Refusal("OVERLOADED", "other streams of contributions are being taken; send the same again later")
        tally = contribution_codec.Tally()
        async with self._importing:
            async for request in request_iterator:
                read = [contribution_codec.row_of_message(row) for row in request.rows]
                taken = await self._contributions.take(list(enumerate(read, start=tally.received_count + 1)))
                tally.count(len(read), taken)
        return tally.answer()

    async def GetAccount(  # noqa: N802 - the contract's name
        self, request: account_pb2.GetAccountRequest, context: Any
    ) -> account_pb2.GetAccountResponse:
        """See the contract."""
        del context
        require_owner(request.psn_no)
        account = await self._accounts.get(request.psn_no)
        return account_pb2.GetAccountResponse(account=codec.account_message(account))

    async def ListEntries(  # noqa: N802 - the contract's name
        self, request: account_pb2.ListEntriesRequest, context: Any
    ) -> account_pb2.ListEntriesResponse:
        """See the contract."""
        del context
        require_owner(request.psn_no)
        before, size = codec.number_of(request.page_token), request.page_size or DEFAULT_PAGE_ENTRIES
        lines = await self._accounts.statement(request.psn_no, before, size + 1)
        page = lines[:size]
        return account_pb2.ListEntriesResponse(
            entries=[codec.entry_message(line) for line in page],
            next_page_token=codec.page_token(page[-1].version) if len(lines) > size else "",
        )

    async def GetStatement(  # noqa: N802 - the contract's name
        self, request: account_pb2.GetStatementRequest, context: Any
    ) -> account_pb2.GetStatementResponse:
        """See the contract."""
        del context
        require_owner(request.psn_no)
        after, size = codec.number_of(request.page_token) or 0, request.page_size or DEFAULT_PAGE_ENTRIES
        summary, lines = await self._statements.page(request.psn_no, codec.period_of(request), after, size + 1)
        page = lines[:size]
        return account_pb2.GetStatementResponse(
            opening_balance=summary.opening_fen,
            closing_balance=summary.closing_fen,
            came_in=summary.came_in_fen,
            went_out=summary.went_out_fen,
            entry_count=summary.entry_count,
            entries=[codec.entry_message(line) for line in page],
            next_page_token=codec.page_token(page[-1].version) if len(lines) > size else "",
        )

    async def ExportStatement(  # noqa: N802 - the contract's name
        self, request: account_pb2.ExportStatementRequest, context: Any
    ) -> AsyncIterator[account_pb2.ExportStatementResponse]:
        """See the contract."""
        del context
        require_owner(request.psn_no)
        export = statement_codec.export_of(request)
        async with aclosing(self._exports.parts(export)) as parts:
            first = await anext(parts)  # what is refused is refused before the file's name
            yield account_pb2.ExportStatementResponse(file_name=export.file_name)
            yield account_pb2.ExportStatementResponse(chunk=first)
            async for part in parts:
                yield account_pb2.ExportStatementResponse(chunk=part)

    async def FreezeAccount(  # noqa: N802 - the contract's name
        self, request: account_pb2.FreezeAccountRequest, context: Any
    ) -> account_pb2.FreezeAccountResponse:
        """See the contract."""
        del context
        account = await self._accounts.freeze(request.psn_no, _instruction(request))
        return account_pb2.FreezeAccountResponse(account=codec.account_message(account))

    async def UnfreezeAccount(  # noqa: N802 - the contract's name
        self, request: account_pb2.UnfreezeAccountRequest, context: Any
    ) -> account_pb2.UnfreezeAccountResponse:
        """See the contract."""
        del context
        account = await self._accounts.unfreeze(request.psn_no, _instruction(request))
        return account_pb2.UnfreezeAccountResponse(account=codec.account_message(account))

    async def CloseAccount(  # noqa: N802 - the contract's name
        self, request: account_pb2.CloseAccountRequest, context: Any
    ) -> account_pb2.CloseAccountResponse:
        """See the contract."""
        del context
        closed = await self._closing.close(request.psn_no, closing_codec.payout_order(request.payout, caller()))
        return account_pb2.CloseAccountResponse(
            account=codec.account_message(closed.account),
            paid_out=closed.payout.amount_fen if closed.payout else 0,
            payout_id=str(closed.payout.payout_id) if closed.payout else "",
        )

    async def ListClosedRefunds(  # noqa: N802 - the contract's name
        self, request: account_pb2.ListClosedRefundsRequest, context: Any
    ) -> account_pb2.ListClosedRefundsResponse:
        """See the contract."""
        del context
        after, size = codec.number_of(request.page_token) or 0, request.page_size or DEFAULT_PAGE_ENTRIES
        found = await self._closing.refunds(closing_codec.refunds_asked(request, after, size + 1))
        page = found[:size]
        return account_pb2.ListClosedRefundsResponse(
            closed_refunds=[closing_codec.closed_refund_message(refund) for _, refund in page],
            next_page_token=codec.page_token(page[-1][0]) if len(found) > size else "",
        )

    async def PayOutClosedRefund(  # noqa: N802 - the contract's name
        self, request: account_pb2.PayOutClosedRefundRequest, context: Any
    ) -> account_pb2.PayOutClosedRefundResponse:
        """See the contract."""
        del context
        order = closing_codec.payout_order(request.payout, caller())
        refund, account = await self._closing.pay_out(UUID(request.closed_refund_id), order)
        return account_pb2.PayOutClosedRefundResponse(
            closed_refund=closing_codec.closed_refund_message(refund), balance_after=account.balance_fen
        )


def caller() -> str:
    """Who makes the call, and for whom, as it is kept with a change."""
    call = current()
    return f"{call.principal} {call.assertion.subject}" if call.assertion else str(call.principal)


def _instruction(request: account_pb2.FreezeAccountRequest | account_pb2.UnfreezeAccountRequest) -> Instruction:
    return Instruction(request.reason, request.authority, caller())


def require_owner(psn_no: str) -> None:
    """Return if the call is a service's own, or made for the account's owner.

    Raises:
        Refusal: `FORBIDDEN`, the person behind the call is somebody else.
    """
    assertion = current().assertion
    if assertion is not None and assertion.psn_no != psn_no:
        raise Refusal("FORBIDDEN", "an account is shown to its owner only")
