"""What is done with an event, whichever client brought it: its effect, once, in one transaction with its `ce_id`."""

import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError

from gongji.settlement.events.v1 import account_events_pb2

TYPES = {
    f"gongji.settlement.events.v1.{name}": kind
    for name, kind in vars(account_events_pb2).items()
    if name.startswith("Account")
}
"""What this consumer understands. Types that come later are passed over."""

ANY, NUMBER = re.compile(".+"), re.compile("[0-9]{1,18}")
REQUIRED = {"ce_id": ANY, "ce_type": ANY, "epoch": NUMBER, "ce_sequence": NUMBER}

SCHEMA = """
-- The ids of all events that had their effect. Keep them longer than the topic keeps its records.
CREATE TABLE IF NOT EXISTS inbox (ce_id TEXT PRIMARY KEY) WITHOUT ROWID;
-- How far each account has come, and its balance then.
CREATE TABLE IF NOT EXISTS account (
    psn_no TEXT PRIMARY KEY, epoch INTEGER NOT NULL, sequence INTEGER NOT NULL, balance_fen INTEGER
);
-- What never came, for a person to look at.
CREATE TABLE IF NOT EXISTS gap (psn_no TEXT NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL);
-- What could not be read, as it came, for a person to look at.
CREATE TABLE IF NOT EXISTS set_aside (topic TEXT, part INTEGER, place INTEGER, why TEXT, value BLOB,
                                      PRIMARY KEY (topic, part, place));
"""


@dataclass(frozen=True, slots=True)
class Record:
    """A record, as every client has it."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Mapping[str, str]

    @property
    def owner(self) -> str:
        """psn_no of the account's owner."""
        return (self.key or b"").decode(errors="replace")

    @property
    def short_type(self) -> str:
        """The event's type without its package."""
        return self.headers["ce_type"].rpartition(".")[2]


class UnreadableError(Exception):
    """The record is no event of the contract."""


class Books:
    """The accounts' balances as the events tell them, in SQLite."""

    def __init__(self, file: Path) -> None:
        self._database = sqlite3.connect(file, isolation_level=None)
        self._database.executescript(SCHEMA)

    def take(self, records: Sequence[Record]) -> list[str]:
        """Give all records their effect in one transaction, and tell of each. Acknowledge them after this returned."""
        with self._transaction():
            return [line for record in records for line in self._one(record)]

    def balances(self) -> list[str]:
        """Every account's balance."""
        rows = self._database.execute(
            "SELECT psn_no, balance_fen FROM account WHERE balance_fen IS NOT NULL ORDER BY 1"
        )
        return [f"{mask(psn_no)} balance {balance_fen} fen" for psn_no, balance_fen in rows]

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._database.execute("BEGIN IMMEDIATE")
        with self._database:  # commits, or rolls back
            yield

    def _one(self, record: Record) -> Iterator[str]:
        if record.value is None:
            return  # a tombstone; these topics have none today
        try:
            yield from self._event(record)
        except UnreadableError as error:
            self._database.execute(
                "INSERT INTO set_aside VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                (record.topic, record.partition, record.offset, str(error), record.value),
            )
            yield f"{mask(record.owner)} set aside: {error}"

    def _event(self, record: Record) -> Iterator[str]:
        ce_id, epoch, sequence = identity_of(record)
        new = self._database.execute("INSERT INTO inbox VALUES (?) ON CONFLICT DO NOTHING", (ce_id,)).rowcount
        if not new:
            yield f"{mask(record.owner)} repeat of {sequence}"
            return
        known = self._database.execute("SELECT epoch, sequence FROM account WHERE psn_no = ?", (record.owner,))
        place = known.fetchone()
        if place and (epoch, sequence) <= place:
            yield f"{mask(record.owner)} late {sequence}"  # what came since says more
            return
        yield from self._count(record.owner, place, epoch, sequence)
        yield self._effect(record, sequence)

    def _count(self, owner: str, place: tuple[int, int] | None, epoch: int, sequence: int) -> Iterator[str]:
        """Move the account on, and see whether anything is missing before this event."""
        if place and epoch > place[0]:
            yield f"{mask(owner)} restored from a backup: from {sequence} on it is told anew"
        if place and sequence > place[1] + 1:
            self._database.execute("INSERT INTO gap VALUES (?, ?, ?)", (owner, place[1] + 1, sequence - 1))
            yield f"{mask(owner)} gap: {place[1] + 1} to {sequence - 1} never came"
        self._database.execute(
            "INSERT INTO account (psn_no, epoch, sequence) VALUES (?, ?, ?) "
            "ON CONFLICT (psn_no) DO UPDATE SET epoch = excluded.epoch, sequence = excluded.sequence",
            (owner, epoch, sequence),
        )

    def _effect(self, record: Record, sequence: int) -> str:
        message = decoded(record)
        if message is None:
            return f"{mask(record.owner)} {sequence} passed over: {record.short_type}"
        self._database.execute(
            "UPDATE account SET balance_fen = ? WHERE psn_no = ?", (message.balance_after_fen, record.owner)
        )
        return f"{mask(record.owner)} {sequence} {record.short_type}, balance {message.balance_after_fen} fen"


def identity_of(record: Record) -> tuple[str, int, int]:
    """`ce_id`, `epoch` and `ce_sequence`. From the headers, so that also what is not understood is counted."""
    for name, pattern in REQUIRED.items():
        if not pattern.fullmatch(record.headers.get(name, "")):
            raise UnreadableError(f"{name} is missing or malformed")
    return record.headers["ce_id"], int(record.headers["epoch"]), int(record.headers["ce_sequence"])


def decoded(record: Record) -> Any:
    """The message, or None of a type that came later than this consumer."""
    kind = TYPES.get(record.headers["ce_type"])
    if kind is None:
        return None
    try:
        return kind.FromString(record.value)
    except DecodeError:
        raise UnreadableError(f"the payload is no {record.short_type}") from None


def mask(psn_no: str) -> str:
    """Numbers of persons are in no log."""
    return f"…{psn_no[-4:]}"


def dead_letter(record: Record) -> list[str]:
    """What a record of a dead-letter topic says: who failed on it, how, and where it was."""
    told = [f"  {name} {value}" for name, value in record.headers.items() if name.startswith("x-dlq-")]
    return [f"dead letter: {record.headers.get('ce_type', 'no event')} of {mask(record.owner)}", *told]
