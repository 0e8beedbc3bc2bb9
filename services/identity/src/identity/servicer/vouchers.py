"""PersonService: e-vouchers."""

from datetime import timedelta
from typing import Any

from gongji.identity.v1 import person_pb2
from identity import codec
from identity.servicer.services import PersonMethods
from kit import auth


class VoucherMethods(PersonMethods):
    """See the contract."""

    async def IssueVoucher(  # noqa: N802 - the contract's name
        self, request: person_pb2.IssueVoucherRequest, context: Any
    ) -> person_pb2.IssueVoucherResponse:
        """See the contract."""
        del context
        lifetime = timedelta(seconds=request.lifetime_seconds)
        caller_psn_no = auth.require_assertion().psn_no
        token, expires_at = await self._services.vouchers.issue_voucher(request.psn_no, caller_psn_no, lifetime)
        return person_pb2.IssueVoucherResponse(voucher=token, expires_at=codec.timestamp(expires_at))
