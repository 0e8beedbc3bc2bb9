"""Closing accounts, and paying out what comes back to them: the rules, and the service on accounts in memory."""

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gongji.settlement.events.v1 import account_events_pb2 as events_pb2
from gongji.settlement.v1 import account_pb2
from kit.auth import CallContext, Deadline, Principal, enter
from kit.clock import FixedClock
from kit.errors import HasReason, table
from kit.testing import MemoryWork
from settlement.account_repository import AccountRepository
from settlement.account_service import AccountService
from settlement.account_servicer import AccountServicer
from settlement.closing_memory import MemoryClosing
from settlement.closing_repository import ClosingRepository
from settlement.closing_service import ClosingService
from settlement.contribution_memory import MemoryContributions
from settlement.contribution_repository import ContributionRepository
from settlement.contribution_service import ContributionService
from settlement.domain import closing
from settlement.domain.accounts import (
    Account,
    AccountClosedError,
    AccountNotFoundError,
    AccountState,
    Instruction,
    StateForbidsError,
)
from settlement.domain.closing import ClosedRefund, ClosedRefundNotFoundError, PayoutOrder, PayoutWay
from settlement.domain.contributing import Row
from settlement.domain.ledger import (
    AccountKind,
    EntryKind,
    LedgerError,
    Occasion,
    Posting,
    post,
    refund_posting,
    settlement_posting,
)
from settlement.domain.projection import PersonKnown
from settlement.domain.reasons import SettlementRefusedError
from settlement.domain.state import Settlement
from settlement.memory import MemorySettlements
from settlement.statement_export import StatementExport
from settlement.statement_memory import MemoryStatements
from settlement.statement_printing import Printing
from settlement.statement_repository import StatementRepository
from settlement.statement_service import StatementService
from settlement.testing import FakeRelation, bill, resettle, settle
from settlement.testing import World as Pipeline
from settlement.testing import account as paying

HOSPITAL = "H65270100001"
NOON = datetime(2025, 3, 10, 4, tzinfo=UTC)
DAY = date(2025, 3, 10)
TRANSFER = PayoutOrder(PayoutWay.TRANSFER, Instruction("moved away", "letter 7", "operator"), "PAY-1")
HEIRS = replace(TRANSFER, way=PayoutWay.HEIRS)


def account(state: AccountState = AccountState.OPEN, balance_fen: int = 1000, held_fen: int = 0) -> Account:
    return Account("father", state, balance_fen, held_fen, version=4)


class World:
    """Accounts of which one is open with money on it."""

    def __init__(self) -> None:
        self.accounts = MemoryClosing()
        self.accounts.accounts["father"] = account()
        self.clock = FixedClock(NOON)
        self.closing = ClosingService(MemoryWork[ClosingRepository](self.accounts), self.clock)
        self.service = AccountService(MemoryWork[AccountRepository](self.accounts), self.clock)
        contributions = ContributionService(MemoryWork[ContributionRepository](MemoryContributions()), self.clock)
        statements = StatementService(MemoryWork[StatementRepository](MemoryStatements()))
        exports = StatementExport(statements, Printing(), self.clock)
        self.servicer = AccountServicer(self.service, contributions, self.closing, statements, exports)

    def died(self, psn_no: str = "father") -> None:
        self.accounts.persons[psn_no] = PersonKnown(psn_no, 1, NOON, died_on=DAY, died_sequence=1)

    def refunded(self, number: int, amount_fen: int) -> UUID:
        """What the pipeline does when a refund comes to the closed account."""
        refund = ClosedRefund(UUID(int=number), "father", UUID(int=100 + number), amount_fen, NOON)
        before = self.accounts.accounts["father"]
        after = replace(before, balance_fen=before.balance_fen + amount_fen, version=before.version + 1)
        self.accounts.accounts["father"] = after
        self.accounts.refunds.append(refund)
        return refund.closed_refund_id

    def told(self) -> list[Any]:
        return list(self.accounts.outbox.messages)


@pytest.fixture
def world() -> World:
    return World()


