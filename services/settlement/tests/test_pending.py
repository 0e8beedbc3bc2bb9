"""`settlement pending`: what is unresolved, and why."""

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import pytest
from typer.testing import CliRunner

from kit.db import Database, PostgresWork, Work
from kit.failpoints import Boundary
from kit.ids import uuid7
from kit.testing import patient_database
from settlement.account_repository import PostgresAccountRepository
from settlement.cli import app
from settlement.domain.holds import HoldState
from settlement.domain.quotes import Quote
from settlement.domain.state import Settlement
from settlement.pending import SHOWN, Listed, Pending, lines_of
from settlement.postgres_repository import PostgresSettlementRepository
from settlement.repository import SettlementRepository
from settlement.testing import QUOTES_LAST, FakeRelation, World, account, bill, hold, settle
from settlement.testing_failpoints import Crash, Dying
from settlement.testing_holds import FakeHolds

RELATION = FakeRelation("father", "child", 90_000)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = patient_database(database_url)
    await database.connect()
    async with PostgresWork(database, PostgresAccountRepository)() as repository:
        await repository.add(account("father", 50_000))
    yield database
    await database.close()


@pytest.fixture
def work(database: Database) -> Work[SettlementRepository]:
    return PostgresWork(database, PostgresSettlementRepository)


async def told(database: Database, world: World, binding: FakeHolds | None = None) -> list[str]:
    listed = await Pending(database, world.clock, 20.0, binding).look()
    return list(lines_of(listed, asked_binding=binding is not None))


async def test_where_nothing_is_unresolved_there_is_only_zero(
    database: Database, work: Work[SettlementRepository]
) -> None:
    assert await told(database, World(work), FakeHolds()) == [
        "settlements and previews PENDING: 0",
        "previews near their end, of 0 HELD: 0",
        "events that are not sent: 0",
        "holds at binding that are decided here: 0",
    ]


async def test_what_a_crash_left_behind_is_told_with_its_age(
    database: Database, work: Work[SettlementRepository]
) -> None:
    world = World(work, RELATION, failpoints=Dying(Boundary.AFTER_INTENT, times=2))
    for command in (settle(1), hold(2, bill("mother", 100))):
        with pytest.raises(Crash):
            await world.settling.settle([command])
    async with database.transaction() as transaction:
        await transaction.raw.execute(
            "UPDATE settlement SET created_at = created_at - interval '31 s' WHERE psn_no = 'child'"
        )
    lines = await told(database, world)
    assert lines[0] == "settlements and previews PENDING: 2"
    assert re.fullmatch(
        r"  \S{36} \(H65270100001 \S{30}\): left behind 3\d s ago; the sweeper gives it up next", lines[1]
    )
    assert re.fullmatch(r"  \S{36} \(H65270100001 \S{30}\): under way for \d+ s, to be held", lines[2])
    assert lines[-1].startswith("binding was not asked")


async def test_a_preview_near_its_end_is_told_by_the_clock_that_it_runs_out_by(
    database: Database, work: Work[SettlementRepository]
) -> None:
    world = World(work, RELATION)
    (quote,) = await world.hold(hold(1, bill("child", 700)))
    assert isinstance(quote, Quote)
    assert (await told(database, world))[1] == "previews near their end, of 1 HELD: 0"
    world.clock.advance(QUOTES_LAST - timedelta(seconds=90))
    assert "runs out in 90 s" in (await told(database, world))[2]
    world.clock.advance(timedelta(seconds=95))
    assert "ran out 5 s ago; whoever settles next, or the sweeper" in (await told(database, world))[2]


async def test_events_that_wait_are_told_with_who_is_to_send_them(
    database: Database, work: Work[SettlementRepository]
) -> None:
    world = World(work, RELATION)
    await world.settle(settle(1))
    lines = await told(database, world)
    assert lines[2] == "events that are not sent: 2"
    assert re.fullmatch(r"  account-events-v1: 1 wait, the oldest for \d+ s; no relay is active", lines[3]), lines
    async with database.transaction() as transaction:
        await transaction.raw.execute(
            "INSERT INTO outbox_lease (holder, expires_at) VALUES ('pod-7', clock_timestamp() + interval '1 minute')"
        )
    assert (await told(database, world))[3].endswith("relay pod-7 is at it")


async def test_holds_that_are_decided_here_are_told_with_the_reason(
    database: Database, work: Work[SettlementRepository]
) -> None:
    world, binding = World(work, RELATION), FakeHolds()
    (paid,) = await world.settle(settle(1, bill("child", 900)))
    assert isinstance(paid, Settlement)
    (quote,) = await world.hold(hold(2, bill("child", 700)))
    assert isinstance(quote, Quote)
    unknown = uuid7()
    for held in (paid.settlement_id, quote.quote_id, unknown):
        binding.put(held)
    binding.put(UUID(int=5), HoldState.RELEASED)

    def why(lines: list[str]) -> dict[str, str]:
        last = lines[lines.index("holds at binding that are decided here: 2") + 1 :]
        return dict(re.sub(r"held for -?\d+ s", "held", line.strip()).split(": ", 1) for line in last)

    assert why(await told(database, world, binding)) == {
        str(paid.settlement_id): "held, SETTLED here; its event is not sent yet",
        str(unknown): "held, unknown here; reconcile-holds gives it up",
    }
    async with database.transaction() as transaction:
        await transaction.raw.execute("DELETE FROM outbox_run")
    assert why(await told(database, world, binding))[str(paid.settlement_id)] == (
        "held, SETTLED here; its event was sent and binding has not taken it in"
    )


def test_of_many_only_some_are_shown_and_all_are_counted() -> None:
    many = Listed("settlements and previews PENDING", SHOWN + 3, tuple(f"line {place}" for place in range(SHOWN)))
    lines = list(lines_of([many], asked_binding=True))
    assert lines[0] == f"settlements and previews PENDING: {SHOWN + 3}"
    assert lines[-1] == "  … and 3 more"


def test_the_command_prints_and_says_that_binding_was_not_asked(database_url: str) -> None:
    environment = {"GONGJI_ENVIRONMENT": "test", "GONGJI_DATABASE_URL": database_url}
    ended = CliRunner().invoke(app, ["pending"], env=environment)
    assert ended.exit_code == 0, ended.output
    assert ended.output.startswith("settlements and previews PENDING: 0\n")
    assert "binding was not asked" in ended.output
