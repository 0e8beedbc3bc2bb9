"""PremiumService of the contract: proto ⇄ domain, and who may act for whom."""

from typing import Any, Final
from uuid import UUID

from gongji.settlement.v1 import premium_pb2 as pb2
from gongji.settlement.v1 import premium_pb2_grpc
from kit.auth import current, require_assertion
from kit.errors import Refusal
from settlement import premium_codec as codec
from settlement.premium_service import PremiumService

DEFAULT_PAGE: Final = 50


class PremiumServicer(premium_pb2_grpc.PremiumServiceServicer):
    """Serves `gongji.settlement.v1.PremiumService`; who may call what is in `access.py`."""

    def __init__(self, premiums: PremiumService) -> None:
        self._premiums = premiums

    async def SetPremium(  # noqa: N802 - the contract's name
        self, request: pb2.SetPremiumRequest, context: Any
    ) -> pb2.SetPremiumResponse:
        """See the contract."""
        del context
        terms = await self._premiums.state(codec.terms_of(request), _by_whom())
        return pb2.SetPremiumResponse(terms=codec.terms_message(terms))

    async def GetPremiumTerms(  # noqa: N802 - the contract's name
        self, request: pb2.GetPremiumTermsRequest, context: Any
    ) -> pb2.GetPremiumTermsResponse:
        """See the contract."""
        del context
        return pb2.GetPremiumTermsResponse(terms=codec.terms_message(await self._premiums.terms(request.year)))

    async def PayPremium(  # noqa: N802 - the contract's name
        self, request: pb2.PayPremiumRequest, context: Any
    ) -> pb2.PayPremiumResponse:
        """See the contract."""
        del context
        if require_assertion().psn_no != request.payer_psn_no:
            raise Refusal("FORBIDDEN", "a premium is paid from one's own account only")
        premium = await self._premiums.pay(*codec.order_of(request))
        return pb2.PayPremiumResponse(premium=codec.premium_message(premium))

    async def RefundPremium(  # noqa: N802 - the contract's name
        self, request: pb2.RefundPremiumRequest, context: Any
    ) -> pb2.RefundPremiumResponse:
        """See the contract."""
        del context
        premium = await self._premiums.refund(UUID(request.premium_id), _citizen())
        return pb2.RefundPremiumResponse(premium=codec.premium_message(premium))

    async def GetPremium(  # noqa: N802 - the contract's name
        self, request: pb2.GetPremiumRequest, context: Any
    ) -> pb2.GetPremiumResponse:
        """See the contract."""
        del context
        if request.WhichOneof("key") == "premium_id":
            premium = await self._premiums.by_id(UUID(request.premium_id), _citizen())
        else:
            premium = await self._premiums.by_payment_id(UUID(request.payment_id), _citizen())
        return pb2.GetPremiumResponse(premium=codec.premium_message(premium))

    async def ListPremiums(  # noqa: N802 - the contract's name
        self, request: pb2.ListPremiumsRequest, context: Any
    ) -> pb2.ListPremiumsResponse:
        """See the contract."""
        del context
        if _citizen() not in {None, request.psn_no}:
            raise Refusal("FORBIDDEN", "premiums are listed for oneself only")
        before, size = codec.before_of(request.page_token), request.page_size or DEFAULT_PAGE
        found = await self._premiums.newest(request.psn_no, request.year or None, before, size + 1)
        page = found[:size]
        return pb2.ListPremiumsResponse(
            premiums=[codec.premium_message(premium) for premium in page],
            next_page_token=codec.page_token(page[-1]) if len(found) > size else "",
        )


def _citizen() -> str | None:
    """The person for whom the call is made; None for an operator, who may see to anybody's.

    An assertion without a person number is nobody's: no payment is theirs.
    """
    assertion = current().assertion
    if assertion is None or "operator" in assertion.roles:
        return None
    return assertion.psn_no or ""


def _by_whom() -> str:
    call = current()
    return f"{call.principal} {call.assertion.subject}" if call.assertion else str(call.principal)
