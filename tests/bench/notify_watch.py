"""What `make bench-notify` looks at: when events were written, kept and handed over, and the CPU that it took."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import aiohttp
import asyncpg
import psutil
from bench import cpu
from bench.notify_gateway import COUNTS, TIMES

from gongji_local.stack import Stack

_WRITTEN: Final = """
SELECT event_id, extract(epoch FROM created_at)::float8 AS at FROM outbox_event
WHERE id > $1 AND topic = 'account-events-v1'
"""
_KEPT: Final = """
SELECT event_id, extract(epoch FROM created_at)::float8 AS at FROM message WHERE event_id = ANY ($1::uuid[])
"""
_DELIVERIES: Final = "SELECT delivery_id, event_id FROM delivery WHERE event_id = ANY ($1::uuid[])"
_UNRECORDED: Final = "SELECT count(*) FROM delivery WHERE state = 'QUEUED'"


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds since 1970 by event: its row in the outbox, its message in the inbox, its hand-over to the gateway."""

    written: Mapping[UUID, float]
    kept: Mapping[UUID, float]
    handed_over: Mapping[UUID, float]


class Looking:
    """Asks both databases and the gateway (`http://HOST:PORT`)."""

    def __init__(self, settlement: asyncpg.Connection, notify: asyncpg.Connection, gateway: str) -> None:
        self._settlement = settlement
        self._notify = notify
        self._gateway = gateway

    async def last_event(self) -> int:
        """The id of the newest row of settlement's outbox; those that come later have higher ones."""
        last: int = await self._settlement.fetchval("SELECT coalesce(max(id), 0) FROM outbox_event")
        return last

    async def count_written(self, after: int) -> int:
        """How many events were written after that row."""
        return len(await self._settlement.fetch(_WRITTEN, after))

    async def unpublished(self) -> int:
        """How many of its rows the relay has not published."""
        count: int = await self._settlement.fetchval("SELECT count(*) FROM outbox_unsent")
        return count

    async def messages(self) -> int:
        """How many messages there are."""
        count: int = await self._notify.fetchval("SELECT count(*) FROM message")
        return count

    async def unrecorded(self) -> int:
        """How many deliveries are QUEUED, those included that the gateway has and notify has not recorded."""
        count: int = await self._notify.fetchval(_UNRECORDED)
        return count

    async def counts(self) -> dict[str, int]:
        """How many keys the gateway has seen, and how many doubles."""
        return {name: int(count) for name, count in (await self._ask(COUNTS)).items()}

    async def times(self, after: int) -> Times:
        """When each event after that row was where."""
        written = {row["event_id"]: row["at"] for row in await self._settlement.fetch(_WRITTEN, after)}
        kept = {row["event_id"]: row["at"] for row in await self._notify.fetch(_KEPT, list(written))}
        taken = await self._ask(TIMES)
        handed_over = {
            row["event_id"]: float(taken[str(row["delivery_id"])])
            for row in await self._notify.fetch(_DELIVERIES, list(written))
            if str(row["delivery_id"]) in taken
        }
        return Times(written, kept, handed_over)

    async def _ask(self, path: str) -> Mapping[str, float]:
        async with aiohttp.ClientSession() as session, session.get(self._gateway + path) as answer:
            found: dict[str, float] = await answer.json()
            return found


class CpuSeconds:
    """CPU seconds of every process that has a part in it."""

    def __init__(self, stack: Stack, server: psutil.Process, gateway_pid: int) -> None:
        self._stack = stack
        self._postgres = server
        self._others = {"gateway": psutil.Process(gateway_pid), "generator": psutil.Process()}
        kafka = next((status.pid for status in stack.status() if status.name == "kafka"), None)
        if kafka is not None:
            self._others["kafka"] = psutil.Process(kafka)

    def so_far(self) -> dict[str, float]:
        """By process; a service that does not run has 0."""
        spent = {name: cpu.own(process) for name, process in self._others.items()}
        spent["postgres"] = cpu.whole(self._postgres)
        for name in ("settlement", "notify"):
            service = self._stack.info.services[name]
            spent[name] = cpu.own(psutil.Process(service.pid)) if service.pid is not None else 0.0
        return spent


def each_ms(before: Mapping[str, float], after: Mapping[str, float], events: int) -> dict[str, float]:
    """Milliseconds of CPU for each event, by process."""
    return {name: round((after[name] - before[name]) * 1000 / max(1, events), 3) for name in sorted(after)}


def missing(wanted: Collection[UUID], arrived: Collection[UUID]) -> int:
    """How many did not arrive."""
    return len(set(wanted) - set(arrived))
