"""AccountService of the contract: proto ⇄ domain, and the owner's right to see only the own account."""

from typing import Any, Final

from gongji.settlement.v1 import account_pb2, account_pb2_grpc
from kit.auth import current
from kit.errors import Refusal
from settlement import account_codec as codec
from settlement.account_service import AccountService

DEFAULT_PAGE_ENTRIES: Final = 50


class AccountServicer(account_pb2_grpc.AccountServiceServicer):
    """Serves `gongji.settlement.v1.AccountService`; who may call what is in `access.py`."""

    def __init__(self, accounts: AccountService) -> None:
        self._accounts = accounts

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
        balance_fen = await self._accounts.contribute(request.psn_no, request.contribution_id, request.amount)
        return account_pb2.RecordContributionResponse(balance_after=balance_fen)

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
        before, size = codec.version_of(request.page_token), request.page_size or DEFAULT_PAGE_ENTRIES
        lines = await self._accounts.statement(request.psn_no, before, size + 1)
        page = lines[:size]
        return account_pb2.ListEntriesResponse(
            entries=[codec.entry_message(line) for line in page],
            next_page_token=codec.page_token(page[-1]) if len(lines) > size else "",
        )

    async def FreezeAccount(  # noqa: N802 - the contract's name
        self, request: account_pb2.FreezeAccountRequest, context: Any
    ) -> account_pb2.FreezeAccountResponse:
        """See the contract."""
        del context
        account = await self._accounts.freeze(request.psn_no, request.reason)
        return account_pb2.FreezeAccountResponse(account=codec.account_message(account))

    async def UnfreezeAccount(  # noqa: N802 - the contract's name
        self, request: account_pb2.UnfreezeAccountRequest, context: Any
    ) -> account_pb2.UnfreezeAccountResponse:
        """See the contract."""
        del context
        account = await self._accounts.unfreeze(request.psn_no, request.reason)
        return account_pb2.UnfreezeAccountResponse(account=codec.account_message(account))


def require_owner(psn_no: str) -> None:
    """Return if the call is a service's own, or made for the account's owner.

    Raises:
        Refusal: `FORBIDDEN`, the person behind the call is somebody else.
    """
    assertion = current().assertion
    if assertion is not None and assertion.psn_no != psn_no:
        raise Refusal("FORBIDDEN", "an account is shown to its owner only")
