"""The ledger's rules, with properties: whatever is posted sums to zero and no account goes below zero."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime
from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement.domain.ledger import (
    CONTRIBUTION_FUND,
    AccountKind,
    Entry,
    EntryKind,
    LedgerError,
    Occasion,
    OverdrawnError,
    Posting,
    Standing,
    UnbalancedPostingError,
    UnknownAccountError,
    ZeroEntryError,
    contribution_posting,
    payout_posting,
    post,
    refund_posting,
    settlement_posting,
)

if TYPE_CHECKING:
    from collections.abc import Callable

HOSPITAL = "H65270100001"
NOON = datetime(2025, 3, 10, 4, tzinfo=UTC)
DAY = date(2025, 3, 10)
OWNERS = ("p1", "p2", "p3")
OF_PREMIUMS = {EntryKind.PREMIUM, EntryKind.PREMIUM_REFUND}


def occasion(kind: EntryKind) -> Occasion:
    of = {"premium_year": 2026} if kind in OF_PREMIUMS else {"fixmedins_code": HOSPITAL}
    return replace(Occasion(kind, NOON, DAY, settlement_id=UUID(int=1), patient_psn_no="child"), **of)


def moving(number: int, kind: EntryKind, psn_no: str, amount_fen: int) -> Posting:
    make: dict[EntryKind, Callable[[UUID, Occasion, str, int], Posting]] = {
        EntryKind.SETTLEMENT: settlement_posting,
        EntryKind.REFUND: refund_posting,
        EntryKind.CONTRIBUTION: contribution_posting,
        EntryKind.INTEREST: contribution_posting,
        EntryKind.PAYOUT: partial(payout_posting, way="HEIRS"),
        EntryKind.PREMIUM: settlement_posting,
        EntryKind.PREMIUM_REFUND: refund_posting,
    }
    return make[kind](UUID(int=number), occasion(kind), psn_no, amount_fen)


moves = st.lists(
    st.tuples(st.sampled_from(list(EntryKind)), st.sampled_from(OWNERS), st.integers(1, 10**10)), max_size=30
)


def sides(posting: Posting) -> list[tuple[AccountKind, str, int]]:
    return [(entry.account_kind, entry.account_key, entry.amount_fen) for entry in posting.entries]


def test_a_settlement_moves_money_from_the_person_to_the_institution() -> None:
    posting = moving(1, EntryKind.SETTLEMENT, "p1", 500)
    assert sides(posting) == [(AccountKind.PERSONAL, "p1", -500), (AccountKind.CLEARING, HOSPITAL, 500)]


def test_a_refund_moves_it_back_to_the_account_that_paid() -> None:
    posting = moving(1, EntryKind.REFUND, "p1", 500)
    assert sides(posting) == [(AccountKind.CLEARING, HOSPITAL, -500), (AccountKind.PERSONAL, "p1", 500)]


def test_a_premium_moves_it_to_the_account_of_its_year_and_back() -> None:
    paid, refunded = moving(1, EntryKind.PREMIUM, "p1", 500), moving(2, EntryKind.PREMIUM_REFUND, "p1", 500)
    assert sides(paid) == [(AccountKind.PERSONAL, "p1", -500), (AccountKind.PREMIUM, "2026", 500)]
    assert sides(refunded) == [(AccountKind.PREMIUM, "2026", -500), (AccountKind.PERSONAL, "p1", 500)]


def test_a_contribution_comes_from_the_fund() -> None:
    posting = moving(1, EntryKind.CONTRIBUTION, "p1", 500)
    assert sides(posting) == [(AccountKind.CONTRIBUTION, CONTRIBUTION_FUND, -500), (AccountKind.PERSONAL, "p1", 500)]


def test_a_payout_leaves_the_account_the_way_that_was_ordered() -> None:
    posting = moving(1, EntryKind.PAYOUT, "p1", 500)
    assert sides(posting) == [(AccountKind.PERSONAL, "p1", -500), (AccountKind.PAYOUT, "HEIRS", 500)]


@pytest.mark.parametrize("kind", list(EntryKind))
def test_nothing_cannot_be_posted(kind: EntryKind) -> None:
    with pytest.raises(ZeroEntryError):
        moving(1, kind, "p1", 0)


@pytest.mark.parametrize("kind", list(EntryKind))
def test_the_sign_does_not_turn_the_direction(kind: EntryKind) -> None:
    with pytest.raises(LedgerError, match="-5 fen"):
        moving(1, kind, "p1", -5)


def test_a_posting_without_entries_is_refused() -> None:
    with pytest.raises(ZeroEntryError):
        Posting(UUID(int=1), occasion(EntryKind.SETTLEMENT), ())


def test_an_unbalanced_posting_is_refused() -> None:
    entries = (Entry(AccountKind.PERSONAL, "p1", -500), Entry(AccountKind.CLEARING, HOSPITAL, 499))
    with pytest.raises(UnbalancedPostingError, match="-1 fen"):
        Posting(UUID(int=1), occasion(EntryKind.SETTLEMENT), entries)


def test_a_settlement_without_an_institution_is_refused() -> None:
    with pytest.raises(LedgerError, match="institution"):
        settlement_posting(UUID(int=1), Occasion(EntryKind.SETTLEMENT, NOON, DAY), "p1", 1)


def test_rows_carry_the_balance_and_version_after_each_entry_of_a_personal_account_only() -> None:
    posted = post(
        [moving(1, EntryKind.SETTLEMENT, "p1", 300), moving(2, EntryKind.SETTLEMENT, "p1", 200)],
        {"p1": Standing(1000, 7), "p2": Standing(5, 1)},
    )
    assert [(row.account_key, row.balance_after_fen, row.version) for row in posted.rows] == [
        ("p1", 700, 8),
        (HOSPITAL, None, None),
        ("p1", 500, 9),
        (HOSPITAL, None, None),
    ]
    assert posted.standings == {"p1": Standing(500, 9)}
    assert [row.version for row in posted.personal_rows] == [8, 9]


def test_an_account_never_goes_below_zero() -> None:
    with pytest.raises(OverdrawnError):
        post([moving(1, EntryKind.SETTLEMENT, "p1", 1001)], {"p1": Standing(1000, 7)})


def test_a_later_entry_does_not_make_up_for_an_overdraft() -> None:
    postings = [moving(1, EntryKind.SETTLEMENT, "p1", 1), moving(2, EntryKind.REFUND, "p1", 1)]
    with pytest.raises(OverdrawnError):
        post(postings, {"p1": Standing(0, 0)})


def test_an_account_can_be_emptied_to_zero() -> None:
    posted = post([moving(1, EntryKind.SETTLEMENT, "p1", 1000)], {"p1": Standing(1000, 7)})
    assert posted.standings["p1"] == Standing(0, 8)


def test_an_account_that_was_not_read_is_not_posted_to() -> None:
    with pytest.raises(UnknownAccountError):
        post([moving(1, EntryKind.REFUND, "stranger", 1)], {"p1": Standing(0, 0)})


@given(moves)
def test_whatever_is_posted_sums_to_zero_and_every_chain_is_gapless(
    chosen: list[tuple[EntryKind, str, int]],
) -> None:
    before = {psn_no: Standing(10**12, 3) for psn_no in OWNERS}
    posted = post([moving(n, *move) for n, move in enumerate(chosen)], before)
    per_posting: Counter[UUID] = Counter()
    for row in posted.rows:
        per_posting[row.posting_id] += row.amount_fen
    assert not any(per_posting.values())
    assert len(posted.rows) == 2 * len(chosen)
    for psn_no in OWNERS:
        balance_fen, version = before[psn_no].balance_fen, before[psn_no].version
        for row in (row for row in posted.personal_rows if row.account_key == psn_no):
            balance_fen, version = balance_fen + row.amount_fen, version + 1
            assert (row.balance_after_fen, row.version) == (balance_fen, version)
        assert posted.standings.get(psn_no, before[psn_no]) == Standing(balance_fen, version)


@given(moves, st.integers(0, 30))
def test_posting_at_once_is_posting_one_after_the_other(chosen: list[tuple[EntryKind, str, int]], cut: int) -> None:
    before = {psn_no: Standing(10**12, 0) for psn_no in OWNERS}
    postings = [moving(n, *move) for n, move in enumerate(chosen)]
    first = post(postings[:cut], before)
    second = post(postings[cut:], {**before, **first.standings})
    at_once = post(postings, before)
    assert at_once.rows == first.rows + second.rows
    assert dict(at_once.standings) == {**first.standings, **second.standings}