async def test_closing_pays_out_the_balance_and_tells_both_in_order(world: World) -> None:
    closed = await world.closing.close("father", TRANSFER)
    assert closed.account == Account("father", AccountState.CLOSED, 0, 0, version=6)
    assert world.accounts.accounts["father"] == closed.account
    assert closed.payout is not None
    assert (closed.payout.amount_fen, closed.payout.balance_after_fen, closed.payout.order) == (1000, 0, TRANSFER)
    rows = [(row.account_kind, row.account_key, row.amount_fen, row.version) for row in world.accounts.entries]
    assert rows == [(AccountKind.PERSONAL, "father", -1000, 5), (AccountKind.PAYOUT, "TRANSFER", 1000, None)]
    (change,) = world.accounts.changes
    assert (change.version, change.kind, change.reason) == (6, "CLOSED", "moved away")
    assert (change.authority, change.changed_by) == ("letter 7", "operator")
    paid, ended = world.told()
    assert isinstance(paid, events_pb2.AccountPaidOut)
    assert (paid.sequence, paid.amount_fen, paid.balance_after_fen) == (5, 1000, 0)
    assert (paid.way, paid.payout_id) == (events_pb2.PAYOUT_WAY_TRANSFER, str(closed.payout.payout_id))
    assert isinstance(ended, events_pb2.AccountClosed)
    assert (ended.sequence, ended.balance_after_fen, ended.reason) == (6, 0, "moved away")
    assert ended.authority == "letter 7"


async def test_an_empty_account_is_closed_with_nothing_paid(world: World) -> None:
    world.accounts.accounts["father"] = account(balance_fen=0)
    closed = await world.closing.close("father", TRANSFER)
    assert (closed.account.version, closed.payout) == (5, None)
    assert (world.accounts.entries, world.accounts.payouts) == ([], [])
    assert [type(each) for each in world.told()] == [events_pb2.AccountClosed]


async def test_closing_again_changes_nothing(world: World) -> None:
    first = await world.closing.close("father", TRANSFER)
    again = await world.closing.close("father", HEIRS)
    assert (again.account, again.payout) == (first.account, None)
    assert len(world.told()) == 2


async def test_what_previews_hold_keeps_an_account_open(world: World) -> None:
    world.accounts.accounts["father"] = account(held_fen=1)
    with pytest.raises(StateForbidsError, match="previews"):
        await world.closing.close("father", TRANSFER)
    assert world.accounts.accounts["father"].state is AccountState.OPEN
    assert not world.told()


async def test_a_frozen_account_of_a_living_owner_is_not_closed_but_that_of_a_dead_one_is(world: World) -> None:
    world.accounts.accounts["father"] = account(AccountState.FROZEN)
    with pytest.raises(StateForbidsError, match="frozen"):
        await world.closing.close("father", TRANSFER)
    world.died()
    closed = await world.closing.close("father", HEIRS)
    assert closed.account.state is AccountState.CLOSED
    assert world.accounts.entries[-1].account_key == "HEIRS"


async def test_nobody_inherits_from_the_living(world: World) -> None:
    with pytest.raises(StateForbidsError, match="heirs"):
        await world.closing.close("father", HEIRS)
    assert not world.accounts.entries


async def test_who_has_no_account_has_none_to_close(world: World) -> None:
    with pytest.raises(AccountNotFoundError):
        await world.closing.close("stranger", TRANSFER)


async def test_nothing_is_paid_out_on_a_day_that_is_closed(world: World) -> None:
    world.accounts.closed_days.add(DAY)
    with pytest.raises(SettlementRefusedError):
        await world.closing.close("father", TRANSFER)


async def test_a_closed_account_takes_no_contribution_and_is_neither_frozen_nor_released(world: World) -> None:
    await world.closing.close("father", TRANSFER)
    with pytest.raises(AccountClosedError):
        await world.service.contribute(Row("father", "c1", 5))
    for step in (world.service.freeze, world.service.unfreeze):
        with pytest.raises(StateForbidsError):
            await step("father", Instruction("late"))


async def test_a_refund_that_came_later_is_paid_out_once(world: World) -> None:
    await world.closing.close("father", TRANSFER)
    refund_id = world.refunded(1, 300)
    world.refunded(2, 70)
    paid, after = await world.closing.pay_out(refund_id, TRANSFER)
    assert (after.balance_fen, after.version, after.state) == (70, 9, AccountState.CLOSED)
    assert paid.payout_id == world.accounts.payouts[-1].payout_id
    with pytest.raises(StateForbidsError, match="before"):
        await world.closing.pay_out(refund_id, TRANSFER)
    assert len(world.accounts.payouts) == 2
    event = world.told()[-1]
    assert (event.sequence, event.amount_fen, event.balance_after_fen) == (9, 300, 70)


