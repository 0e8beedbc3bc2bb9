"""Closing accounts and paying out what comes to them afterwards, one transaction each. Amounts are in fen."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from kit.clock import Clock, shanghai_date
from kit.db import Work
from kit.ids import uuid7
from settlement import account_codec as codec
from settlement.account_service import hold_open_day, keep, locked
from settlement.closing_repository import ClosedRefundsAsked, ClosingRepository
from settlement.domain.accounts import Account, AccountState
from settlement.domain.closing import ClosedRefund, Payout, PayoutOrder, check_closable, check_open, check_way, close
from settlement.domain.ledger import EntryKind, Occasion, payout_posting, post


@dataclass(frozen=True, slots=True)
class Closed:
    """An account that is closed, and what closing it paid out."""

    account: Account
    payout: Payout | None
    """None if it was empty, or closed before."""


class ClosingService:
    """What AccountService of the contract does with accounts that end."""

    def __init__(self, work: Work[ClosingRepository], clock: Clock) -> None:
        self._work = work
        self._clock = clock

    async def close(self, psn_no: str, order: PayoutOrder) -> Closed:
        """The account, closed and its balance paid out. Again changes nothing.

        Raises:
            AccountNotFoundError: it was never opened.
            StateForbidsError: previews hold part of it, it is frozen and its owner lives, or heirs are to be paid and
                the owner lives.
        """
        async with self._work() as repository:
            account, payout = await locked(repository, psn_no), None
            if account.state is AccountState.CLOSED:
                return Closed(account, None)
            check_closable(account, order, await repository.died_on(psn_no))
            now = self._clock.now()
            if account.balance_fen:
                account, payout = await _pay_out(repository, account, account.balance_fen, order, now)
            closed, change = close(account, order.instruction, now)
            await keep(repository, closed, change)
            return Closed(closed, payout)

    async def refunds(self, asked: ClosedRefundsAsked) -> list[tuple[int, ClosedRefund]]:
        """Refunds that came to closed accounts, with their positions, the oldest first."""
        async with self._work() as repository:
            return await repository.closed_refunds(asked)

    async def pay_out(self, closed_refund_id: UUID, order: PayoutOrder) -> tuple[ClosedRefund, Account]:
        """The refund, paid out, and the closed account after it.

        Raises:
            ClosedRefundNotFoundError: there is no such refund.
            StateForbidsError: it was paid out before, or heirs are to be paid and the owner lives.
        """
        async with self._work() as repository:
            # Whose it is never changes; whether it waits is looked at again once its account is locked.
            psn_no = check_open(await repository.closed_refund(closed_refund_id)).psn_no
            account = await locked(repository, psn_no)
            refund = check_open(await repository.lock_closed_refund(closed_refund_id))
            check_way(order, await repository.died_on(psn_no))
            after, payout = await _pay_out(repository, account, refund.amount_fen, order, self._clock.now())
            await repository.mark_paid(closed_refund_id, payout.payout_id)
            paid = await repository.closed_refund(closed_refund_id)
            return paid or refund, after


async def _pay_out(
    repository: ClosingRepository, account: Account, amount_fen: int, order: PayoutOrder, now: datetime
) -> tuple[Account, Payout]:
    occasion = Occasion(EntryKind.PAYOUT, now, shanghai_date(now))
    posting = payout_posting(uuid7(), occasion, account.psn_no, amount_fen, order.way)
    posted = post([posting], {account.psn_no: account.standing})
    await hold_open_day(repository, occasion.business_day)
    after = account.after(posted.standings[account.psn_no])
    await repository.post(posted.rows, [after])
    payout = Payout(posting.posting_id, account.psn_no, amount_fen, after.balance_fen, order, now)
    await repository.add_payout(payout)
    await repository.outbox.add([codec.paid_out(payout, after.version)])
    return after, payout
