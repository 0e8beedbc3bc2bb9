"""How what is left to the person is paid: own account, payers in order, cash (R9, R10). Amounts in fen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID

from settlement.domain.accounts import Account, AccountState
from settlement.domain.reasons import Reason


class PaymentOrder(StrEnum):
    """In which order accounts pay (R9)."""

    OWN_ACCOUNT_FIRST = "own_account_first"
    MUTUAL_AID_FIRST = "mutual_aid_first"


@dataclass(frozen=True, slots=True)
class Grant:
    """What binding lets one payer give, under all limits of the relation."""

    payer_psn_no: str
    relation_id: UUID
    granted_fen: int
    reason: str | None = None
    """Why it is less than what was asked for; None when it is not."""
    window: str | None = None
    """The tightest window, when the reason is LIMIT_REACHED."""


@dataclass(frozen=True, slots=True)
class Need:
    """What one request asks of accounts."""

    psn_no: str
    """The patient."""
    psn_part_amt_fen: int
    acct_used_flag: bool
    """Whether the patient's own account pays."""
    grants: tuple[Grant, ...] = ()
    """Payers in the order in which they pay; empty without mutual aid."""
    is_hold: bool = False
    """Whether the amounts are kept instead of paid."""
    replaced: Mapping[str, int] = field(default_factory=dict)
    """By account owner, what was paid in the settlement that this one replaces: it is given back first, and each may
    pay that much again whatever has become of relation or account since (R12)."""
    expected_acct_pay_fen: int | None = None
    expected_acct_mulaid_pay_fen: int | None = None
    all_or_nothing: bool = False
    """Whether nothing is taken unless accounts pay all of it (R10)."""


@dataclass(frozen=True, slots=True)
class Line:
    """What one payer pays."""

    payer_psn_no: str
    relation_id: UUID
    amount_fen: int
    balance_after_fen: int


@dataclass(frozen=True, slots=True)
class Decline:
    """Why a payer who was needed gave nothing, or less than was needed."""

    payer_psn_no: str
    reason: str
    window: str | None = None


@dataclass(frozen=True, slots=True)
class Split:
    """psn_part_amt = acct_pay + acct_mulaid_pay + psn_cash_pay (R16)."""

    acct_pay_fen: int
    acct_mulaid_pay_fen: int
    psn_cash_pay_fen: int
    own_balance_after_fen: int | None
    """balc; None when the patient has no own account."""
    lines: tuple[Line, ...] = ()
    declines: tuple[Decline, ...] = ()


@dataclass(slots=True)
class _Paying:
    """A split while it is being made."""

    remaining_fen: int
    acct_pay_fen: int = 0
    lines: list[Line] = field(default_factory=list)
    declines: list[Decline] = field(default_factory=list)


def allocate(
    need: Need, accounts: Mapping[str, Account], order: PaymentOrder = PaymentOrder.OWN_ACCOUNT_FIRST
) -> Split:
    """The split of one request on accounts as they stand; the accounts stay as they are.

    What it replaces has been given back to them already.
    """
    paying = _Paying(need.psn_part_amt_fen)
    own = accounts.get(need.psn_no)
    if order is PaymentOrder.OWN_ACCOUNT_FIRST:
        _pay_from_own(paying, need, own)
        _pay_from_payers(paying, need, accounts)
    else:
        _pay_from_payers(paying, need, accounts)
        _pay_from_own(paying, need, own)
    return Split(
        acct_pay_fen=paying.acct_pay_fen,
        acct_mulaid_pay_fen=sum(line.amount_fen for line in paying.lines),
        psn_cash_pay_fen=paying.remaining_fen,
        own_balance_after_fen=own.balance_fen - paying.acct_pay_fen if own else None,
        lines=tuple(paying.lines),
        declines=tuple(paying.declines),
    )


def _pay_from_own(paying: _Paying, need: Need, own: Account | None) -> None:
    if own is None or not need.acct_used_flag:
        return
    paying.acct_pay_fen = min(paying.remaining_fen, _spendable_fen(own, need.replaced.get(need.psn_no, 0)))
    paying.remaining_fen -= paying.acct_pay_fen


def _pay_from_payers(paying: _Paying, need: Need, accounts: Mapping[str, Account]) -> None:
    for grant in need.grants:
        if not paying.remaining_fen:
            return  # nobody else is needed, so nobody else is listed
        # One payer may come twice when settling again: under the relation that paid then, and under a newer one.
        before_fen = sum(line.amount_fen for line in paying.lines if line.payer_psn_no == grant.payer_psn_no)
        account = accounts.get(grant.payer_psn_no)
        if account is not None and before_fen:
            account = account.paying(before_fen)
        _pay_from(paying, grant, account, max(0, need.replaced.get(grant.payer_psn_no, 0) - before_fen))


