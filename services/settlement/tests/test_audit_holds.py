"""The audit asks binding: what it holds and has used is what settlement's previews and settlements say."""

from collections.abc import AsyncIterator, Collection, Mapping
from uuid import UUID

import pytest

from kit.db import Database, PostgresWork
from kit.ids import uuid7
from kit.testing import patient_database
from settlement.account_repository import PostgresAccountRepository
from settlement.audit import Result
from settlement.audit_holds import Expected, HoldsAudit, difference
from settlement.domain.holds import Hold, HoldState
from settlement.domain.quotes import Quote
from settlement.domain.state import Settlement
from settlement.postgres_repository import PostgresSettlementRepository
from settlement.repository import SettlementRepository
from settlement.testing import TEN_O_CLOCK, FakeRelation, World, account, bill, hold, settle
from settlement.testing_holds import FakeHolds

RELATION = FakeRelation("father", "child", 90_000)
LAG_SECONDS = 60.0


class Compared:
    """Settlement's books, and a binding that has heard of everything until a test says otherwise."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.world = World(PostgresWork[SettlementRepository](database, PostgresSettlementRepository), RELATION)
        self.binding = FakeHolds()
        self.watched = list[Result]()
        self.paid, self.reversed, self.refused, self.kept = (UUID(int=0),) * 4

    async def keep_books(self) -> None:
        async with PostgresWork(self.database, PostgresAccountRepository)() as repository:
            await repository.add(account("father", 50_000))
        self.paid = await self._settled(1, 9_000)
        self.reversed = await self._settled(2, 4_000)
        await self.world.reverse(90, of=2)
        await self.world.settle(settle(3, bill("child", 500), expected_acct_mulaid_pay_fen=1))
        (quote,) = await self.world.hold(hold(4, bill("child", 700)))
        assert isinstance(quote, Quote)
        self.kept = quote.quote_id
        async with self.database.transaction() as transaction:
            self.refused = await transaction.raw.fetchval("SELECT id FROM settlement WHERE state = 'REFUSED'")
        self.binding.put(self.paid, HoldState.CAPTURED, {RELATION.id: 9_000})
        self.binding.put(self.reversed, HoldState.RESTORED)
        self.binding.put(self.refused, HoldState.RELEASED)
        self.binding.put(self.kept, HoldState.HELD, {RELATION.id: 700})
        await self.execute("DELETE FROM outbox_run")
        await self.rest()

    async def rest(self) -> None:
        """Nothing has happened for longer than an outcome may be on its way."""
        await self.execute("UPDATE settlement SET updated_at = updated_at - interval '61 s'")
        await self.execute("UPDATE quote SET updated_at = updated_at - interval '61 s'")

    async def _settled(self, number: int, amount_fen: int) -> UUID:
        (answer,) = await self.world.settle(settle(number, bill("child", amount_fen)))
        assert isinstance(answer, Settlement)
        return answer.settlement_id

    async def execute(self, statement: str, *arguments: object) -> None:
        async with self.database.transaction() as transaction:
            await transaction.raw.execute(statement, *arguments)

    async def findings(self, lag_seconds: float = LAG_SECONDS) -> Mapping[str, tuple[str, ...]]:
        audit = HoldsAudit(self.database, self.binding, lag_seconds)
        results = [await check(self.watched.append) for check in (audit.held, audit.kept, audit.taken)]
        return {result.name: result.findings for result in results if result.found}


@pytest.fixture
async def compared(database_url: str) -> AsyncIterator[Compared]:
    database = patient_database(database_url)
    await database.connect()
    compared = Compared(database)
    await compared.keep_books()
    yield compared
    await database.close()


async def test_a_binding_that_has_heard_of_everything_is_in_order(compared: Compared) -> None:
    assert await compared.findings() == {}
    assert [result.looked_at for result in compared.watched] == [1, 1, 3]


async def test_a_hold_of_what_is_decided_or_unknown_here_is_found(compared: Compared) -> None:
    unknown = uuid7()
    compared.binding.put(unknown)
    for decided in (compared.paid, compared.reversed, compared.refused):
        compared.binding.put(decided)
    found = (await compared.findings())["whatever binding holds is under way or kept here"]
    assert set(found) == {
        f"{unknown}: held at binding, unknown here",
        f"{compared.paid}: held at binding, SETTLED here",
        f"{compared.reversed}: held at binding, REVERSED here",
        f"{compared.refused}: held at binding, REFUSED here",
    }


async def test_what_binding_has_not_heard_yet_is_no_finding(compared: Compared) -> None:
    compared.binding.put(compared.paid)
    compared.binding.put(compared.kept, HoldState.HELD, {RELATION.id: 50_000})
    assert await compared.findings() != {}
    await compared.execute("UPDATE settlement SET updated_at = clock_timestamp()")
    await compared.execute("UPDATE quote SET updated_at = clock_timestamp()")
    assert await compared.findings() == {}

    await compared.rest()
    assert await compared.findings() != {}
    await compared.execute("INSERT INTO outbox_run SELECT id, 1 FROM outbox_event WHERE topic = 'settlement-events-v1'")
    assert await compared.findings() == {}


async def test_only_what_is_compared_counts_as_looked_at(compared: Compared) -> None:
    for decided in (compared.paid, compared.reversed):
        compared.binding.put(decided)
    await compared.execute("UPDATE settlement SET updated_at = clock_timestamp() WHERE id <> $1", compared.refused)
    await compared.execute("UPDATE quote SET updated_at = clock_timestamp()")
    assert await compared.findings() == {}
    *held, kept, taken = [result.looked_at for result in compared.watched]
    assert (held[-1], kept, taken) == (1, 0, 1)  # of what is held, the preview that is kept here


async def test_without_a_lag_what_is_seconds_old_is_compared(compared: Compared) -> None:
    await compared.execute("UPDATE settlement SET updated_at = clock_timestamp()")
    compared.binding.put(compared.paid, HoldState.CAPTURED, {RELATION.id: 8_999})
    assert await compared.findings() == {}
    assert await compared.findings(lag_seconds=0) != {}


class Meanwhile(FakeHolds):
    """Something is written here while binding is asked."""

    def __init__(self, compared: Compared) -> None:
        super().__init__(compared.binding.authorizations)
        self._compared = compared

    async def find(self, ids: Collection[UUID]) -> dict[UUID, Hold]:
        """See `FakeHolds.find`."""
        await self._compared.execute("UPDATE settlement SET updated_at = clock_timestamp()")
        return await FakeHolds.find(self, ids)


async def test_what_was_written_while_binding_was_asked_is_no_finding_even_without_a_lag(compared: Compared) -> None:
    compared.binding.put(compared.paid, HoldState.RESTORED)
    assert await compared.findings(lag_seconds=0) != {}
    compared.binding = Meanwhile(compared)
    assert await compared.findings(lag_seconds=0) == {}


async def test_a_limit_that_counts_another_amount_than_was_taken_is_found(compared: Compared) -> None:
    compared.binding.put(compared.paid, HoldState.CAPTURED, {RELATION.id: 8_999})
    compared.binding.put(compared.reversed, HoldState.CAPTURED, {RELATION.id: 4_000})
    compared.binding.put(compared.refused, HoldState.CAPTURED)
    found = (await compared.findings())["limits count what settlements took, no more and no less"]
    assert set(found) == {
        f"{compared.paid}: SETTLED here: 9000 fen are charged to limits, at binding 8999, or of other relations",
        f"{compared.reversed}: REVERSED here, CAPTURED at binding",
        f"{compared.refused}: REFUSED here, CAPTURED at binding",
    }


async def test_an_authorization_that_binding_lost_is_found(compared: Compared) -> None:
    compared.binding.authorizations.clear()
    found = await compared.findings()
    assert found["what held previews keep of payers is held at binding"] == (
        f"{compared.kept}: HELD here, unknown at binding",
    )
    assert set(found["limits count what settlements took, no more and no less"]) == {
        f"{compared.paid}: SETTLED here, unknown at binding",
        f"{compared.reversed}: REVERSED here, unknown at binding",
    }


async def test_a_settlement_that_asked_nobody_is_not_looked_for(compared: Compared) -> None:
    await compared.world.settle(settle(7, bill("child", 0)), settle(8, bill("mother", 100), use_mutual_aid=False))
    await compared.execute("DELETE FROM outbox_run")
    await compared.rest()
    assert await compared.findings() == {}


@pytest.mark.parametrize(
    ("here", "there", "charged", "differs"),
    [
        ("SETTLED", HoldState.CAPTURED, {RELATION.id: 5}, False),
        ("SETTLED", HoldState.CAPTURED, {UUID(int=1): 5}, True),
        ("SETTLED", HoldState.CAPTURED, {}, True),
        ("SETTLED", HoldState.RELEASED, {}, True),
        ("REVERSED", HoldState.RESTORED, {}, False),
        ("REVERSED", HoldState.RESTORED, {RELATION.id: 5}, True),
        ("ABANDONED", HoldState.RELEASED, {}, False),
        ("HELD", HoldState.HELD, {RELATION.id: 5}, False),
        ("HELD", HoldState.HELD, {RELATION.id: 6}, True),
        ("HELD", HoldState.RELEASED, {}, True),
    ],
)
def test_what_counts_as_a_difference(here: str, there: HoldState, charged: dict[UUID, int], differs: bool) -> None:  # noqa: FBT001
    hold_there = Hold(UUID(int=9), there, "child", TEN_O_CLOCK, TEN_O_CLOCK, charged)
    assert (difference(Expected(UUID(int=9), here, {RELATION.id: 5}), hold_there) is not None) == differs


def test_only_what_took_nothing_may_be_unknown_at_binding() -> None:
    assert difference(Expected(UUID(int=9), "ABANDONED", {}), None) is None
    for state in ("SETTLED", "REVERSED", "HELD"):
        assert difference(Expected(UUID(int=9), state, {}), None) is not None
