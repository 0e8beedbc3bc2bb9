"""A history of accounts with everything that a consumer may meet, and what has to be told of it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from aiokafka import AIOKafkaProducer  # type: ignore[import-untyped]
from google.protobuf.message import Message
from support.bus import stored

from gongji.settlement.events.v1 import account_events_pb2 as events
from kit.clock import SHANGHAI
from kit.dead_letters import KafkaDeadLetterQueue, StoredRecord
from kit.events import StoredEvent, UnreadableEventError, headers_of
from kit.kafka_client import KafkaAddress

TOPIC: Final = "account-events-v1"
TODAY: Final = datetime.now(SHANGHAI).replace(hour=0, minute=0, second=0, microsecond=0)
YESTERDAY: Final = TODAY - timedelta(hours=12)
BEFORE: Final = "6527010000000000"
"""All numbers of persons here begin so; the last four digits tell them apart."""

PLAIN, TWICE, GAP, LATER, TORN, RESTORED, LATE, BARE, DAYS = (BEFORE + f"{number}" for number in range(1001, 1010))


@dataclass(frozen=True, slots=True)
class Published:
    """A record on the topic."""

    key: str
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]
    at: datetime


def event(message: Message, *, epoch: int = 1) -> StoredEvent:
    """An event as settlement's outbox has it."""
    account: Any = message
    return replace(stored(message, account.psn_no), sequence=account.sequence, epoch=epoch)


def credited(psn_no: str, sequence: int, balance_fen: int, *, epoch: int = 1) -> StoredEvent:
    """A contribution came in."""
    message = events.AccountCredited(psn_no=psn_no, sequence=sequence, amount_fen=100, balance_after_fen=balance_fen)
    return event(message, epoch=epoch)


def debited(psn_no: str, sequence: int, balance_fen: int) -> StoredEvent:
    """A bill was paid."""
    message = events.AccountDebited(psn_no=psn_no, sequence=sequence, amount_fen=100, balance_after_fen=balance_fen)
    return event(message)


def published(row: StoredEvent, at: datetime = YESTERDAY) -> Published:
    """The event as the relay publishes it."""
    return Published(row.key, row.payload, headers_of(row), at)


def yesterdays() -> list[Published]:
    """Everything that may happen, before midnight."""
    twice = credited(TWICE, 1, 100)
    praised = replace(credited(LATER, 2, 0), type="gongji.settlement.events.v1.AccountPraised")
    torn = replace(debited(TORN, 2, 50), payload=b"\xff\xff\xff")
    rows = [
        *(credited(PLAIN, 1, 100), debited(PLAIN, 2, 0)),
        *(twice, twice, debited(TWICE, 2, 60), twice),
        *(credited(GAP, 1, 100), credited(GAP, 3, 300), credited(GAP, 6, 600)),
        *(credited(LATER, 1, 100), praised, debited(LATER, 3, 70)),
        *(credited(TORN, 1, 100), torn, debited(TORN, 3, 40)),
        *(credited(RESTORED, number, 100 * number) for number in (1, 2, 3)),
        *(credited(RESTORED, number, 1000 * number, epoch=2) for number in (2, 3)),
        *(credited(LATE, 3, 300), credited(LATE, 2, 200)),
        credited(DAYS, 1, 100),
    ]
    foreign = Published(BARE, b"what is this", [("ce_id", None)], YESTERDAY)
    tombstone = Published(PLAIN, None, [], YESTERDAY)
    return [*map(published, rows), foreign, tombstone]


def todays() -> list[Published]:
    """From midnight on."""
    return [
        published(debited(DAYS, 2, 90), TODAY),
        published(debited(PLAIN, 3, 5), TODAY + timedelta(seconds=1)),
        published(debited(DAYS, 3, 80), TODAY + timedelta(seconds=2)),
    ]


TOLD: Final = {
    PLAIN: ["1 AccountCredited, balance 100 fen", "2 AccountDebited, balance 0 fen", "3 AccountDebited, balance 5 fen"],
    TWICE: ["1 AccountCredited, balance 100 fen", "repeat of 1", "2 AccountDebited, balance 60 fen", "repeat of 1"],
    GAP: [
        "1 AccountCredited, balance 100 fen",
        "gap: 2 to 2 never came",
        "3 AccountCredited, balance 300 fen",
        "gap: 4 to 5 never came",
        "6 AccountCredited, balance 600 fen",
    ],
    LATER: [
        "1 AccountCredited, balance 100 fen",
        "2 passed over: AccountPraised",
        "3 AccountDebited, balance 70 fen",
    ],
    TORN: [
        "1 AccountCredited, balance 100 fen",
        "set aside: the payload is no AccountDebited",
        "3 AccountDebited, balance 40 fen",
    ],
    RESTORED: [
        *(f"{number} AccountCredited, balance {100 * number} fen" for number in (1, 2, 3)),
        "restored from a backup: from 2 on it is told anew",
        *(f"{number} AccountCredited, balance {1000 * number} fen" for number in (2, 3)),
    ],
    LATE: ["3 AccountCredited, balance 300 fen", "late 2"],
    BARE: ["set aside: ce_id is missing or malformed"],
    DAYS: [
        "1 AccountCredited, balance 100 fen",
        "2 AccountDebited, balance 90 fen",
        "3 AccountDebited, balance 80 fen",
    ],
}
"""What has to be told of each account, in this order, by whoever reads everything for the first time."""

AGAIN: Final = {
    PLAIN: ["repeat of 1", "repeat of 2", "repeat of 3"],
    TWICE: ["repeat of 1", "repeat of 1", "repeat of 2", "repeat of 1"],
    GAP: ["repeat of 1", "repeat of 3", "repeat of 6"],
    LATER: ["repeat of 1", "repeat of 2", "repeat of 3"],
    TORN: ["repeat of 1", "repeat of 2", "repeat of 3"],
    RESTORED: [f"repeat of {number}" for number in (1, 2, 3, 2, 3)],
    LATE: ["repeat of 3", "repeat of 2"],
    BARE: TOLD[BARE],
    DAYS: ["repeat of 1", "repeat of 2", "repeat of 3"],
}
"""What has to be told by whoever reads everything once more."""

TOLD_TODAY: Final = {PLAIN: TOLD[PLAIN][2:], DAYS: TOLD[DAYS][1:]}
"""What has to be told by whoever begins with today."""

MISSING: Final = [(GAP, 2, 2), (GAP, 4, 5)]
"""What never came of which account, first and last."""

BALANCES: Final = {PLAIN: 5, TWICE: 60, GAP: 600, LATER: 70, TORN: 40, RESTORED: 3000, LATE: 300, DAYS: 80}
"""What each account has in the end, fen."""


async def publish(bootstrap: str, records: Sequence[Published]) -> None:
    """Put records on the topic, in this order, with their times."""
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all") as producer:
        for record in records:
            at_ms = int(record.at.timestamp() * 1000)
            await producer.send_and_wait(
                TOPIC, record.value, record.key.encode(), headers=record.headers, timestamp_ms=at_ms
            )


async def bury(bootstrap: str, record: Published, consumer: str) -> None:
    """Put a record on the dead-letter topic as a consumer of Gongji's does that cannot read it."""
    dead_letters = KafkaDeadLetterQueue(KafkaAddress(bootstrap), client_id="examples")
    headers = [(name, value or b"") for name, value in record.headers]
    original = StoredRecord(TOPIC, 3, 17, record.key.encode(), record.value, headers)
    try:
        await dead_letters.bury(original, consumer, UnreadableEventError("the payload is no AccountDebited"))
    finally:
        await dead_letters.close()
