"""E-vouchers as a dictionary."""

from dataclasses import replace
from datetime import datetime

from identity.domain.visit import Voucher


class MemoryVouchers:
    """See `identity.repository.vouchers`."""

    def __init__(self) -> None:
        super().__init__()
        self.vouchers: dict[str, Voucher] = {}

    async def add_voucher(self, token: str, voucher: Voucher, forget_before: datetime) -> None:
        """See the protocol."""
        kept = {
            other: known
            for other, known in self.vouchers.items()
            if known.psn_no != voucher.psn_no or known.expires_at >= forget_before
        }
        self.vouchers = {**kept, token: voucher}

    async def lock_voucher(self, token: str) -> Voucher | None:
        """See the protocol."""
        return self.vouchers.get(token)

    async def bind_voucher(self, token: str, fixmedins_code: str) -> None:
        """See the protocol."""
        self.vouchers[token] = replace(self.vouchers[token], fixmedins_code=fixmedins_code)
