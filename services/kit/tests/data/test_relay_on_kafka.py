"""The relay and a real Kafka: order, a process that is killed between publishing and clearing, brokers out of reach."""

import asyncio
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kit.db import Database
from kit.kafka import KafkaAddress
from kit.kafka_client import new_consumer, started
from kit.relay import Relay
from kit.testing import eventually
from kit.testing_events import SampleTopic
from kit.testing_relay import Running, tell, unsent


async def read(kafka: KafkaAddress, topic: SampleTopic, count: int) -> list[Any]:
    consumer = await started(lambda: new_consumer(kafka, "test", topic.name))
    found: list[Any] = []
    async with asyncio.timeout(60):
        while len(found) < count:
            found += [record for batch in (await consumer.getmany(timeout_ms=100)).values() for record in batch]
    await consumer.stop()
    return found


def texts(records: Sequence[Any], key: str) -> list[str]:
    return [record.value.decode()[2:] for record in records if record.key == key.encode()]


async def test_on_kafka_every_key_has_its_events_in_order(
    database: Database, database_url: str, kafka: KafkaAddress, topic: SampleTopic
) -> None:
    for number in range(10):
        for key in ("a", "b", "c"):
            await tell(database, *(f"{number}.{place:02}" for place in range(30)), key=key, topic=topic)
    async with Running(Relay(database, database_url, kafka, "one")):
        records = await read(kafka, topic, 900)
    wanted = [f"{number}.{place:02}" for number in range(10) for place in range(30)]
    assert [texts(records, key) for key in ("a", "b", "c")] == [wanted] * 3
    assert await unsent(database) == 0
    headers = dict(records[0].headers)
    assert {"ce_id", "ce_type", "ce_source", "ce_subject", "ce_time", "ce_sequence", "epoch"} <= headers.keys()


KILLED = """
import asyncio, os, signal, sys
from kit.db import Database
from kit.kafka_client import KafkaAddress
from kit.relay import Relay

class Killed(Relay):
    async def _clear_and_take(self):
        if self._confirmed:
            os.kill(os.getpid(), signal.SIGKILL)
        return await super()._clear_and_take()

url, bootstrap = sys.argv[1:]
asyncio.run(Killed(Database(url), url, KafkaAddress(bootstrap), "killed", lease_seconds=1.0).run())
"""


async def test_killed_after_publishing_and_before_clearing_it_publishes_again_under_the_same_id(
    database: Database, database_url: str, kafka: KafkaAddress, topic: SampleTopic, tmp_path: Path
) -> None:
    await tell(database, "a", "b", topic=topic)
    script = tmp_path / "killed.py"
    script.write_text(KILLED, encoding="utf-8")
    process = await asyncio.create_subprocess_exec(sys.executable, str(script), database_url, kafka.kafka_bootstrap)
    assert await process.wait() == -signal.SIGKILL
    assert await unsent(database) == 2
    await tell(database, "c", topic=topic)
    async with Running(Relay(database, database_url, kafka, "next", poll_seconds=0.1)):
        records = await read(kafka, topic, 5)
    assert texts(records, "k") == ["a", "b", "a", "b", "c"]
    ids = [dict(record.headers)["ce_id"] for record in records]
    assert ids[:2] == ids[2:4]
    assert len(set(ids)) == 3


async def test_while_kafka_is_unreachable_events_wait_and_then_come_in_order(
    database: Database, database_url: str, kafka: KafkaAddress, topic: SampleTopic, unused_tcp_port: int
) -> None:
    failing = KafkaAddress(f"127.0.0.1:{unused_tcp_port}")
    async with Running(Relay(database, database_url, failing, "cut off")) as running:
        await tell(database, *(f"{number}" for number in range(5)), topic=topic)
        await eventually(lambda: running.relay._failures >= 2)
        await tell(database, *(f"{number}" for number in range(5, 9)), topic=topic)
        # Another replica reaches Kafka: the one that is cut off does not keep the lease from it.
        async with Running(Relay(database, database_url, kafka, "connected", lease_seconds=300.0, poll_seconds=0.05)):
            records = await read(kafka, topic, 9)
    assert texts(records, "k") == [f"{number}" for number in range(9)]
    assert await unsent(database) == 0
