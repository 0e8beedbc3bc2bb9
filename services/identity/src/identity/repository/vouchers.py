"""E-vouchers in one transaction."""

from datetime import datetime
from typing import Protocol

from identity.domain.visit import Voucher


class VoucherRows(Protocol):
    """E-vouchers, found by the keyed hash of their tokens."""

    async def add_voucher(self, token: str, voucher: Voucher, forget_before: datetime) -> None:
        """Keep a voucher by the keyed hash of its token, and forget the person's that ran out before a moment."""
        ...

    async def lock_voucher(self, token: str) -> Voucher | None:
        """The voucher of a token."""
        ...

    async def bind_voucher(self, token: str, fixmedins_code: str) -> None:
        """Note the institution that a locked voucher is bound to."""
        ...
