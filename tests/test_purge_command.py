"""`python -m SERVICE purge` on each service's own schema: what it says, what it drops, and when it refuses."""

import asyncio
import importlib
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Final

import asyncpg
import pytest
from typer.testing import CliRunner, Result

from kit.clock import SystemClock
from kit.ids import uuid7
from kit.kept import INBOX, OUTBOX, Kept
from kit.month_sql import make_sql
from kit.months import Month, month_of

SERVICES: Final = ("identity", "binding", "settlement", "notify")
OLD: Final = month_of(SystemClock().now() - timedelta(days=800))
EVENT: Final = """
INSERT INTO outbox_event (event_id, topic, key, type, source, subject, payload, occurred_at, epoch, created_at)
VALUES ($1, 't', 'k', 'y', 's', 'j', '', $2, 1, $2) RETURNING id
"""


def kept_by(service: str) -> tuple[Kept, ...]:
    kept: tuple[Kept, ...] = importlib.import_module(f"{service}.kept").KEPT
    return kept


def purge(service: str, url: str, *arguments: str, **more: str) -> Result:
    return run(service, url, "purge", *arguments, **more)


def run(service: str, url: str, *arguments: str, **more: str) -> Result:
    app = importlib.import_module(f"{service}.cli").app
    return CliRunner().invoke(app, arguments, env=environ(url, **more))


def environ(url: str, **more: str) -> dict[str, str]:
    return {"GONGJI_ENVIRONMENT": "local", "GONGJI_DATABASE_URL": url, **more}


async def with_old_months(url: str, kept: tuple[Kept, ...], *, unsent: bool = False) -> None:
    """Two months of two years ago, as if the tables had been cut so since then, and an event at their turn."""
    connection = await asyncpg.connect(url)
    try:
        for each in kept:
            await connection.execute(f"DROP TABLE {each.before}")
            await connection.execute(make_sql(each, OLD) + make_sql(each, OLD.next))
        event = await connection.fetchval(EVENT, uuid7(), OLD.next.begins_at)
        if unsent:
            await connection.execute("INSERT INTO outbox_run VALUES ($1, 1)", event)
    finally:
        await connection.close()


async def tables(url: str) -> set[str]:
    connection = await asyncpg.connect(url)
    try:
        return {row[0] for row in await connection.fetch("SELECT relname FROM pg_class WHERE relkind IN ('r', 'p')")}
    finally:
        await connection.close()


def partitions(kept: Kept, *months: Month) -> set[str]:
    return {month.partition_of(kept.table) for month in months}


@pytest.mark.parametrize("service", SERVICES)
def test_old_months_go_and_the_rest_stays(service: str, service_database: Callable[[str], str]) -> None:
    url = service_database(service)
    bus = tuple(each for each in kept_by(service) if each in (OUTBOX, INBOX))
    assert bus == ((OUTBOX,) if service == "identity" else (OUTBOX, INBOX))
    asyncio.run(with_old_months(url, bus))
    was = asyncio.run(tables(url))
    old = set[str]().union(*(partitions(each, OLD, OLD.next) for each in bus))
    assert old <= was
    looked = purge(service, url, "--dry-run")
    assert (looked.exit_code, looked.output.count("would drop")) == (0, len(old)), looked.output
    assert asyncio.run(tables(url)) == was
    done = purge(service, url)
    assert (done.exit_code, done.output.count("  dropped ")) == (0, len(old)), done.output
    assert asyncio.run(tables(url)) == was - old
    assert f"{service}: outbox_event, kept for 190 days at least: A restore publishes again" in done.output
    assert f"dropped {OLD.next.partition_of('outbox_event')}, up to " in done.output
    assert ", about 1 rows, " in done.output
    assert f"{service}: requests are forgotten after 30 days, every hour, by the processes that serve" in done.output
    again = purge(service, url)
    assert (again.exit_code, "drop" in again.output) == (0, False)
    assert "  stays: outbox_event_" in again.output


def test_a_month_with_an_unsent_event_stays_alone_and_the_command_ends_with_1(
    service_database: Callable[[str], str],
) -> None:
    url = service_database("binding")
    asyncio.run(with_old_months(url, (OUTBOX, INBOX), unsent=True))
    kept = OLD.next.partition_of("outbox_event")
    for arguments in (("--dry-run",), ()):
        done = purge("binding", url, *arguments)
        assert done.exit_code == 1, done.output
        assert f"REFUSED {kept}, " in done.output
        assert "it holds 1 events that are unsent" in done.output
    left = asyncio.run(tables(url))
    assert kept in left
    assert not left & {OLD.partition_of("outbox_event"), *partitions(INBOX, OLD, OLD.next)}


def test_the_policy_decides_and_one_that_loses_something_is_refused(service_database: Callable[[str], str]) -> None:
    url = service_database("settlement")
    asyncio.run(with_old_months(url, (OUTBOX, INBOX)))
    done = purge("settlement", url, "--dry-run", GONGJI_INBOX_KEPT_DAYS="1000")
    assert (done.exit_code, done.output.count("would drop")) == (0, 2), done.output
    refused = purge("settlement", url, GONGJI_INBOX_KEPT_DAYS="400")
    assert refused.exit_code == 2
    assert OLD.partition_of("inbox") in asyncio.run(tables(url))


def test_what_was_purged_is_said_when_it_is_to_be_published_again(service_database: Callable[[str], str]) -> None:
    url, told = service_database("notify"), "purged; it cannot be published again"
    asyncio.run(with_old_months(url, (OUTBOX, INBOX)))
    assert purge("notify", url).exit_code == 0
    for since, expected in ((OLD.begins_at, True), (OLD.later(2).begins_at, False)):
        command = ("republish", "--by", "wang", "--since", since.isoformat())
        done = run("notify", url, *command, GONGJI_KAFKA_BOOTSTRAP="127.0.0.1:1")  # nothing is left, so nobody is asked
        assert (done.exit_code, told in done.output) == (0, expected), done.output


def test_as_a_process_it_needs_its_database_alone(service_database: Callable[[str], str]) -> None:
    url = service_database("identity")
    done = subprocess.run(
        [sys.executable, "-m", "identity", "purge", "--dry-run"],
        env={**environ(url), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "  stays: outbox_event_before to " in done.stdout
