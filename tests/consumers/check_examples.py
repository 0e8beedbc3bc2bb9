"""The consumers' examples on a real broker, by `make examples`: unlike `make test`, that needs a JDK and Maven."""

import asyncio
import signal
import sqlite3
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest
from consumers.builds import NAMES, Example, build_all
from consumers.history import (
    AGAIN,
    BALANCES,
    MISSING,
    TODAY,
    TOLD,
    TOLD_TODAY,
    TORN,
    Published,
    bury,
    publish,
    todays,
    yesterdays,
)

from kit.topic_admin import ensure_topics

SESSION_SECONDS = 45
"""How long Kafka waits, by the clients' default, for who has left without a word."""


@pytest.fixture(scope="session")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Example]:
    return build_all(tmp_path_factory.mktemp("examples"))


@pytest.fixture(params=NAMES)
def example(request: pytest.FixtureRequest, examples: Mapping[str, Example]) -> Example:
    return examples[request.param]


@pytest.fixture(scope="session")
def bootstrap(kafka_bootstrap: str) -> str:
    """A broker on which the history has happened."""
    asyncio.run(happen(kafka_bootstrap))
    return kafka_bootstrap


async def happen(bootstrap: str) -> None:
    await ensure_topics(bootstrap, 1)
    await publish(bootstrap, yesterdays())
    await publish(bootstrap, todays())
    await bury(bootstrap, torn(), "notify")


def torn() -> Published:
    return next(record for record in yesterdays() if record.value == b"\xff\xff\xff")


@pytest.fixture
def options(example: Example, bootstrap: str, tmp_path: Path) -> list[str]:
    """For a group and a state of the test's own."""
    group = f"{example.name}-{tmp_path.name}"
    return ["--bootstrap", bootstrap, "--state", str(tmp_path / "accounts.db"), "--group", group]


def masked(psn_no: str) -> str:
    return f"…{psn_no[-4:]}"


def by_account(lines: Iterable[str]) -> dict[str, list[str]]:
    """What was told of each account, in order; what is told of different accounts may come in any order."""
    told = defaultdict(list)
    for line in lines:
        account, _, what = line.partition(" ")
        told[account].append(what)
    return told


def expected(told: Mapping[str, list[str]], balances: Mapping[str, int] = BALANCES) -> dict[str, list[str]]:
    lines = {account: [*told.get(account, []), f"balance {fen} fen"] for account, fen in balances.items()}
    return {masked(account): what for account, what in {**told, **lines}.items()}


def rows(options: list[str], query: str) -> list[tuple[object, ...]]:
    with sqlite3.connect(options[3]) as database:
        return database.execute(query).fetchall()


def test_each_event_is_told_once_with_repeats_gaps_and_what_cannot_be_read(
    example: Example, options: list[str]
) -> None:
    assert by_account(example.run(*options, "--once")) == expected(TOLD)
    assert rows(options, "SELECT psn_no, first, last FROM gap") == MISSING
    assert rows(options, "SELECT why, value FROM set_aside ORDER BY value") == [
        ("ce_id is missing or malformed", b"what is this"),
        ("the payload is no AccountDebited", b"\xff\xff\xff"),
    ]


def test_who_goes_on_is_told_nothing_again_and_who_reads_everything_again_changes_nothing(
    example: Example, options: list[str]
) -> None:
    example.run(*options, "--once")
    assert by_account(example.run(*options, "--once")) == expected({})
    another = [*options[:-1], f"{options[-1]}-again"]
    assert by_account(example.run(*another, "--once")) == expected(AGAIN)
    assert rows(options, "SELECT psn_no, first, last FROM gap") == MISSING


def test_who_begins_with_a_date_is_told_what_was_published_since(example: Example, options: list[str]) -> None:
    since = [*options, "--since", f"{TODAY:%Y-%m-%d}"]
    balances = {account: BALANCES[account] for account in TOLD_TODAY}
    assert by_account(example.run(*since, "--once")) == expected(TOLD_TODAY, balances)
    assert by_account(example.run(*since, "--once")) == expected({}, balances)


def test_what_is_published_while_it_looks_for_the_date_is_not_skipped(example: Example, tmp_path: Path) -> None:
    assert example.meanwhile(tmp_path) == ["5"]


def test_who_is_interrupted_leaves_the_group_and_goes_on_where_it_was(example: Example, options: list[str]) -> None:
    with example.start(*options) as running:
        assert running.stdout
        assert running.stdout.readline()
        running.send_signal(signal.SIGINT)
        try:
            running.communicate(timeout=SESSION_SECONDS)
        finally:
            running.kill()  # nobody waits for ever for one that does not go
    assert running.returncode in {0, 128 + signal.SIGINT}
    began = time.monotonic()
    example.run(*options, "--once")
    assert time.monotonic() - began < SESSION_SECONDS / 2  # nobody waited for the session of who has left to run out
    assert sorted(rows(options, "SELECT psn_no, balance_fen FROM account")) == sorted(BALANCES.items())
    assert rows(options, "SELECT psn_no, first, last FROM gap") == MISSING


def test_a_dead_letter_says_who_failed_how_and_where(example: Example, bootstrap: str) -> None:
    assert example.run("--bootstrap", bootstrap, "--dead-letters") == [
        f"dead letter: gongji.settlement.events.v1.AccountDebited of {masked(TORN)}",
        "  x-dlq-consumer notify",
        "  x-dlq-error UnreadableEventError",
        "  x-dlq-message the payload is no AccountDebited",
        "  x-dlq-topic account-events-v1",
        "  x-dlq-partition 3",
        "  x-dlq-offset 17",
        "  x-dlq-replays 0",
    ]


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("python-")])
def test_an_example_has_the_contracts_and_no_code_of_a_service(name: str, examples: Mapping[str, Example]) -> None:
    python = examples[name].command[0]
    code = (
        "import importlib.util as u; print(*(n for n in ('gongji', 'kit', 'settlement', 'notify') if u.find_spec(n)))"
    )
    found = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603
    assert found.stdout.split() == ["gongji"]
