"""Rows of payouts and of refunds to closed accounts ⇄ the domain. The account is locked before what is paid from it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol
from uuid import UUID

import asyncpg

from settlement.account_repository import AccountRepository, PostgresAccountRepository
from settlement.domain.closing import ClosedRefund, Payout

_ADD_CLOSED_REFUNDS: Final = """
INSERT INTO closed_refund (id, psn_no, settlement_id, amount_fen, refunded_at)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::bigint[], $5::timestamptz[])
"""
_SELECT: Final = "SELECT id, position, psn_no, settlement_id, amount_fen, refunded_at, payout_id FROM closed_refund "
_FIND: Final = _SELECT + "WHERE id = $1"
_LOCK: Final = _FIND + " FOR UPDATE"
_LIST: Final = _SELECT + "WHERE position > $1 AND ($2 = '' OR psn_no = $2) ORDER BY position LIMIT $3"
# A condition each rather than a parameter, so that the open ones, which are few, are found by their own index.
_LIST_OPEN: Final = _LIST.replace("ORDER", "AND payout_id IS NULL ORDER")
_LIST_PAID: Final = _LIST.replace("ORDER", "AND payout_id IS NOT NULL ORDER")
_LISTS: Final = {None: _LIST, True: _LIST_OPEN, False: _LIST_PAID}
_MARK_PAID: Final = "UPDATE closed_refund SET payout_id = $2 WHERE id = $1"
_ADD_PAYOUT: Final = """
INSERT INTO payout (id, psn_no, amount_fen, balance_after_fen, way, payment_reference, reason, authority, paid_by,
                    paid_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
"""


@dataclass(frozen=True, slots=True)
class ClosedRefundsAsked:
    """Which refunds to closed accounts are asked for."""

    is_open: bool | None = None
    """None: open ones and those that were paid out."""
    psn_no: str = ""
    """Empty: of all owners."""
    after_position: int = 0
    limit: int = 50


class ClosingRepository(AccountRepository, Protocol):
    """The accounts, and what leaves them for good, in one unit of work."""

    async def add_payout(self, payout: Payout) -> None:
        """Record a payout from a locked account."""
        ...

    async def closed_refund(self, closed_refund_id: UUID) -> ClosedRefund | None:
        """The refund of that id as committed."""
        ...

    async def lock_closed_refund(self, closed_refund_id: UUID) -> ClosedRefund | None:
        """The same, locked; its account is locked before."""
        ...

    async def mark_paid(self, closed_refund_id: UUID, payout_id: UUID) -> None:
        """Record how a locked refund was paid out."""
        ...

    async def closed_refunds(self, asked: ClosedRefundsAsked) -> list[tuple[int, ClosedRefund]]:
        """Refunds with their positions, which rise in the order in which they came."""
        ...


class PostgresClosingRepository(PostgresAccountRepository):
    """The same in one transaction. See `ClosingRepository`."""

    async def add_payout(self, payout: Payout) -> None:
        """See `ClosingRepository.add_payout`."""
        instruction = payout.order.instruction
        await self._raw.execute(
            _ADD_PAYOUT,
            *(payout.payout_id, payout.psn_no, payout.amount_fen, payout.balance_after_fen),
            *(payout.order.way, payout.order.payment_reference),
            *(instruction.reason, instruction.authority, instruction.carried_out_by, payout.paid_at),
        )

    async def closed_refund(self, closed_refund_id: UUID) -> ClosedRefund | None:
        """See `ClosingRepository.closed_refund`."""
        row = await self._raw.fetchrow(_FIND, closed_refund_id)
        return _closed_refund(row) if row else None

    async def lock_closed_refund(self, closed_refund_id: UUID) -> ClosedRefund | None:
        """See `ClosingRepository.lock_closed_refund`."""
        row = await self._raw.fetchrow(_LOCK, closed_refund_id)
        return _closed_refund(row) if row else None

    async def mark_paid(self, closed_refund_id: UUID, payout_id: UUID) -> None:
        """See `ClosingRepository.mark_paid`."""
        await self._raw.execute(_MARK_PAID, closed_refund_id, payout_id)

    async def closed_refunds(self, asked: ClosedRefundsAsked) -> list[tuple[int, ClosedRefund]]:
        """See `ClosingRepository.closed_refunds`."""
        query = _LISTS[asked.is_open]
        rows = await self._raw.fetch(query, asked.after_position, asked.psn_no, asked.limit)
        return [(row["position"], _closed_refund(row)) for row in rows]


async def add_closed_refunds(raw: "asyncpg.Connection[asyncpg.Record]", refunds: Sequence[ClosedRefund]) -> None:
    """Open an item of work for each of these refunds."""
    await raw.execute(
        _ADD_CLOSED_REFUNDS,
        [refund.closed_refund_id for refund in refunds],
        [refund.psn_no for refund in refunds],
        [refund.settlement_id for refund in refunds],
        [refund.amount_fen for refund in refunds],
        [refund.refunded_at for refund in refunds],
    )


def _closed_refund(row: asyncpg.Record) -> ClosedRefund:
    return ClosedRefund(
        closed_refund_id=row["id"],
        psn_no=row["psn_no"],
        settlement_id=row["settlement_id"],
        amount_fen=row["amount_fen"],
        refunded_at=row["refunded_at"],
        payout_id=row["payout_id"],
    )