def _pay_from(paying: _Paying, grant: Grant, account: Account | None, again_fen: int) -> None:
    amount_fen, decline = _share(paying.remaining_fen, grant, account, again_fen)
    if amount_fen and account is not None:
        balance_after_fen = account.balance_fen - amount_fen
        paying.lines.append(Line(grant.payer_psn_no, grant.relation_id, amount_fen, balance_after_fen))
        paying.remaining_fen -= amount_fen
    if decline is not None:
        paying.declines.append(decline)


def _share(needed_fen: int, grant: Grant, account: Account | None, again_fen: int) -> tuple[int, Decline | None]:
    """What this payer pays of `needed_fen`, and why not all of it; `again_fen` whatever relation and account are."""
    granted_fen = min(needed_fen, grant.granted_fen)
    if grant.reason not in {None, Reason.LIMIT_REACHED}:
        granted_fen = min(granted_fen, again_fen)
    spendable_fen = _spendable_fen(account, again_fen) if account else 0
    amount_fen = min(granted_fen, spendable_fen)
    if amount_fen == needed_fen:
        return amount_fen, None
    return amount_fen, _decline(grant, account, balance_is_less=spendable_fen < granted_fen)


def _decline(grant: Grant, account: Account | None, *, balance_is_less: bool) -> Decline:
    """The first reason in the order of the vocabulary."""
    payer = grant.payer_psn_no
    if grant.reason not in {None, Reason.LIMIT_REACHED}:
        return Decline(payer, str(grant.reason))
    if account is None or account.state is AccountState.CLOSED:
        return Decline(payer, Reason.ACCOUNT_CLOSED)
    if account.state is AccountState.FROZEN:
        return Decline(payer, Reason.ACCOUNT_FROZEN)
    # The limit is told unless the balance is strictly smaller: it is what set the amount.
    if balance_is_less:
        return Decline(payer, Reason.INSUFFICIENT_BALANCE)
    return Decline(payer, Reason.LIMIT_REACHED, grant.window)


def _spendable_fen(account: Account, again_fen: int) -> int:
    """What an account may give; one that is frozen or closed no more than what it gives again."""
    return available_fen(account) if account.state is AccountState.OPEN else min(again_fen, available_fen(account))


def available_fen(account: Account) -> int:
    """What may be spent of an account: its balance without what previews hold."""
    return account.balance_fen - account.held_fen


@dataclass(frozen=True, slots=True)
class Allocation:
    """What a request comes to: its split, and whether that is what was expected."""

    split: Split
    as_expected: bool
    """Not so: nothing is taken."""


def allocate_all(
    needs: Sequence[Need], accounts: Mapping[str, Account], order: PaymentOrder = PaymentOrder.OWN_ACCOUNT_FIRST
) -> list[Allocation]:
    """Splits of requests in the order of their arrival, each on the accounts as those before it left them.

    A split that differs from the expected one takes nothing, and what it was to replace stands.
    """
    standing = dict(accounts)
    allocations = []
    for need in needs:
        returned = _given_back(standing, need.replaced)
        split = allocate(need, returned, order)
        as_expected = _is_expected(need, split)
        if as_expected:
            standing = returned
            _take(standing, need, split)
        allocations.append(Allocation(split, as_expected))
    return allocations


def _given_back(standing: dict[str, Account], paid_fen: Mapping[str, int]) -> dict[str, Account]:
    if not paid_fen:
        return standing
    return standing | {psn_no: standing[psn_no].paying(-amount_fen) for psn_no, amount_fen in paid_fen.items()}


def _is_expected(need: Need, split: Split) -> bool:
    if need.all_or_nothing and split.psn_cash_pay_fen:
        return False
    return need.expected_acct_pay_fen in {None, split.acct_pay_fen} and need.expected_acct_mulaid_pay_fen in {
        None,
        split.acct_mulaid_pay_fen,
    }


def _take(standing: dict[str, Account], need: Need, split: Split) -> None:
    for psn_no, amount_fen in payments(need.psn_no, split):
        account = standing[psn_no]
        standing[psn_no] = account.holding(amount_fen) if need.is_hold else account.paying(amount_fen)


def payments(psn_no: str, split: Split) -> list[tuple[str, int]]:
    """Account owner and amount of all that accounts pay in a split: the patient's own account, then payers in order."""
    own = [(psn_no, split.acct_pay_fen)] if split.acct_pay_fen else []
    return own + [(line.payer_psn_no, line.amount_fen) for line in split.lines]
