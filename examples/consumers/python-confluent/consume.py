"""Reads account-events-v1 with confluent-kafka. docs/consuming.md tells what is worth copying, and why.

python consume.py --bootstrap HOST:PORT --since 2025-06-10
python consume.py --bootstrap HOST:PORT --dead-letters
"""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from books import Books, Record, dead_letter
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

TOPIC = "account-events-v1"


def new_consumer(options: Namespace) -> Consumer:
    """A consumer that commits only when told."""
    return Consumer(
        {
            "bootstrap.servers": options.bootstrap,
            "group.id": options.group,
            "enable.auto.commit": False,  # or what was not yet written counts as done
            "auto.offset.reset": "earliest",  # the default skips what was there before the group
            "enable.partition.eof": True,  # so that `--once` knows when to end
        }
    )


def since(at_ms: int) -> Callable[[Consumer, list[TopicPartition]], None]:
    """Begins with what was published at or after a moment, where the group has not been before."""

    def assigned(consumer: Consumer, partitions: list[TopicPartition]) -> None:
        places = consumer.committed(partitions, timeout=10)
        new = [TopicPartition(place.topic, place.partition, at_ms) for place in places if place.offset < 0]
        # First, or what is published in between is skipped.
        ends = {place.partition: consumer.get_watermark_offsets(place, timeout=10)[1] for place in new}
        found = {place.partition: place.offset for place in consumer.offsets_for_times(new, timeout=10)} if new else {}
        for place in places:
            place.offset = found.get(place.partition, place.offset)
            place.offset = place.offset if place.offset >= 0 else ends[place.partition]  # nothing of that time yet
        consumer.assign(places)

    return assigned


def follow(options: Namespace) -> None:
    """Take events for as long as it runs, or until there are no more."""
    books = Books(options.state)
    with closing(new_consumer(options)) as consumer:
        how = {"on_assign": since(midnight_ms(options.since))} if options.since else {}
        consumer.subscribe([TOPIC], **how)
        for batch in batches(consumer, once=options.once):
            tell(books.take(batch))
            acknowledge(consumer)
    tell(books.balances())


def acknowledge(consumer: Consumer) -> None:
    """Commit, last: what comes again, after a crash or because others have the partition now, is known by its ce_id."""
    try:
        consumer.commit(asynchronous=False)
    except KafkaException as error:
        tell([f"not committed, so it comes again: {error.args[0].name()}"])


def show_dead_letters(options: Namespace) -> None:
    """Print what Gongji's own consumers could not handle; nothing is acknowledged."""
    with closing(new_consumer(options)) as consumer:
        known = consumer.list_topics(f"{TOPIC}-dlq", timeout=10).topics[f"{TOPIC}-dlq"]
        consumer.assign([TopicPartition(f"{TOPIC}-dlq", number, OFFSET_BEGINNING) for number in known.partitions])
        for batch in batches(consumer, once=True):
            for record in batch:
                tell(dead_letter(record))


def batches(consumer: Consumer, *, once: bool) -> Iterator[list[Record]]:
    """What comes, in pieces; with `once` until each partition is at its end."""
    at_end: set[int | None] = set()
    while not (once and at_end and len(at_end) >= len(consumer.assignment())):
        messages = consumer.consume(500, timeout=0.5)
        at_end |= {message.partition() for message in messages if is_end(message)}
        records = [as_record(message) for message in messages if not is_end(message)]
        if records:
            yield records


def is_end(message: Message) -> bool:
    """Whether this only says that a partition has no more.

    Raises:
        KafkaException: it says that something is wrong.
    """
    error = message.error()
    if error is None:
        return False
    if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - that is its name
        return True
    raise KafkaException(error)


def as_record(message: Any) -> Record:
    """What librdkafka brought."""
    headers = {name: (value or b"").decode(errors="replace") for name, value in message.headers() or ()}
    return Record(message.topic(), message.partition(), message.offset(), message.key(), message.value(), headers)


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
    parser.add_argument("--group", default="example-confluent", help="consumer group; never change it later")
    parser.add_argument("--state", type=Path, default=Path("accounts.db"), help="SQLite file")
    parser.add_argument("--since", help="YYYY-MM-DD where to begin; keep it, it counts where the group was never")
    parser.add_argument("--once", action="store_true", help="end when nothing is left to read")
    parser.add_argument("--dead-letters", action="store_true", help="show the dead letters instead")
    return parser.parse_args()


if __name__ == "__main__":
    chosen = arguments()
    with suppress(KeyboardInterrupt):  # the group was left by then, so others go on at once
        show_dead_letters(chosen) if chosen.dead_letters else follow(chosen)