async def test_a_refund_goes_to_heirs_only_once_the_death_is_known(world: World) -> None:
    await world.closing.close("father", TRANSFER)
    refund_id = world.refunded(1, 300)
    with pytest.raises(StateForbidsError):
        await world.closing.pay_out(refund_id, HEIRS)
    world.died()
    _, after = await world.closing.pay_out(refund_id, HEIRS)
    assert after.balance_fen == 0


async def test_there_is_nothing_to_pay_out_under_an_unknown_id(world: World) -> None:
    with pytest.raises(ClosedRefundNotFoundError) as refused:
        await world.closing.pay_out(UUID(int=9), TRANSFER)
    assert isinstance(refused.value, HasReason)
    assert refused.value.reason == "NOT_FOUND"
    assert refused.value.reason in table()


@pytest.mark.parametrize("state", [AccountState.CLOSED, AccountState.OPEN])
def test_an_account_with_money_or_closed_before_is_not_closed(state: AccountState) -> None:
    balance_fen = 0 if state is AccountState.CLOSED else 1
    with pytest.raises(LedgerError):
        closing.close(account(state, balance_fen), TRANSFER.instruction, NOON)


def moving(number: int, kind: EntryKind, amount_fen: int, psn_no: str = "father") -> Posting:
    occasion = Occasion(kind, NOON, DAY, UUID(int=1000 + number), patient_psn_no="child", fixmedins_code=HOSPITAL)
    make = refund_posting if kind is EntryKind.REFUND else settlement_posting
    return make(UUID(int=number), occasion, psn_no, amount_fen)


def left(*postings: Posting, state: AccountState = AccountState.CLOSED, start_fen: int = 0) -> list[ClosedRefund]:
    accounts = {"father": account(state, start_fen), "mother": replace(account(), psn_no="mother", balance_fen=10**12)}
    posted = post(postings, {psn_no: each.standing for psn_no, each in accounts.items()})
    return closing.refunds_to_closed(posted, accounts)


def test_each_refund_to_a_closed_account_is_an_item_with_its_settlement() -> None:
    found = left(moving(1, EntryKind.REFUND, 500), moving(2, EntryKind.REFUND, 70))
    assert found == [
        ClosedRefund(UUID(int=1), "father", UUID(int=1001), 500, NOON),
        ClosedRefund(UUID(int=2), "father", UUID(int=1002), 70, NOON),
    ]


@pytest.mark.parametrize("state", [AccountState.OPEN, AccountState.FROZEN])
def test_refunds_to_other_accounts_are_no_work(state: AccountState) -> None:
    assert left(moving(1, EntryKind.REFUND, 500), state=state) == []
    assert left(moving(1, EntryKind.REFUND, 500, "mother"), moving(2, EntryKind.SETTLEMENT, 5, "mother")) == []


def test_what_settling_again_takes_right_away_is_not_paid_out() -> None:
    assert left(moving(1, EntryKind.REFUND, 500), moving(2, EntryKind.SETTLEMENT, 500)) == []
    (rest,) = left(moving(1, EntryKind.REFUND, 500), moving(2, EntryKind.SETTLEMENT, 200))
    assert (rest.closed_refund_id, rest.amount_fen) == (UUID(int=1), 300)


def test_what_is_taken_again_may_be_more_than_the_last_refund() -> None:
    refunds = (moving(1, EntryKind.REFUND, 500), moving(2, EntryKind.REFUND, 70))
    (rest,) = left(*refunds, moving(3, EntryKind.SETTLEMENT, 300))
    assert (rest.closed_refund_id, rest.amount_fen) == (UUID(int=1), 270)
    with pytest.raises(LedgerError):
        left(moving(1, EntryKind.REFUND, 500, "mother"), moving(3, EntryKind.SETTLEMENT, 5), start_fen=5)


@given(st.lists(st.tuples(st.integers(1, 10**9), st.integers(0, 10**9)), max_size=8))
def test_open_items_sum_to_what_a_batch_left_on_the_closed_account(pairs: list[tuple[int, int]]) -> None:
    postings = []
    for number, (given_fen, taken_fen) in enumerate(pairs):
        postings.append(moving(2 * number, EntryKind.REFUND, given_fen))
        if again_fen := min(given_fen, taken_fen):
            postings.append(moving(2 * number + 1, EntryKind.SETTLEMENT, again_fen))
    found = left(*postings)
    assert [each.amount_fen for each in found] == [
        given_fen - taken_fen for given_fen, taken_fen in pairs if given_fen > taken_fen
    ]


