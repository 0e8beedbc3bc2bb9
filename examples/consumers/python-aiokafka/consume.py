"""Reads account-events-v1 with aiokafka. docs/consuming.md tells what is worth copying, and why.

python consume.py --bootstrap HOST:PORT --since 2025-06-10
python consume.py --bootstrap HOST:PORT --dead-letters
"""

import asyncio
from argparse import ArgumentParser, Namespace
from collections.abc import Collection, Iterable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import CommitFailedError
from books import Books, Record, dead_letter

TOPIC = "account-events-v1"


class Since(ConsumerRebalanceListener):
    """Begins with what was published at or after a moment, where the group has not been before."""

    def __init__(self, consumer: Any, at_ms: int) -> None:
        self._consumer = consumer
        self._at_ms = at_ms

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """Look for the first record of that time in each partition; what has none yet begins at its end."""
        new = [place for place in assigned if await self._consumer.committed(place) is None]
        if not new:
            return
        ends = await self._consumer.end_offsets(new)  # first, or what is published in between is skipped
        found = await self._consumer.offsets_for_times(dict.fromkeys(new, self._at_ms))
        for place in new:
            self._consumer.seek(place, found[place].offset if found[place] else ends[place])

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        """Nothing: each batch is committed before the next is asked for."""


async def follow(options: Namespace) -> None:
    """Take events for as long as it runs, or until there are no more."""
    books = Books(options.state)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=options.bootstrap,
        group_id=options.group,
        enable_auto_commit=False,  # or what was not yet written counts as done
        auto_offset_reset="earliest",  # the default skips what was there before the group
    )
    listener = Since(consumer, midnight_ms(options.since)) if options.since else None
    consumer.subscribe([TOPIC], listener=listener)
    async with consumer:
        while not (options.once and await is_at_end(consumer)):
            batches = await consumer.getmany(timeout_ms=500, max_records=500)
            if batches:
                tell(books.take([as_record(raw) for batch in batches.values() for raw in batch]))
                await acknowledge(consumer)
    tell(books.balances())


async def acknowledge(consumer: Any) -> None:
    """Commit, last: what comes again, after a crash or because others have the partition now, is known by its ce_id."""
    try:
        await consumer.commit()
    except CommitFailedError as error:
        tell([f"not committed, so it comes again: {type(error).__name__}"])


async def is_at_end(consumer: Any) -> bool:
    """Whether it has partitions and has read all of them."""
    ends = await consumer.end_offsets(consumer.assignment()) if consumer.assignment() else {}
    return bool(ends) and all([await consumer.position(place) >= end for place, end in ends.items()])


async def show_dead_letters(options: Namespace) -> None:
    """Print what Gongji's own consumers could not handle; without a group, so nothing is acknowledged."""
    consumer = AIOKafkaConsumer(f"{TOPIC}-dlq", bootstrap_servers=options.bootstrap, auto_offset_reset="earliest")
    async with consumer:
        while not await is_at_end(consumer):
            for batch in (await consumer.getmany(timeout_ms=500)).values():
                for raw in batch:
                    tell(dead_letter(as_record(raw)))


def as_record(raw: Any) -> Record:
    """What aiokafka brought."""
    headers = {name: (value or b"").decode(errors="replace") for name, value in raw.headers}
    return Record(raw.topic, raw.partition, raw.offset, raw.key, raw.value, headers)


def midnight_ms(day: str) -> int:
    """The beginning of a day in Asia/Shanghai, in Kafka's milliseconds."""
    return int(datetime.fromisoformat(day).replace(tzinfo=ZoneInfo("Asia/Shanghai")).timestamp() * 1000)


def tell(lines: Iterable[str]) -> None:
    """Print."""
    for line in lines:
        print(line, flush=True)


def arguments() -> Namespace:
    """The command line."""
    parser = ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--bootstrap", required=True, help="HOST:PORT of a broker")
    parser.add_argument("--group", default="example-aiokafka", help="consumer group; never change it later")
    parser.add_argument("--state", type=Path, default=Path("accounts.db"), help="SQLite file")
    parser.add_argument("--since", help="YYYY-MM-DD where to begin; keep it, it counts where the group was never")
    parser.add_argument("--once", action="store_true", help="end when nothing is left to read")
    parser.add_argument("--dead-letters", action="store_true", help="show the dead letters instead")
    return parser.parse_args()


if __name__ == "__main__":
    chosen = arguments()
    with suppress(KeyboardInterrupt):  # the group was left by then, so others go on at once
        asyncio.run(show_dead_letters(chosen) if chosen.dead_letters else follow(chosen))
