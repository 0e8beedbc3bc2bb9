"""What is left when a history is over, in accounts, limits and settlements, against the model."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import asyncpg
from model.families import Families
from model.replay import Replay

from gongji_local.stack import Stack

_ACCOUNTS: Final = "SELECT psn_no, balance_fen, held_fen, state, version FROM account WHERE psn_no = ANY ($1::text[])"
_VERSIONS: Final = """
SELECT account_key AS psn_no, version, amount_fen, balance_after_fen FROM entry
WHERE account_kind = 'PERSONAL' AND account_key = ANY ($1::text[])
UNION ALL SELECT psn_no, version, 0, NULL FROM account_change WHERE version > 0 AND psn_no = ANY ($1::text[])
ORDER BY 1, 2
"""
_EVENTS: Final = """
SELECT key, sequence FROM outbox_event WHERE topic = 'account-events-v1' AND key = ANY ($1::text[]) ORDER BY key, id
"""
_COUNTERS: Final = """
SELECT relation_id::text, window_kind, window_start, used_fen, held_fen FROM limit_counter
WHERE relation_id = ANY ($1::uuid[])
"""
_STATES: Final = """
SELECT msgid, state FROM settlement WHERE msgid = ANY ($1::text[])
UNION ALL SELECT msgid, state FROM quote WHERE msgid = ANY ($1::text[])
"""


Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Left:
    """What the tables say in the end."""

    accounts: Rows
    versions: Rows
    events: Rows
    counters: Rows
    states: Rows


async def what_is_left(stack: Stack, families: Families, keys: Iterable[str]) -> Left:
    """What there is, once every event has been taken in; `keys` are those of requests."""
    people = families.employees
    return Left(
        await _rows(stack, "settlement", _ACCOUNTS, people),
        await _rows(stack, "settlement", _VERSIONS, people),
        await _rows(stack, "settlement", _EVENTS, people),
        await _rows(stack, "binding", _COUNTERS, families.relation_ids),
        await _rows(stack, "settlement", _STATES, keys),
    )


def compare_endings(left: Left, families: Families, replay: Replay) -> list[str]:
    """What differs."""
    wrong = [f"{each.sent[0].key} is still held" for each in replay.cases.values() if replay.is_overdue(each.bill)]
    wrong += _accounts(replay, left.accounts)
    wrong += _sequences(left.accounts, left.versions, left.events)
    return wrong + _counters(families, replay, left.counters) + _states(replay, left.states)


async def _rows(stack: Stack, service: str, query: str, keys: Iterable[object]) -> Rows:
    connection = await asyncpg.connect(stack.info.database_url(service))
    try:
        return [dict(row) for row in await connection.fetch(query, list(keys))]
    finally:
        await connection.close()


def _accounts(replay: Replay, rows: Rows) -> list[str]:
    found = {row["psn_no"]: (row["balance_fen"], row["held_fen"], row["state"]) for row in rows}
    expected = {psn_no: (it.balance, it.held, it.state) for psn_no, it in replay.ledger.accounts.items()}
    replay.compared += len(expected)
    return [
        f"account {psn_no} is {found.get(psn_no)}, the model has {each}"
        for psn_no, each in expected.items()
        if found.get(psn_no) != each
    ]


def _sequences(accounts: Rows, versions: Rows, events: Rows) -> list[str]:
    """Versions and events count on without a gap, and balances follow from entry to entry."""
    wrong = []
    for account in accounts:
        mine = [row for row in versions if row["psn_no"] == account["psn_no"]]
        whole = list(range(1, account["version"] + 1))
        if [row["version"] for row in mine] != whole:
            wrong.append(f"versions of {account['psn_no']} have a gap")
        if [row["sequence"] for row in events if row["key"] == account["psn_no"]] != whole:
            wrong.append(f"events of {account['psn_no']} have a gap")
        balance = 0
        for row in mine:
            balance += row["amount_fen"]
            if row["balance_after_fen"] not in {None, balance}:
                wrong.append(f"the balance of {account['psn_no']} does not follow at version {row['version']}")
    return wrong


def _counters(families: Families, replay: Replay, rows: Rows) -> list[str]:
    wrong = []
    for row in rows:
        relation = replay.ledger.relations[[str(it) for it in families.relation_ids].index(row["relation_id"])]
        used, held = 0, 0
        for bill in replay.ledger.bills:
            if bill.patient == relation.patient and _is_in(row["window_kind"], row["window_start"], bill.day):
                paid = dict(bill.lines).get(relation.payer, 0)
                used += paid if bill.state == "SETTLED" else 0
                held += paid if bill.state == "HELD" else 0
        replay.compared += 1
        if (row["used_fen"], row["held_fen"]) != (used, held):
            found = (row["used_fen"], row["held_fen"])
            wrong.append(
                f"{row['window_kind']} of {relation.payer} for {relation.patient}: {found}, not {(used, held)}"
            )
    return wrong


def _is_in(kind: str, start: date, day: date) -> bool:
    first = {"DAY": day, "MONTH": day.replace(day=1), "YEAR": day.replace(month=1, day=1)}
    return kind == "TOTAL" or first[kind] == start


def _states(replay: Replay, rows: Rows) -> list[str]:
    quotes = {"HELD": "HELD", "USED": "SETTLED", "EXPIRED": "FREED", "CANCELLED": "FREED"}
    wrong = []
    for row in rows:
        if row["msgid"] not in replay.cases:
            wrong.append(f"{row['msgid']} is {row['state']}, the model knows nothing of it")
            continue
        bill = replay.cases[row["msgid"]].bill
        replay.compared += 1
        expected = {bill.state, "SETTLED"} if row["state"] == "USED" else {bill.state}
        if quotes.get(row["state"], row["state"]) not in expected:
            wrong.append(f"{row['msgid']} ends as {row['state']}, the model has {bill.state}")
    return wrong
