"""The split against a model written from the rules alone: coin by coin, in the words of R9 and R10."""

from dataclasses import dataclass, replace
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement.domain.accounts import Account, AccountState
from settlement.domain.allocate import Grant, Need, PaymentOrder, Split, allocate, allocate_all
from settlement.testing import account

RELATION = UUID(int=7)
PAYERS = ("father", "mother", "aunt")
WINDOWS = ("SETTLEMENT", "DAY", "MONTH", "YEAR", "TOTAL")


@dataclass
class Purse:
    """An account in the model: loose coins that may be spent, and those that a preview has set aside."""

    coins: int
    set_aside: int
    state: AccountState


@dataclass
class Told:
    """What the model says of a split."""

    own: int
    paid: list[tuple[str, int]]
    declined: list[tuple[str, str, str | None]]
    cash: int


def pour(need: Need, purses: dict[str, Purse], order: PaymentOrder) -> Told:
    """Lays the bill's coins down one by one; whoever's turn it is pays the next one, if they can."""
    told = Told(0, [], [], need.psn_part_amt_fen)
    turns = ["payers"]
    turns.insert(0 if order is PaymentOrder.OWN_ACCOUNT_FIRST else 1, "own")
    for turn in turns:
        if turn == "own":
            purse = purses.get(need.psn_no)
            while told.cash and need.acct_used_flag and purse and purse.state is AccountState.OPEN and purse.coins:
                purse.coins, told.cash, told.own = purse.coins - 1, told.cash - 1, told.own + 1
        else:
            for grant in need.grants:
                ask_payer(told, grant, purses.get(grant.payer_psn_no))
    return told


def ask_payer(told: Told, grant: Grant, purse: Purse | None) -> None:
    if told.cash == 0:
        return
    if grant.reason and grant.reason != "LIMIT_REACHED":
        told.declined.append((grant.payer_psn_no, grant.reason, None))
        return
    if purse is None or purse.state is not AccountState.OPEN:
        frozen = purse is not None and purse.state is AccountState.FROZEN
        told.declined.append((grant.payer_psn_no, "ACCOUNT_FROZEN" if frozen else "ACCOUNT_CLOSED", None))
        return
    allowed, paid = grant.granted_fen, 0
    while told.cash and allowed and purse.coins:
        purse.coins, allowed, told.cash, paid = purse.coins - 1, allowed - 1, told.cash - 1, paid + 1
    if paid:
        told.paid.append((grant.payer_psn_no, paid))
    if told.cash and not allowed:
        told.declined.append((grant.payer_psn_no, "LIMIT_REACHED", grant.window))
    elif told.cash:
        told.declined.append((grant.payer_psn_no, "INSUFFICIENT_BALANCE", None))


amounts = st.integers(0, 12)
states = st.sampled_from([AccountState.OPEN, AccountState.OPEN, AccountState.FROZEN, AccountState.CLOSED])


@st.composite
def worlds(draw: st.DrawFn) -> dict[str, Account]:
    owners = draw(st.sets(st.sampled_from([*PAYERS, "child", "baby"])))
    accounts = {}
    for owner in owners:
        held = draw(st.integers(0, 3))
        accounts[owner] = account(owner, held + draw(amounts), draw(states), held_fen=held)
    return accounts


@st.composite
def needs(draw: st.DrawFn) -> Need:
    left = draw(amounts)
    payers = draw(st.permutations(PAYERS))[: draw(st.integers(0, 3))] if left else []
    return Need(
        psn_no=draw(st.sampled_from(["child", "baby"])),
        psn_part_amt_fen=left,
        acct_used_flag=draw(st.booleans()),
        grants=tuple(draw(grants(payer, left)) for payer in payers),
        expected_acct_pay_fen=draw(st.none() | amounts),
        expected_acct_mulaid_pay_fen=draw(st.none() | amounts),
    )


@st.composite
def grants(draw: st.DrawFn, payer: str, left: int) -> Grant:
    kind = draw(st.sampled_from(["all", "some", "none"]))
    if kind == "all":
        return Grant(payer, RELATION, left)
    if kind == "some":
        return Grant(payer, RELATION, draw(st.integers(0, left - 1)), "LIMIT_REACHED", draw(st.sampled_from(WINDOWS)))
    return Grant(payer, RELATION, 0, draw(st.sampled_from(["RELATION_ENDED", "PAYER_ARREARS"])))


def purses_of(accounts: dict[str, Account]) -> dict[str, Purse]:
    return {
        owner: Purse(each.balance_fen - each.held_fen, each.held_fen, each.state) for owner, each in accounts.items()
    }


def agrees(split: Split, told: Told, need: Need, purses: dict[str, Purse]) -> None:
    assert split.acct_pay_fen == told.own
    assert [(line.payer_psn_no, line.amount_fen) for line in split.lines] == told.paid
    assert [(each.payer_psn_no, str(each.reason), each.window) for each in split.declines] == told.declined
    assert split.psn_cash_pay_fen == told.cash
    for line in split.lines:
        purse = purses[line.payer_psn_no]
        assert line.balance_after_fen == purse.coins + purse.set_aside
    own = purses.get(need.psn_no)
    assert split.own_balance_after_fen == (own.coins + own.set_aside if own else None)


