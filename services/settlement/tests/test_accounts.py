"""The rules of personal accounts."""

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.errors import HasReason, table
from settlement.domain import accounts
from settlement.domain.accounts import (
    Account,
    AccountChangeKind,
    AccountClosedError,
    AccountState,
    Contribution,
    ContributionReusedError,
    Instruction,
    Insured,
    NotEligibleError,
    StateForbidsError,
)
from settlement.domain.ledger import Standing

NOON = datetime(2025, 3, 10, 4, tzinfo=UTC)


def account(state: AccountState = AccountState.OPEN, version: int = 4) -> Account:
    return Account("p1", state, balance_fen=1000, held_fen=200, version=version)


def test_a_person_normally_insured_under_310_gets_an_empty_account() -> None:
    assert accounts.open_account("p1", Insured(310, 1, None)) == Account("p1", AccountState.OPEN, 0, 0, 0)


@pytest.mark.parametrize(
    "insured",
    [
        None,
        Insured(None, None, None),
        Insured(390, 1, None),
        *(Insured(310, status, None) for status in (2, 3, 4, 10)),
        Insured(310, 1, date(2025, 3, 1)),
    ],
)
def test_nobody_else_gets_an_account(insured: Insured | None) -> None:
    with pytest.raises(NotEligibleError):
        accounts.open_account("p1", insured)


def test_freezing_an_open_account_is_one_change() -> None:
    after, change = accounts.freeze(account(), Instruction("court order 7"), NOON)
    assert (after.state, after.version, after.balance_fen, after.held_fen) == (AccountState.FROZEN, 5, 1000, 200)
    assert change is not None
    assert (change.version, change.kind, change.reason, change.changed_at) == (
        5,
        AccountChangeKind.FROZEN,
        "court order 7",
        NOON,
    )


def test_freezing_twice_changes_nothing() -> None:
    frozen = account(AccountState.FROZEN)
    assert accounts.freeze(frozen, Instruction("again"), NOON) == (frozen, None)


def test_releasing_a_frozen_account_is_one_change() -> None:
    after, change = accounts.unfreeze(account(AccountState.FROZEN), Instruction("order lifted"), NOON, None)
    assert (after.state, after.version) == (AccountState.OPEN, 5)
    assert change is not None
    assert change.kind is AccountChangeKind.UNFROZEN


def test_releasing_an_open_account_changes_nothing() -> None:
    assert accounts.unfreeze(account(), Instruction("for no reason"), NOON, None) == (account(), None)


def test_the_account_of_a_person_who_died_is_not_released() -> None:
    with pytest.raises(StateForbidsError):
        accounts.unfreeze(account(AccountState.FROZEN), Instruction("heirs ask"), NOON, date(2025, 3, 1))


def test_a_closed_account_is_neither_frozen_nor_released() -> None:
    closed = account(AccountState.CLOSED)
    with pytest.raises(StateForbidsError):
        accounts.freeze(closed, Instruction("late"), NOON)
    with pytest.raises(StateForbidsError):
        accounts.unfreeze(closed, Instruction("late"), NOON, None)


@pytest.mark.parametrize("state", [AccountState.FROZEN, AccountState.CLOSED])
def test_a_death_changes_only_an_open_account(state: AccountState) -> None:
    assert accounts.freeze_for_death(account(state), NOON) == (account(state), None)


def test_a_death_freezes_an_open_account() -> None:
    after, change = accounts.freeze_for_death(account(), NOON)
    assert after.state is AccountState.FROZEN
    assert change is not None
    assert change.reason == accounts.DEATH_REASON


@pytest.mark.parametrize("state", [AccountState.OPEN, AccountState.FROZEN])
def test_contributions_come_into_open_and_frozen_accounts(state: AccountState) -> None:
    assert accounts.check_creditable(account(state)) == account(state)


@pytest.mark.parametrize("known", [None, account(AccountState.CLOSED)])
def test_contributions_to_a_closed_or_missing_account_are_refused(known: Account | None) -> None:
    with pytest.raises(AccountClosedError):
        accounts.check_creditable(known)


def test_a_known_contribution_is_answered_only_for_the_same_body() -> None:
    known = Contribution("c1", "p1", 500, 1500, b"body")
    assert accounts.repeated_answer(known, b"body") == 1500
    with pytest.raises(ContributionReusedError):
        accounts.repeated_answer(known, b"other")


@given(st.lists(st.sampled_from(["freeze", "unfreeze", "death"]), max_size=20))
def test_every_change_raises_the_version_by_one_and_nothing_else_does(steps: list[str]) -> None:
    current, versions = account(version=0), list[int]()
    for step in steps:
        if step == "freeze":
            current, change = accounts.freeze(current, Instruction("order"), NOON)
        elif step == "death":
            current, change = accounts.freeze_for_death(current, NOON)
        else:
            current, change = accounts.unfreeze(current, Instruction("order"), NOON, None)
        versions += [change.version] if change else []
        assert current.standing == Standing(1000, len(versions))
    assert versions == list(range(1, len(versions) + 1))


def test_every_refusal_is_in_the_vocabulary() -> None:
    kinds = accounts.AccountRefusalError.__subclasses__()
    assert len(kinds) == 5
    for kind in kinds:
        error = kind("words")
        assert isinstance(error, HasReason)
        assert error.reason in table()