def by_operator() -> None:
    enter(CallContext("/test", Principal("service", "operator"), None, "r1", Deadline(5.0)))


def payout(way: account_pb2.PayoutWay.ValueType = account_pb2.PAYOUT_WAY_TRANSFER) -> account_pb2.Payout:
    return account_pb2.Payout(way=way, reason="moved", authority="letter 7", payment_reference="PAY-1")


async def test_an_account_is_closed_and_its_refunds_listed_and_paid_by_the_contract(world: World) -> None:
    by_operator()
    close = account_pb2.CloseAccountRequest(psn_no="father", payout=payout())
    closed = await world.servicer.CloseAccount(close, None)
    assert (closed.account.state, closed.paid_out) == (account_pb2.ACCOUNT_STATE_CLOSED, 1000)
    assert world.accounts.payouts[0].order.payment_reference == "PAY-1"
    assert world.accounts.payouts[0].order.instruction.carried_out_by == "service/operator"
    again = await world.servicer.CloseAccount(close, None)
    assert (again.account, again.paid_out, again.payout_id) == (closed.account, 0, "")
    ids = [str(world.refunded(number, 100 * number)) for number in (1, 2, 3)]
    pay = account_pb2.PayOutClosedRefundRequest(closed_refund_id=ids[1], payout=payout())
    paid = await world.servicer.PayOutClosedRefund(pay, None)
    assert (paid.closed_refund.state, paid.balance_after) == (account_pb2.CLOSED_REFUND_STATE_PAID_OUT, 400)
    assert paid.closed_refund.payout_id == str(world.accounts.payouts[-1].payout_id)
    assert await listed(world) == ids
    assert await listed(world, state=account_pb2.CLOSED_REFUND_STATE_OPEN) == [ids[0], ids[2]]
    assert await listed(world, state=account_pb2.CLOSED_REFUND_STATE_PAID_OUT) == [ids[1]]
    assert await listed(world, psn_no="mother") == []


async def listed(world: World, **asked: Any) -> list[str]:
    found, token = list[str](), ""
    while True:
        request = account_pb2.ListClosedRefundsRequest(page_size=1, page_token=token, **asked)
        page = await world.servicer.ListClosedRefunds(request, None)
        found += [each.closed_refund_id for each in page.closed_refunds]
        if not (token := page.next_page_token):
            return found


async def test_reversing_a_bill_that_a_closed_account_paid_is_work_for_somebody() -> None:
    memory = MemorySettlements()
    memory.accounts["father"] = paying("father", 50000)
    pipeline = Pipeline(MemoryWork(memory), FakeRelation("father", "child", 9000))
    (paid,) = await pipeline.settle(settle(1, bill("child", 9000)))
    assert isinstance(paid, Settlement)
    memory.accounts["father"] = replace(memory.accounts["father"], state=AccountState.CLOSED, balance_fen=0)
    assert isinstance(await pipeline.reverse(2, 1), Settlement)
    assert await pipeline.reverse(3, 1) == await pipeline.reverse(2, 1)
    (refund,) = memory.closed_refunds
    assert (refund.psn_no, refund.settlement_id, refund.amount_fen) == ("father", paid.settlement_id, 9000)
    assert memory.accounts["father"].balance_fen == 9000


async def test_settling_a_closed_accounts_bill_again_leaves_only_the_rest_to_pay_out() -> None:
    memory = MemorySettlements()
    memory.accounts["father"] = paying("father", 50000)
    pipeline = Pipeline(MemoryWork(memory), FakeRelation("father", "child", 9000))
    await pipeline.settle(settle(1, bill("child", 9000)))
    memory.accounts["father"] = replace(memory.accounts["father"], state=AccountState.CLOSED, balance_fen=0)
    (again,) = await pipeline.settle(resettle(2, 1, bill("child", 2000)))
    assert isinstance(again, Settlement)
    assert [each.amount_fen for each in memory.closed_refunds] == [7000]
    assert memory.accounts["father"].balance_fen == 7000
