"""Figures are asked for one after the other, and one that cannot be had keeps no other from being told."""

import asyncio
from collections import Counter
from uuid import uuid4

import pytest
from prometheus_client import REGISTRY

from kit.dead_letters import StoredRecord
from kit.dlq_actions import Action, Deed, MemoryActions
from kit.dlq_letters import MemoryDeadLetters
from kit.dlq_replay import Looking
from kit.dlq_sampling import OpenLetters
from kit.inbox import MemoryInbox
from kit.sampling import Sampler
from kit.testing import MemoryWork


class Bench:
    """Letters of two groups in memory."""

    def __init__(self) -> None:
        self.group, self.other = f"group-{uuid4().hex[:8]}", f"other-{uuid4().hex[:8]}"
        self.letters = MemoryDeadLetters()
        self.actions = MemoryActions(MemoryInbox())
        self.closed = 0
        looking = Looking(self.letters, MemoryWork(self.actions), [self.group])
        self.probe = OpenLetters(looking, {self.group: ["account-events-v1", "binding-events-v1"]}, self.close)

    async def close(self) -> None:
        self.closed += 1

    async def bury(self, topic: str, group: str) -> None:
        record = StoredRecord(topic, 0, len(self.letters.letters), b"key", b"value", [])
        await self.letters.bury(record, group, ValueError("no"))

    def told(self, topic: str) -> float | None:
        return REGISTRY.get_sample_value("gongji_dlq_open_letters", {"group": self.group, "topic": topic})


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_an_empty_dlq_is_told_as_empty(bench: Bench) -> None:
    await bench.probe()
    assert (bench.told("account-events-v1"), bench.told("binding-events-v1"), bench.closed) == (0, 0, 1)


async def test_open_letters_of_the_services_own_groups_are_counted_by_topic(bench: Bench) -> None:
    for topic, group in (
        ("account-events-v1", bench.group),
        ("account-events-v1", bench.group),
        ("account-events-v1", bench.other),
        ("binding-events-v1", bench.group),
    ):
        await bench.bury(topic, group)
    await bench.probe()
    assert (bench.told("account-events-v1"), bench.told("binding-events-v1")) == (2, 1)


async def test_what_was_dropped_is_not_open_any_more(bench: Bench) -> None:
    await bench.bury("account-events-v1", bench.group)
    await bench.probe()
    assert bench.told("account-events-v1") == 1
    await bench.actions.add(bench.letters.letters[0], Deed(Action.DROPPED, "operator", "tried"))
    await bench.probe()
    assert bench.told("account-events-v1") == 0


async def test_a_probe_that_fails_keeps_no_other_from_being_asked() -> None:
    asked: Counter[str] = Counter()
    enough = asyncio.Event()

    async def broken() -> None:
        asked["broken"] += 1
        raise ConnectionError

    async def fine() -> None:
        asked["fine"] += 1
        if asked["fine"] == 2:
            enough.set()

    running = asyncio.create_task(Sampler(broken, fine, every_seconds=0, first_seconds=0).run())
    await asyncio.wait_for(enough.wait(), 5)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert asked["broken"] >= 2
