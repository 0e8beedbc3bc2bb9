"""The audit of limits: counters are what authorizations charge, of pairs, too; a counter that is not is found."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from itertools import product

from typer.testing import CliRunner

from binding.audit import SHOWN_FINDINGS, Report, audit, lines_of
from binding.cli import app
from binding.domain.authorizations import Outcome
from binding.domain.batch import Request, apply_all, authorize_all
from binding.domain.limits import counter_keys
from binding.repository import PostgresRepository
from binding.testing import (
    MOTHER,
    NOON,
    captured,
    have_relations,
    named,
    relation,
    released,
    request,
    restored,
    trimmed,
)
from kit.db import Database, PostgresWork

Work = PostgresWork[PostgresRepository]
JULY = datetime(2025, 7, 1, 2, tzinfo=UTC)


async def authorize(work: Work, *requests: Request) -> None:
    async with work() as repository:
        book = await repository.open_book(requests, [], hold=True)
        authorize_all(requests, book)
        await repository.close_book(book)


async def apply(work: Work, *outcomes: Outcome) -> None:
    async with work() as repository:
        book = await repository.open_book([], outcomes, hold=False)
        apply_all(outcomes, book)
        await repository.close_book(book)


async def keep_limits(work: Work, database: Database) -> list[tuple[str, ...]]:
    """Everything that moves a counter; what the audit finds after each."""
    found, lines = [], ("father-child", 300)
    await have_relations(work, relation(), relation("m", payer_psn_no=MOTHER, priority=2))
    for name, occurred_at in (("held", None), ("paid", None), ("july", JULY), ("given back", JULY), ("freed", None)):
        changes = {"occurred_at": occurred_at} if occurred_at else {}
        await authorize(work, request(name, 1_000, **changes))
        found.append(await findings(database))
    await apply(work, captured("paid", lines), released("freed"), trimmed("held", lines))
    found.append(await findings(database))
    await apply(work, captured("given back", lines, occurred_at=JULY), captured("july", lines, occurred_at=JULY))
    await apply(work, restored("given back", lines, occurred_at=JULY))
    found.append(await findings(database))
    return found


async def findings(database: Database) -> tuple[str, ...]:
    report = await audit(database)
    assert report.looked_at > 0
    return report.findings


async def test_counters_that_were_kept_are_right(postgres_work: Work, database: Database) -> None:
    assert await keep_limits(postgres_work, database) == [()] * 7


async def test_what_replaces_another_is_counted_beyond_that_only(postgres_work: Work, database: Database) -> None:
    await keep_limits(postgres_work, database)
    replaced = "paid"
    for again_fen, again_at in product((100, 900, 300), (NOON, JULY)):
        again = f"{again_fen} at {again_at}"
        await authorize(postgres_work, request(again, again_fen, replaces=named(replaced), occurred_at=again_at))
        assert await findings(database) == ()
        await apply(postgres_work, captured(again, ("father-child", again_fen), occurred_at=again_at))
        assert await findings(database) == ()
        replaced = again
    await apply(postgres_work, restored(replaced, ("father-child", 300), occurred_at=JULY))
    assert await findings(database) == ()


async def test_what_is_given_up_leaves_the_one_that_it_was_to_replace_counted(
    postgres_work: Work, database: Database
) -> None:
    await keep_limits(postgres_work, database)
    await authorize(postgres_work, request("again", 900, replaces=named("paid")))
    await apply(postgres_work, released("again"))
    assert await findings(database) == ()


TAMPERED = [
    "UPDATE relation SET day_used_fen = day_used_fen + 1",
    "UPDATE relation SET total_held_fen = total_held_fen + 1",
    "UPDATE relation SET open_day = open_day + 40",
    "UPDATE relation SET year_used_fen = 0, year_held_fen = 0",
    "UPDATE limit_counter_closed SET used_fen = used_fen + 1 WHERE window_kind = 'DAY'",
    "UPDATE limit_counter_closed SET window_start = window_start + 1 WHERE window_kind = 'MONTH'",
    "DELETE FROM limit_counter_closed WHERE window_kind = 'MONTH'",
    "UPDATE authorization_record SET used_fen[1] = used_fen[1] + 1 WHERE used_fen[1] > 0",
    "UPDATE authorization_record SET held_fen[1] = 0, held_fen[2] = 0 WHERE state = 'HELD'",
    "UPDATE authorization_record SET occurred_on = occurred_on + 40",
]


async def test_a_counter_that_differs_is_found(postgres_work: Work, database: Database) -> None:
    await keep_limits(postgres_work, database)
    unnoticed = []
    for statement in TAMPERED:
        async with database.shared() as transaction:
            inside = transaction.raw.transaction()
            await inside.start()
            await transaction.raw.execute(statement)
            found = (await audit(database)).findings
            await inside.rollback()
        if not any(str(named("father-child")) in finding for finding in found):
            unnoticed.append(statement)
    assert unnoticed == []
    assert await findings(database) == ()


async def test_a_finding_says_what_is_counted_and_what_is_charged(postgres_work: Work, database: Database) -> None:
    await have_relations(postgres_work, relation())
    await authorize(postgres_work, request("a", 1_000))
    day, *_ = counter_keys(named("father-child"), date(2025, 6, 10))
    async with database.transaction() as transaction:
        await transaction.raw.execute("UPDATE relation SET day_held_fen = 7")
    assert (await audit(database)).findings == (
        f"{day.relation_id} DAY from 2025-06-10: 0 used and 7 held, the authorizations charge 0 and 1000",
    )


def test_the_command_prints_and_tells_by_its_status(service_database: Callable[[str], str]) -> None:
    environment = {"GONGJI_ENVIRONMENT": "test", "GONGJI_DATABASE_URL": service_database("binding")}
    ended = CliRunner().invoke(app, ["audit"], env=environment)
    assert (ended.exit_code, ended.output) == (
        0,
        "counters of limits are what the authorizations charge: 0 looked at, 0 findings\n",
    )


def test_of_many_findings_the_first_are_shown() -> None:
    shown = tuple(f"finding {place}" for place in range(SHOWN_FINDINGS))
    assert list(lines_of(Report(100, SHOWN_FINDINGS + 2, shown)))[-1] == "  … and 2 more"
