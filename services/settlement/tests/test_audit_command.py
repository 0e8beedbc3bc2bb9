"""`settlement audit` as an operator runs it."""

import asyncio
from pathlib import Path

import asyncpg
import pytest
from prometheus_client import REGISTRY
from typer.testing import CliRunner

from kit.audit_results import AuditResults
from kit.db import Database
from kit.testing_tls import Pki
from settlement.cli import app


@pytest.fixture
def environment(database_url: str) -> dict[str, str]:
    """All that an audit demands."""
    return {"GONGJI_ENVIRONMENT": "test", "GONGJI_DATABASE_URL": database_url}


def run(database_url: str, statement: str, *values: object) -> None:
    async def execute() -> None:
        connection = await asyncpg.connect(database_url)
        try:
            await connection.execute(statement, *values)
        finally:
            await connection.close()

    asyncio.run(execute())


def test_a_clean_audit_prints_its_table_and_ends_with_status_0(environment: dict[str, str]) -> None:
    ended = CliRunner().invoke(app, ["audit"], env=environment)
    assert ended.exit_code == 0, ended.output
    assert "postings sum to zero" in ended.output
    assert "binding was not asked" in ended.output
    assert ended.output.endswith("the books are in order\n")


def test_a_finding_is_printed_and_ends_with_status_1(environment: dict[str, str]) -> None:
    run(environment["GONGJI_DATABASE_URL"], "INSERT INTO account (psn_no, balance_fen) VALUES ('father', 5)")
    ended = CliRunner().invoke(app, ["audit"], env=environment)
    assert ended.exit_code == 1, ended.output
    assert "  father: the balance is 5 fen, the entries sum to 0\n" in ended.output


@pytest.fixture
def silent_binding(environment: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """Where binding should be, nobody is."""
    mine = Pki(tmp_path).service("settlement")
    return environment | {
        "GONGJI_BINDING_TARGET": "127.0.0.1:1",
        "GONGJI_BINDING_TIMEOUT_SECONDS": "0.5",
        "GONGJI_TLS_CERT_FILE": str(mine.cert),
        "GONGJI_TLS_KEY_FILE": str(mine.key),
        "GONGJI_SERVICE_CA_FILE": str(mine.ca),
    }


def test_what_was_found_is_told_also_when_binding_is_away(silent_binding: dict[str, str]) -> None:
    run(silent_binding["GONGJI_DATABASE_URL"], "INSERT INTO account (psn_no, balance_fen) VALUES ('father', 5)")
    ended = CliRunner().invoke(app, ["audit"], env=silent_binding)
    assert ended.exit_code == 1, ended.output
    assert "  father: the balance is 5 fen, the entries sum to 0\n" in ended.output
    assert "NOT COMPLETE: binding did not say what it holds" in ended.output


def test_what_is_pending_here_is_told_also_when_binding_is_away(silent_binding: dict[str, str]) -> None:
    ended = CliRunner().invoke(app, ["pending"], env=silent_binding)
    assert ended.exit_code == 1, ended.output
    assert "settlements and previews PENDING: 0\n" in ended.output
    assert "holds at binding that are decided here: not known\n  binding did not say what it holds" in ended.output


@pytest.mark.parametrize(("age_seconds", "status"), [(60, 0), (141, 1)])
def test_pending_is_a_finding_only_when_the_sweeper_should_have_been_there(
    environment: dict[str, str], age_seconds: int, status: int
) -> None:
    run(
        environment["GONGJI_DATABASE_URL"],
        """
        INSERT INTO settlement (id, fixmedins_code, msgid, body_hash, state, psn_no, medfee_sumamt_fen,
                                fund_pay_sumamt_fen, psn_part_amt_fen, hosp_part_amt_fen, created_at)
        VALUES (gen_random_uuid(), 'H65270100001', 'm1', '', 'PENDING', 'child', 1, 0, 1, 0,
                clock_timestamp() - make_interval(secs => $1))
        """,
        float(age_seconds),
    )
    environment["GONGJI_SWEEP_AGE_SECONDS"], environment["GONGJI_SWEEP_EVERY_SECONDS"] = "20", "60"
    ended = CliRunner().invoke(app, ["audit"], env=environment)
    assert ended.exit_code == status, ended.output


def figures(database_url: str) -> tuple[float | None, float]:
    """What a serving process would tell of the last audit: findings of balances, and when it was complete."""

    async def read() -> None:
        database = Database(database_url, 1)
        try:
            await AuditResults(database)()
        finally:
            await database.close()

    asyncio.run(read())
    found = REGISTRY.get_sample_value(
        "gongji_audit_findings", {"check": "a balance is the sum of its entries, never negative"}
    )
    return found, REGISTRY.get_sample_value("gongji_audit_last_complete_seconds") or 0.0


def test_what_an_audit_found_is_told_to_prometheus_until_the_next_one(environment: dict[str, str]) -> None:
    url = environment["GONGJI_DATABASE_URL"]
    assert figures(url) == (None, 0.0)
    CliRunner().invoke(app, ["audit"], env=environment)
    clean, first = figures(url)
    assert (clean, first > 0) == (0, True)
    run(url, "INSERT INTO account (psn_no, balance_fen) VALUES ('father', 5)")
    CliRunner().invoke(app, ["audit"], env=environment)
    found, second = figures(url)
    assert (found, second > first) == (1, True)


def test_an_audit_that_was_not_complete_is_told_as_none(silent_binding: dict[str, str]) -> None:
    url = silent_binding["GONGJI_DATABASE_URL"]
    CliRunner().invoke(app, ["audit"], env=silent_binding)
    assert figures(url) == (0, 0.0)
