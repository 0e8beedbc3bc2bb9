"""From allocations to settlements and postings, and back again when a settlement is reversed (R11)."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Final
from uuid import UUID

from settlement.domain.accounts import Account
from settlement.domain.allocate import Allocation, payments
from settlement.domain.ledger import (
    PAYMENTS,
    REFUNDS,
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
from settlement.domain.premiums import is_premium, why_not_paid
from settlement.domain.reasons import Reason
from settlement.domain.state import Refund, Settlement, refused, reversed_with, settled


class DisagreementError(LedgerError):
    """The ledger came to another balance than the split told the payer."""


def owed_again(settlement: Settlement) -> dict[str, int]:
    """By account owner, what accounts paid in a settlement, fen."""
    paid: dict[str, int] = {}
    for psn_no, amount_fen in payers_of(settlement):
        paid[psn_no] = paid.get(psn_no, 0) + amount_fen
    return paid


def settle_or_refuse(settlement: Settlement, allocation: Allocation, at: datetime) -> Settlement:
    """The settlement paid by its split; refused if that is not what was expected, a premium if it is not all of it."""
    if allocation.as_expected:
        return settled(settlement, allocation.split, at)
    if is_premium(settlement):
        return refused(settlement, *why_not_paid(allocation.split))
    return refused(settlement, Reason.AMOUNT_CHANGED)


def postings_of(
    settlements: Sequence[Settlement],
    accounts: Mapping[str, Account],
    day: date,
    replaced: Mapping[UUID, Settlement] | None = None,
) -> Posted:
    """What the settlements of a batch that were settled move, in their order; each gives back first what it replaces.

    Raises:
        DisagreementError: the ledger's balances are not those of the splits.
    """
    by_id = replaced or {}
    postings = [posting for settlement in settlements for posting in _movements(settlement, by_id, day)]
    posted = post(postings, _standings(accounts))
    _must_agree(settlements, posted)
    return posted


def _movements(settlement: Settlement, replaced: Mapping[UUID, Settlement], day: date) -> Iterator[Posting]:
    if settlement.setl_time is None or settlement.order is None:
        return
    if settlement.order.replaces is not None:
        yield from _credits(replaced[settlement.order.replaces], settlement.setl_time, day)
    yield from _debits(settlement, day)


def given_back(
    settlements: Sequence[Settlement], replaced: Mapping[UUID, Settlement], posted: Posted, at: datetime
) -> list[Settlement]:
    """Those that were replaced by settlements that were settled, REVERSED as the entries say."""
    pairs = [
        (settlement, replaced[settlement.order.replaces])
        for settlement in settlements
        if settlement.setl_time is not None and settlement.order is not None and settlement.order.replaces is not None
    ]
    refunds = _refunds(posted)
    return [
        reversed_with(before, refunds.get(before.settlement_id, ()), at, settlement.settlement_id)
        for settlement, before in pairs
    ]


def _debits(settlement: Settlement, day: date) -> Iterator[Posting]:
    if settlement.setl_time is None:
        return
    kind = EntryKind.PREMIUM if is_premium(settlement) else EntryKind.SETTLEMENT
    occasion = _occasion(settlement, kind, settlement.setl_time, day)
    for place, (psn_no, amount_fen) in enumerate(payers_of(settlement)):
        yield settlement_posting(_posting_id(settlement, occasion.kind, place, psn_no), occasion, psn_no, amount_fen)


def _must_agree(settlements: Sequence[Settlement], posted: Posted) -> None:
    """What the payers are told and what the ledger says were computed apart, and have to be the same."""
    told = [balance for settlement in settlements for balance in _told_balances(settlement)]
    debits = [row for row in posted.personal_rows if row.occasion.kind in PAYMENTS]
    kept = [(row.occasion.settlement_id, row.account_key, row.balance_after_fen) for row in debits]
    if told != kept:
        raise DisagreementError(f"the settlements tell the balances {told}, the ledger {kept}")


def _told_balances(settlement: Settlement) -> Iterator[tuple[UUID | None, str, int | None]]:
    if settlement.order and settlement.split:
        if settlement.split.acct_pay_fen:
            yield settlement.settlement_id, settlement.order.bill.psn_no, settlement.split.own_balance_after_fen
        for line in settlement.split.lines:
            yield settlement.settlement_id, line.payer_psn_no, line.balance_after_fen


def reverse_all(
    settlements: Sequence[Settlement], accounts: Mapping[str, Account], at: datetime, day: date
) -> tuple[list[Settlement], Posted]:
    """These SETTLED settlements reversed, in their order, with the opposite entries to exactly the accounts that paid.

    Works on frozen and closed accounts, too (R11, R14).
    """
    postings = [posting for settlement in settlements for posting in _credits(settlement, at, day)]
    posted = post(postings, _standings(accounts))
    refunds = _refunds(posted)
    return [reversed_with(each, refunds.get(each.settlement_id, ()), at) for each in settlements], posted


def _refunds(posted: Posted) -> dict[UUID | None, tuple[Refund, ...]]:
    refunds: dict[UUID | None, tuple[Refund, ...]] = {}
    for row in posted.personal_rows:
        if row.occasion.kind in REFUNDS:
            refund = Refund(row.account_key, row.amount_fen, row.balance_after_fen or 0)
            refunds[row.occasion.settlement_id] = (*refunds.get(row.occasion.settlement_id, ()), refund)
    return refunds


def payers_of(settlement: Settlement) -> list[tuple[str, int]]:
    """Account owner and amount of all that accounts paid; empty unless it is or was settled."""
    if settlement.order is None or settlement.split is None:
        return []
    return payments(settlement.order.bill.psn_no, settlement.split)


def _credits(settlement: Settlement, at: datetime, day: date) -> Iterator[Posting]:
    kind = EntryKind.PREMIUM_REFUND if is_premium(settlement) else EntryKind.REFUND
    occasion = _occasion(settlement, kind, at, day)
    for place, (psn_no, amount_fen) in enumerate(payers_of(settlement)):
        yield refund_posting(_posting_id(settlement, occasion.kind, place, psn_no), occasion, psn_no, amount_fen)


def _occasion(settlement: Settlement, kind: EntryKind, at: datetime, day: date) -> Occasion:
    premium = settlement.order.premium if settlement.order else None
    return Occasion(
        kind=kind,
        posted_at=at,
        business_day=day,
        settlement_id=settlement.settlement_id,
        patient_psn_no=settlement.order.bill.psn_no if settlement.order else None,
        fixmedins_code=None if premium else settlement.fixmedins_code,
        premium_year=premium.year if premium else None,
    )


def _posting_id(settlement: Settlement, kind: EntryKind, place: int, psn_no: str) -> UUID:
    """Derived, not drawn: posting the same line twice would show as the same id. A UUIDv5, at half of its price."""
    name = settlement.settlement_id.bytes + f"{kind}:{place}:{psn_no}".encode()
    digest = hashlib.sha1(name, usedforsecurity=False).digest()
    return UUID(int=int.from_bytes(digest[:16]) & _HASHED | _VERSION_5)


_HASHED: Final = ~(0xF000 << 64 | 0xC000 << 48)
_VERSION_5: Final = 0x5000 << 64 | 0x8000 << 48


def _standings(accounts: Mapping[str, Account]) -> dict[str, Standing]:
    return {psn_no: account.standing for psn_no, account in accounts.items()}
