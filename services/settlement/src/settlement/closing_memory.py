"""Payouts and refunds to closed accounts in memory: the double of `PostgresClosingRepository` for unit tests."""

from dataclasses import replace
from uuid import UUID

from settlement.account_memory import MemoryAccounts
from settlement.closing_repository import ClosedRefundsAsked
from settlement.domain.closing import ClosedRefund, Payout


class MemoryClosing(MemoryAccounts):
    """See `settlement.closing_repository.ClosingRepository`. Use with `kit.testing.MemoryWork`."""

    def __init__(self) -> None:
        super().__init__()
        self.payouts: list[Payout] = []
        self.refunds: list[ClosedRefund] = []

    async def add_payout(self, payout: Payout) -> None:
        """See `ClosingRepository.add_payout`."""
        self.payouts.append(payout)

    async def closed_refund(self, closed_refund_id: UUID) -> ClosedRefund | None:
        """See `ClosingRepository.closed_refund`."""
        return next((each for each in self.refunds if each.closed_refund_id == closed_refund_id), None)

    async def lock_closed_refund(self, closed_refund_id: UUID) -> ClosedRefund | None:
        """See `ClosingRepository.lock_closed_refund`."""
        return await self.closed_refund(closed_refund_id)

    async def mark_paid(self, closed_refund_id: UUID, payout_id: UUID) -> None:
        """See `ClosingRepository.mark_paid`."""
        self.refunds = [
            replace(each, payout_id=payout_id) if each.closed_refund_id == closed_refund_id else each
            for each in self.refunds
        ]

    async def closed_refunds(self, asked: ClosedRefundsAsked) -> list[tuple[int, ClosedRefund]]:
        """See `ClosingRepository.closed_refunds`."""
        found = [
            (position, each)
            for position, each in enumerate(self.refunds, start=1)
            if position > asked.after_position
            and asked.psn_no in {"", each.psn_no}
            and asked.is_open in {None, each.payout_id is None}
        ]
        return found[: asked.limit]
