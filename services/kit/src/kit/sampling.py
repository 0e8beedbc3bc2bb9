"""What is told on `/metrics` of things that have to be asked for: each replica asks now and then."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from kit.observability import get_logger

EVERY_SECONDS: Final = 60.0
FIRST_SECONDS: Final = 5.0
"""Not at once: a process that starts has other things to do."""
ANSWER_SECONDS: Final = 30.0

Probe = Callable[[], Awaitable[object]]
"""Asks, and sets the gauges; where it cannot, the last values stand."""


class Sampler:
    """Runs probes one after the other until it is cancelled; no failure ends it.

    Args:
        probes: what to ask.
        every_seconds: pause after a round.
        first_seconds: pause before the first one.
    """

    def __init__(
        self,
        *probes: Probe,
        every_seconds: float = EVERY_SECONDS,
        first_seconds: float = FIRST_SECONDS,
    ) -> None:
        self._probes = probes
        self._every_seconds = every_seconds
        self._first_seconds = first_seconds
        self._log = get_logger()

    async def run(self) -> None:
        """Ask again and again."""
        await asyncio.sleep(self._first_seconds)
        while True:
            await self.sample()
            await asyncio.sleep(self._every_seconds)

    async def sample(self) -> None:
        """Ask once."""
        for probe in self._probes:
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    await probe()
            except Exception as error:  # noqa: BLE001 - database or Kafka may be away; the next round asks again
                self._log.info("a figure could not be had", figure=type(probe).__name__, error=type(error).__name__)