@given(worlds(), needs(), st.sampled_from(PaymentOrder))
def test_a_split_is_what_laying_down_coins_comes_to(
    accounts: dict[str, Account], need: Need, order: PaymentOrder
) -> None:
    purses = purses_of(accounts)
    told = pour(need, purses, order)
    agrees(allocate(need, accounts, order), told, need, purses)


@given(worlds(), st.lists(needs(), max_size=6), st.sampled_from(PaymentOrder))
def test_a_list_is_split_as_if_one_came_after_the_other(
    accounts: dict[str, Account], wanted: list[Need], order: PaymentOrder
) -> None:
    purses = purses_of(accounts)
    for need, allocation in zip(wanted, allocate_all(wanted, accounts, order), strict=True):
        tried = {owner: replace(purse) for owner, purse in purses.items()}
        told = pour(need, tried, order)
        expected = need.expected_acct_pay_fen in {None, told.own} and need.expected_acct_mulaid_pay_fen in {
            None,
            sum(paid for _, paid in told.paid),
        }
        assert allocation.as_expected is expected
        agrees(allocation.split, told, need, tried)
        if expected:
            purses = tried


@given(worlds(), st.lists(needs(), max_size=6))
def test_shares_add_up_and_nobody_gives_more_than_they_may(accounts: dict[str, Account], wanted: list[Need]) -> None:
    spent: dict[str, int] = {}
    for need, allocation in zip(wanted, allocate_all(wanted, accounts), strict=True):
        split = allocation.split
        assert split.acct_pay_fen + split.acct_mulaid_pay_fen + split.psn_cash_pay_fen == need.psn_part_amt_fen
        assert split.acct_mulaid_pay_fen == sum(line.amount_fen for line in split.lines)
        granted = {grant.payer_psn_no: grant.granted_fen for grant in need.grants}
        assert all(0 < line.amount_fen <= granted[line.payer_psn_no] for line in split.lines)
        if allocation.as_expected:
            spent[need.psn_no] = spent.get(need.psn_no, 0) + split.acct_pay_fen
            for line in split.lines:
                spent[line.payer_psn_no] = spent.get(line.payer_psn_no, 0) + line.amount_fen
    for owner, amount in spent.items():
        assert amount == 0 or amount <= accounts[owner].balance_fen - accounts[owner].held_fen


def one(granted: int, balance: int, *, asked: int = 90, reason: str | None = None, window: str | None = None) -> Split:
    grant = Grant("father", RELATION, granted, reason, window)
    return allocate(Need("child", asked, acct_used_flag=True, grants=(grant,)), {"father": account("father", balance)})


@pytest.mark.parametrize(
    ("granted", "balance", "declined"),
    [
        (90, 90, []),
        (90, 50, [("INSUFFICIENT_BALANCE", None)]),
        (60, 500, [("LIMIT_REACHED", "DAY")]),
        (60, 60, [("LIMIT_REACHED", "DAY")]),
        (60, 59, [("INSUFFICIENT_BALANCE", None)]),
        (0, 0, [("LIMIT_REACHED", "DAY")]),
    ],
)
def test_between_limit_and_balance_the_limit_is_told_unless_the_balance_is_smaller(
    granted: int, balance: int, declined: list[tuple[str, str | None]]
) -> None:
    limited = granted < 90
    split = one(granted, balance, reason="LIMIT_REACHED" if limited else None, window="DAY" if limited else None)
    assert [(str(each.reason), each.window) for each in split.declines] == declined
    assert split.acct_mulaid_pay_fen == min(granted, balance)


def test_a_payer_who_is_not_needed_is_not_listed_even_with_a_reason() -> None:
    grants = (Grant("father", RELATION, 90), Grant("mother", RELATION, 0, "RELATION_ENDED"))
    split = allocate(Need("child", 90, acct_used_flag=False, grants=grants), {"father": account("father", 90)})
    assert split.declines == ()


def test_what_a_preview_holds_is_not_spent_and_is_part_of_the_balance_told() -> None:
    grant = Grant("father", RELATION, 90)
    held = {"father": account("father", 100, held_fen=70)}
    split = allocate(Need("child", 90, acct_used_flag=False, grants=(grant,)), held)
    assert [(line.amount_fen, line.balance_after_fen) for line in split.lines] == [(30, 70)]


def test_a_frozen_account_of_ones_own_gives_nothing() -> None:
    own = {"mother": account("mother", 50, AccountState.FROZEN)}
    split = allocate(Need("mother", 90, acct_used_flag=True), own)
    assert (split.acct_pay_fen, split.psn_cash_pay_fen, split.own_balance_after_fen) == (0, 90, 50)
