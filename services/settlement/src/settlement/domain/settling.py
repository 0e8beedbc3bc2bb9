"""From allocations to settlements and postings, and back again when a settlement is reversed (R11)."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from uuid import UUID, uuid5

from settlement.domain.accounts import Account
from settlement.domain.allocate import Allocation, payments
from settlement.domain.ledger import (
    EntryKind,
    LedgerError,
    Occasion,
    Posted,
    Posting,
    Standing,
    post,
    refund_posting,
    settlement_posting,
)
from settlement.domain.reasons import Reason
from settlement.domain.state import Refund, Settlement, refused, reversed_with, settled


class DisagreementError(LedgerError):
    """The ledger came to another balance than the split told the payer."""


def settle_or_refuse(settlement: Settlement, allocation: Allocation, at: datetime) -> Settlement:
    """The settlement paid by its split; refused if that is not what was expected."""
    if allocation.as_expected:
        return settled(settlement, allocation.split, at)
    return refused(settlement, Reason.AMOUNT_CHANGED)


def postings_of(settlements: Sequence[Settlement], accounts: Mapping[str, Account], day: date) -> Posted:
    """What the settlements of a batch that were settled move, in their order.

    Raises:
        DisagreementError: the ledger's balances are not those of the splits.
    """
    postings = [posting for settlement in settlements for posting in _debits(settlement, day)]
    posted = post(postings, _standings(accounts))
    _must_agree(settlements, posted)
    return posted


def _debits(settlement: Settlement, day: date) -> Iterator[Posting]:
    if settlement.setl_time is None:
        return
    occasion = _occasion(settlement, EntryKind.SETTLEMENT, settlement.setl_time, day)
    for psn_no, amount_fen in payers_of(settlement):
        yield settlement_posting(_posting_id(settlement, EntryKind.SETTLEMENT, psn_no), occasion, psn_no, amount_fen)


def _must_agree(settlements: Sequence[Settlement], posted: Posted) -> None:
    """What the payers are told and what the ledger says were computed apart, and have to be the same."""
    told = dict(_told_balances(settlements))
    for row in posted.personal_rows:
        expected = told.get((row.occasion.settlement_id, row.account_key))
        if expected != row.balance_after_fen:
            raise DisagreementError(
                f"settlement {row.occasion.settlement_id} tells {expected} fen, the ledger {row.balance_after_fen}"
            )


def _told_balances(settlements: Sequence[Settlement]) -> Iterator[tuple[tuple[UUID | None, str], int | None]]:
    for settlement in settlements:
        if settlement.order and settlement.split:
            own = (settlement.settlement_id, settlement.order.bill.psn_no)
            yield own, settlement.split.own_balance_after_fen
            for line in settlement.split.lines:
                yield (settlement.settlement_id, line.payer_psn_no), line.balance_after_fen


def reverse_all(
    settlements: Sequence[Settlement], accounts: Mapping[str, Account], at: datetime, day: date
) -> tuple[list[Settlement], Posted]:
    """These SETTLED settlements reversed, in their order, with the opposite entries to exactly the accounts that paid.

    Works on frozen and closed accounts, too (R11, R14).
    """
    postings = [posting for settlement in settlements for posting in _credits(settlement, at, day)]
    posted = post(postings, _standings(accounts))
    refunds: dict[UUID | None, list[Refund]] = {}
    for row in posted.personal_rows:
        refund = Refund(row.account_key, row.amount_fen, row.balance_after_fen or 0)
        refunds.setdefault(row.occasion.settlement_id, []).append(refund)
    given_back = [
        reversed_with(settlement, tuple(refunds.get(settlement.settlement_id, ())), at) for settlement in settlements
    ]
    return given_back, posted


def payers_of(settlement: Settlement) -> list[tuple[str, int]]:
    """Account owner and amount of all that accounts paid; empty unless it is or was settled."""
    if settlement.order is None or settlement.split is None:
        return []
    return payments(settlement.order.bill.psn_no, settlement.split)


def _credits(settlement: Settlement, at: datetime, day: date) -> Iterator[Posting]:
    occasion = _occasion(settlement, EntryKind.REFUND, at, day)
    for psn_no, amount_fen in payers_of(settlement):
        yield refund_posting(_posting_id(settlement, EntryKind.REFUND, psn_no), occasion, psn_no, amount_fen)


def _occasion(settlement: Settlement, kind: EntryKind, at: datetime, day: date) -> Occasion:
    return Occasion(
        kind=kind,
        posted_at=at,
        business_day=day,
        settlement_id=settlement.settlement_id,
        patient_psn_no=settlement.order.bill.psn_no if settlement.order else None,
        fixmedins_code=settlement.fixmedins_code,
    )


def _posting_id(settlement: Settlement, kind: EntryKind, psn_no: str) -> UUID:
    """Derived, not drawn: posting the same line twice would show as the same id."""
    return uuid5(settlement.settlement_id, f"{kind}:{psn_no}")


def _standings(accounts: Mapping[str, Account]) -> dict[str, Standing]:
    return {psn_no: account.standing for psn_no, account in accounts.items()}
