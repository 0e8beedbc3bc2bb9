"""The contract of the repository of closed accounts, on memory and on PostgreSQL alike."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, date, datetime
from uuid import UUID

import pytest

from kit.clock import FixedClock
from kit.db import Database, PostgresWork, Work
from kit.testing import MemoryWork, patient_database
from settlement.closing_memory import MemoryClosing
from settlement.closing_repository import (
    ClosedRefundsAsked,
    ClosingRepository,
    PostgresClosingRepository,
    add_closed_refunds,
)
from settlement.closing_service import ClosingService
from settlement.domain.accounts import Account, AccountState, Instruction, StateForbidsError
from settlement.domain.closing import ClosedRefund, PayoutOrder, PayoutWay
from settlement.domain.ledger import EntryKind, Occasion, contribution_posting, post, refund_posting

NOON = datetime(2025, 3, 10, 4, tzinfo=UTC)
TODAY = date(2025, 3, 10)
ORDER = PayoutOrder(PayoutWay.TRANSFER, Instruction("moved", "letter 7", "operator"), "PAY-1")
Closing = Work[ClosingRepository]


def refund(number: int, psn_no: str = "father", amount_fen: int = 300) -> ClosedRefund:
    return ClosedRefund(UUID(int=number), psn_no, UUID(int=100 + number), amount_fen, NOON)


class ClosingContract:
    """What the service may rely on, whatever the rows are kept in."""

    async def test_refunds_are_listed_in_the_order_in_which_they_came(self, work: Closing) -> None:
        await self.came(work, [refund(3), refund(1, "mother"), refund(2)])
        async with work() as repository:
            found = await repository.closed_refunds(ClosedRefundsAsked())
            assert [each for _, each in found] == [refund(3), refund(1, "mother"), refund(2)]
            after = ClosedRefundsAsked(after_position=found[0][0], limit=1)
            assert await repository.closed_refunds(after) == [found[1]]
            assert await repository.closed_refunds(ClosedRefundsAsked(psn_no="father")) == [found[0], found[2]]
            assert await repository.closed_refund(UUID(int=1)) == refund(1, "mother")
            assert await repository.lock_closed_refund(UUID(int=9)) is None

    async def test_a_refund_is_paid_out_and_told_apart_from_open_ones(self, work: Closing) -> None:
        await self.came(work, [refund(1), refund(2)])
        paid, after = await ClosingService(work, FixedClock(NOON)).pay_out(UUID(int=1), ORDER)
        assert paid.payout_id is not None
        assert (after.state, after.balance_fen) == (AccountState.CLOSED, 300)
        async with work() as repository:
            (_, still_open), *more = await repository.closed_refunds(ClosedRefundsAsked(is_open=True))
            assert (still_open, more) == (refund(2), [])
            (_, done), *more = await repository.closed_refunds(ClosedRefundsAsked(is_open=False))
            assert (done, more) == (paid, [])
            assert await repository.find("father") == after
            (line, *_) = await repository.statement("father", None, 5)
            assert (line.kind, line.amount_fen, line.reference) == (EntryKind.PAYOUT, -300, str(paid.payout_id))

    async def came(self, work: Closing, refunds: Sequence[ClosedRefund]) -> None:
        """Closed accounts to which these refunds have come."""
        for psn_no in {each.psn_no for each in refunds}:
            own = [each for each in refunds if each.psn_no == psn_no]
            async with work() as repository:
                empty = Account(psn_no, AccountState.CLOSED, 0, 0, 0)
                await repository.add(empty)
                postings = [
                    refund_posting(
                        each.closed_refund_id,
                        Occasion(EntryKind.REFUND, NOON, TODAY, each.settlement_id, fixmedins_code="H1"),
                        psn_no,
                        each.amount_fen,
                    )
                    for each in own
                ]
                posted = post(postings, {psn_no: empty.standing})
                await repository.post(posted.rows, [empty.after(posted.standings[psn_no])])
        async with work() as repository:
            await self.add(repository, refunds)

    async def add(self, repository: ClosingRepository, refunds: Sequence[ClosedRefund]) -> None:
        raise AssertionError(repository, refunds)


class TestMemoryClosing(ClosingContract):
    @pytest.fixture
    def work(self) -> Closing:
        return MemoryWork[ClosingRepository](MemoryClosing())

    async def add(self, repository: ClosingRepository, refunds: Sequence[ClosedRefund]) -> None:
        assert isinstance(repository, MemoryClosing)
        repository.refunds += refunds


class TestPostgresClosing(ClosingContract):
    @pytest.fixture
    async def database(self, database_url: str) -> AsyncIterator[Database]:
        database = patient_database(database_url, 4)
        yield database
        await database.close()

    @pytest.fixture
    def work(self, database: Database) -> Closing:
        return PostgresWork[ClosingRepository](database, PostgresClosingRepository)

    async def add(self, repository: ClosingRepository, refunds: Sequence[ClosedRefund]) -> None:
        assert isinstance(repository, PostgresClosingRepository)
        await add_closed_refunds(repository._raw, refunds)

    async def test_two_at_once_pay_a_refund_out_once(self, work: Closing) -> None:
        await self.came(work, [refund(1), refund(2)])
        service = ClosingService(work, FixedClock(NOON))
        answers = await asyncio.gather(*(service.pay_out(UUID(int=1), ORDER) for _ in range(3)), return_exceptions=True)
        assert sum(isinstance(answer, StateForbidsError) for answer in answers) == 2
        async with work() as repository:
            account = await repository.find("father")
        assert account is not None
        assert account.balance_fen == 300

    async def test_several_closings_at_once_pay_out_once(self, work: Closing) -> None:
        async with work() as repository:
            empty = Account("father", AccountState.OPEN, 0, 0, 0)
            await repository.add(empty)
            posting = contribution_posting(
                UUID(int=1), Occasion(EntryKind.CONTRIBUTION, NOON, TODAY, contribution_id="c1"), "father", 500
            )
            posted = post([posting], {"father": empty.standing})
            await repository.post(posted.rows, [empty.after(posted.standings["father"])])
        service = ClosingService(work, FixedClock(NOON))
        await asyncio.gather(*(service.close("father", ORDER) for _ in range(3)))
        async with work() as repository:
            assert await repository.find("father") == Account("father", AccountState.CLOSED, 0, 0, 3)
