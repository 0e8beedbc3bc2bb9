"""The load of `make bench`: callers that each send, wait for the answer and send again; and what they saw."""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import grpc

TIMEOUT_SECONDS: Final = 15.0

Send = Callable[[], Awaitable[int]]
"""Sends something that was not sent before; how many settlements were answered well."""


class RefusedInPart(Exception):
    """Of a call for many, some were done and some refused.

    Args:
        done: how many were done.
        reasons: why the others were not.
    """

    def __init__(self, done: int, reasons: Sequence[str]) -> None:
        super().__init__(f"{done} done, others refused: {', '.join(sorted(set(reasons)))}")
        self.done = done
        self.reasons = reasons


@dataclass(slots=True)
class Measured:
    """What was answered while the clock ran."""

    seconds: float = 0.0
    latencies_ms: list[float] = field(default_factory=list)
    done: int = 0
    failed: dict[str, int] = field(default_factory=dict)
    """What was refused or came too late: calls by status, items of a call by reason."""

    def fail(self, reasons: Iterable[str]) -> None:
        """Count what was not done."""
        for reason in reasons:
            self.failed[reason] = self.failed.get(reason, 0) + 1

    @property
    def per_second(self) -> int:
        """Settlements a second."""
        return round(self.done / self.seconds) if self.seconds else 0

    def quantile_ms(self, share: float) -> float:
        """The latency that this share of the calls did not exceed."""
        if len(self.latencies_ms) < 2:
            return 0.0
        cuts = statistics.quantiles(self.latencies_ms, n=1000, method="inclusive")
        return round(cuts[min(998, max(0, round(share * 1000) - 1))], 1)


async def load(send: Send, callers: int, seconds: float) -> Measured:
    """Keep so many calls in flight for so long."""
    measured, started = Measured(), time.monotonic()
    until = started + seconds

    async def caller() -> None:
        while (begun := time.monotonic()) < until:
            try:
                done = await send()
            except grpc.aio.AioRpcError as error:
                measured.fail([error.code().name])
                continue
            except RefusedInPart as refused:
                measured.fail(refused.reasons)
                done = refused.done
            measured.latencies_ms.append((time.monotonic() - begun) * 1000)
            measured.done += done

    await asyncio.gather(*(caller() for _ in range(callers)))
    measured.seconds = time.monotonic() - started
    return measured
