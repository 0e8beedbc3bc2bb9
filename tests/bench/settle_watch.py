"""What `make bench` looks at while the load runs: CPU of each process, WAL and fsyncs, batches, events' delay."""

import asyncio
import re
import statistics
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import asyncpg
import psutil
from bench import cpu

from gongji_local.stack import Stack

POLL_SECONDS: Final = 0.25
_BATCHES: Final = re.compile(r'^gongji_batch_size_(sum|count)\{batcher="([a-z ]+)"\} ([0-9.e+]+)$', re.MULTILINE)
_UNSENT: Final = "SELECT count(*) FROM outbox_unsent"
_LAST_EVENT: Final = "SELECT coalesce(max(id), 0) FROM outbox_event"
_PACE_SECONDS: Final = 0.5
"""Of events as many always may wait: the relay comes round in paces."""
_READERS: Final = {"binding": "settlement-events-v1", "notify": "account-events-v1"}


def is_bounded(unsent: Sequence[int], events_per_second: float) -> bool:
    """Whether what waited, looked at again and again, ends where it was before and does not grow with time."""
    late = len(unsent) * 2 // 3
    paced = _PACE_SECONDS * events_per_second
    return statistics.median(unsent[late:]) <= max(paced, *unsent[:late]) if late else unsent[-1] <= paced


@dataclass(frozen=True, slots=True)
class Watched:
    """What a run cost, and what its events did."""

    cores: Mapping[str, float]
    """Busy cores by process."""
    memory_mib: Mapping[str, int]
    """The most that was seen of each process."""
    mean_batch: Mapping[str, float]
    wal_bytes_each: int
    fsyncs_each: float
    unsent_most: int
    """Most events that waited for the relay at any moment."""
    unsent_after: int
    """At the end of the load."""
    outbox_bounded: bool
    """Whether the relay kept up."""
    delay_p50_ms: Mapping[str, float] = field(default_factory=dict)
    delay_p99_ms: Mapping[str, float] = field(default_factory=dict)
    """By consumer, from the commit of the settlement to the commit of its effect there."""


class Watch:
    """Looks from `start` to `stop`; then `report`."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._urls = stack.info.database_urls
        self._unsent: list[int] = []
        self._memory: dict[str, int] = {}
        self._poll: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Take down where everything stands."""
        self._connection = await asyncpg.connect(self._urls["settlement"])
        self._processes = await self._find()
        self._cpu = self._seconds()
        self._batches = self._batch_sums()
        self._wal = await self._position()
        self._last_event: int = await self._connection.fetchval(_LAST_EVENT)
        self._poll = asyncio.create_task(self._look())

    async def stop(self, seconds: float, done: int) -> Watched:
        """What it cost, for so many settlements in so many seconds; waits until the events have arrived."""
        cores = {name: round((now - self._cpu[name]) / seconds, 2) for name, now in self._seconds().items()}
        wal = await self._position()
        unsent = await self._unsent_now()
        self._unsent.append(unsent)
        seen, events = list(self._unsent), await self._events_since()
        means = self._mean_batches()
        await self._drained()
        if self._poll is not None:
            self._poll.cancel()
        delays = {service: await self._delays(service, topic) for service, topic in _READERS.items()}
        await self._connection.close()
        return Watched(
            cores=cores,
            memory_mib={name: round(rss_bytes / 2**20) for name, rss_bytes in self._memory.items()},
            mean_batch=means,
            wal_bytes_each=round((wal[0] - self._wal[0]) / max(1, done)),
            fsyncs_each=round((wal[1] - self._wal[1]) / max(1, done), 3),
            unsent_most=max(seen),
            unsent_after=unsent,
            outbox_bounded=is_bounded(seen, events / seconds),
            delay_p50_ms={name: _quantile(delay, 0.5) for name, delay in delays.items()},
            delay_p99_ms={name: _quantile(delay, 0.99) for name, delay in delays.items()},
        )

    def _mean_batches(self) -> dict[str, float]:
        means = {}
        for name, (total, count) in self._batch_sums().items():
            total_before, count_before = self._batches.get(name, (0.0, 0.0))
            if count > count_before:
                means[name] = round((total - total_before) / (count - count_before), 1)
        return means

    async def _look(self) -> None:
        connection = await asyncpg.connect(self._urls["settlement"])
        try:
            while True:
                self._unsent.append(await connection.fetchval(_UNSENT))
                for name, its in self._processes.items():
                    self._memory[name] = max(self._memory.get(name, 0), sum(_rss(it) for it in its))
                await asyncio.sleep(POLL_SECONDS)
        finally:
            await connection.close()

    async def _unsent_now(self) -> int:
        count: int = await self._connection.fetchval(_UNSENT)
        return count

    async def _events_since(self) -> int:
        last: int = await self._connection.fetchval(_LAST_EVENT)
        return last - self._last_event

    async def _drained(self) -> None:
        await asyncio.to_thread(self._stack.quiesce, 300.0)

    async def _position(self) -> tuple[int, int]:
        at = await self._connection.fetchval("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn")
        return int(at), int(await self._connection.fetchval("SELECT wal_sync FROM pg_stat_wal"))

    async def _delays(self, service: str, topic: str) -> list[float]:
        """Milliseconds from the event's row in the outbox to its row in the inbox, of a sample."""
        sent = await self._connection.fetch(
            "SELECT event_id, created_at FROM outbox_event WHERE id > $1 AND topic = $2 AND id % 7 = 0"
            " ORDER BY id DESC LIMIT 20000",
            self._last_event,
            topic,
        )
        connection = await asyncpg.connect(self._urls[service])
        try:
            got = await connection.fetch(
                "SELECT event_id, received_at FROM inbox WHERE consumer = $1 AND event_id = ANY ($2::uuid[])",
                service,
                [row["event_id"] for row in sent],
            )
        finally:
            await connection.close()
        received = {row["event_id"]: row["received_at"] for row in got}
        return [
            (received[row["event_id"]] - row["created_at"]).total_seconds() * 1000
            for row in sent
            if row["event_id"] in received
        ]

    async def _find(self) -> dict[str, list[psutil.Process]]:
        processes = {
            name: [psutil.Process(service.pid)]
            for name, service in self._stack.info.services.items()
            if service.pid is not None
        }
        server = await cpu.postgres(self._connection)
        kafka = next((status.pid for status in self._stack.status() if status.name == "kafka"), None)
        if kafka is not None:
            processes["kafka"] = [psutil.Process(kafka)]
        processes["postgres"] = [server]
        processes["generator"] = [psutil.Process()]
        return processes

    def _seconds(self) -> dict[str, float]:
        return {
            name: sum(cpu.whole(it) if name == "postgres" else cpu.own(it) for it in its)
            for name, its in self._processes.items()
        }

    def _batch_sums(self) -> dict[str, tuple[float, float]]:
        address = self._stack.info.services["settlement"].http_address
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
            found = _BATCHES.findall(answer.read().decode())
        sums = {name: float(value) for kind, name, value in found if kind == "sum"}
        counts = {name: float(value) for kind, name, value in found if kind == "count"}
        return {name: (sums[name], counts[name]) for name in sums.keys() & counts.keys()}


def _quantile(values: list[float], share: float) -> float:
    return round(sorted(values)[min(len(values) - 1, int(share * len(values)))], 1) if values else 0.0


def _rss(process: psutil.Process) -> int:
    return int(process.memory_info().rss)
