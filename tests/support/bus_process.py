"""A relay or a consumer as a process: `python -m support.bus_process ROLE NAME DATABASE_URL BOOTSTRAP TOPIC`.

It can be told to die or to stand still at the worst moment. SIGUSR1: die by SIGKILL once what was done is safe and
before anybody is told so. SIGUSR2: stand still by SIGSTOP with work in hand, until SIGCONT.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from uuid import UUID

from kit.db import Database
from kit.events import Envelope, StoredEvent
from kit.inbox import PostgresInbox
from kit.kafka import Consumer, KafkaAddress, Tuning
from kit.relay import Relay
from kit.relay_publisher import Publisher
from kit.testing import patient_database
from kit.testing_events import SampleTopic

GROUP = "recorder"
LEASE_SECONDS = 2.0
ROUND_SECONDS = 3.0
RECORDED = """
CREATE TABLE delivery (
    position bigint      GENERATED ALWAYS AS IDENTITY,
    consumer text        NOT NULL,
    key      text        NOT NULL,
    sequence bigint      NOT NULL,
    is_first boolean     NOT NULL,
    at       timestamptz NOT NULL DEFAULT clock_timestamp()
);
"""
_RECORD = """
INSERT INTO delivery (consumer, key, sequence, is_first)
SELECT $1, * FROM unnest($2::text[], $3::bigint[], $4::boolean[])
"""


class Fuse:
    """Lit by a signal from outside, goes off at the moment that the process reaches."""

    def __init__(self) -> None:
        self._dies = False
        self._stands_still = False
        self.told_to_stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGUSR1, self._light_death)
        loop.add_signal_handler(signal.SIGUSR2, self._light_standstill)
        loop.add_signal_handler(signal.SIGTERM, self.told_to_stop.set)

    def _light_death(self) -> None:
        self._dies = True

    def _light_standstill(self) -> None:
        self._stands_still = True

    def work_in_hand(self) -> None:
        """The moment after work was taken and before any of it is done."""
        if self._stands_still:
            self._stands_still = False
            os.kill(os.getpid(), signal.SIGSTOP)

    def done_and_untold(self) -> None:
        """The moment after work was done and before it is acknowledged."""
        if self._dies:
            os.kill(os.getpid(), signal.SIGKILL)


class FusedPublisher(Publisher):
    """Has both moments around each round."""

    def __init__(self, kafka: KafkaAddress, name: str, fuse: Fuse) -> None:
        super().__init__(kafka, name, round_timeout_seconds=ROUND_SECONDS)
        self._fuse = fuse

    async def publish(self, rows: Sequence[StoredEvent]) -> list[int]:
        self._fuse.work_in_hand()
        confirmed = await super().publish(rows)
        self._fuse.done_and_untold()
        return confirmed


class Recorder:
    """Writes down each event that it is given, and whether it is new, with an inbox as every subscriber has."""

    def __init__(self, name: str, database: Database, fuse: Fuse) -> None:
        self._name = name
        self._database = database
        self._fuse = fuse

    async def handle(self, envelopes: Sequence[Envelope]) -> None:
        self._fuse.work_in_hand()
        async with self._database.transaction() as transaction:
            new = await PostgresInbox(transaction).first_time(GROUP, [envelope.id for envelope in envelopes])
            firsts = [_taken(new, envelope) for envelope in envelopes]
            keys = [envelope.key for envelope in envelopes]
            numbers = [envelope.sequence for envelope in envelopes]
            await transaction.raw.execute(_RECORD, self._name, keys, numbers, firsts)
        self._fuse.done_and_untold()


def _taken(new: set[UUID], envelope: Envelope) -> bool:
    """Whether it is new; of doubles in one batch the first is."""
    if envelope.id not in new:
        return False
    new.remove(envelope.id)
    return True


async def consume(name: str, database: Database, kafka: KafkaAddress, topic: SampleTopic) -> None:
    """Record until SIGTERM."""
    fuse = Fuse()
    recorder = Recorder(name, database, fuse)
    tuning = Tuning(max_records=50)  # so that at any moment something is left to do
    consumer = Consumer(kafka, [topic.name], GROUP, recorder.handle, tuning=tuning, catalogue=topic.catalogue)
    await consumer.start()
    await fuse.told_to_stop.wait()
    await consumer.stop()


async def relay(name: str, database: Database, url: str, kafka: KafkaAddress) -> None:
    """Publish until SIGTERM."""
    fuse = Fuse()
    publisher = FusedPublisher(kafka, name, fuse)
    running = Relay(database, url, kafka, name, publisher=publisher, lease_seconds=LEASE_SECONDS, poll_seconds=0.2)
    task = asyncio.create_task(running.run())
    await fuse.told_to_stop.wait()
    await running.stop()
    await task


async def main(role: str, name: str, url: str, bootstrap: str, topic: str) -> None:
    """Be a relay or a consumer."""
    database, kafka = patient_database(url, 2), KafkaAddress(bootstrap)
    try:
        if role == "relay":
            await relay(name, database, url, kafka)
        else:
            await consume(name, database, kafka, SampleTopic(name=topic))
    finally:
        await database.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
