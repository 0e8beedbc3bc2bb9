"""Whether the brokers let this process do what it is there for: asked at its start, and now and then.

A process that they refuse from the start, for want of an ACL or because certificates do not fit, is not ready: so a
roll-out stops at its first pod, and those before it go on. Whoever has been let in once stays ready whatever is taken
later, and is degraded: events wait, and calls need no Kafka (ADR 12, ADR 30). Brokers that are away refuse nobody.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

from kit.backoff import backoff_seconds
from kit.bus_metrics import REFUSED
from kit.checking_kafka import Wanted, permitted, wanted
from kit.health import Health
from kit.kafka_client import KafkaSettings
from kit.kafka_reach import unreachable
from kit.lifecycle import Application
from kit.observability import get_logger
from kit.topics import Catalogue, catalogue

NAME: Final = "Kafka lets in"
EVERY_SECONDS: Final = 30.0
LOOK_SECONDS: Final = 5.0
"""How long a look may take, and so the start for the first one: a Kafka that is away keeps no service from starting."""


class Admission:
    """Looks, tells `health`, the metric and the log, and goes on looking; never a reason to end.

    Args:
        settings: where Kafka is.
        service: writes the topics that it owns.
        consumed: the topics of each of its consumer groups.
        health: is told under `Kafka lets in`.
        stated: instead of the catalogue beside the contracts.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        service: str,
        consumed: Mapping[str, Sequence[str]],
        health: Health,
        *,
        stated: Catalogue | None = None,
        every_seconds: float = EVERY_SECONDS,
    ) -> None:
        self._settings = settings
        self._stated = stated or catalogue()
        self._does: Wanted = wanted(service, consumed, self._stated)
        self._health = health
        self._every_seconds = every_seconds
        self._let_in = False
        self._refusals: Sequence[str] = ()
        self._failures = 0
        self._task: asyncio.Task[None] | None = None
        self._log = get_logger()

    def add_to(self, application: Application) -> None:
        """Before whatever takes calls, so that nobody is let through before the first look."""
        application.add("admission at Kafka", self.start, self.stop, stop_timeout_seconds=2.0)

    async def start(self) -> None:
        """Look for the first time, then from time to time."""
        await self.look()
        self._task = asyncio.create_task(self._run(), name=NAME)

    async def stop(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def look(self) -> None:
        """Ask once, and tell what the answer is; what nobody answers takes nothing back."""
        refusals: Sequence[str] | None = None
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                refusals = await self._asked()
        except Exception as error:  # noqa: BLE001 - not to know is no reason to end, whatever it is
            self._log.info("not known what Kafka lets this service do", error=type(error).__name__)
        if refusals is not None:
            self._tell(refusals)
        elif not self._refusals:
            self._let_in = True  # it serves without Kafka from now on, and goes on whatever Kafka says when it is back

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(backoff_seconds(self._failures) if self._failures else self._every_seconds)
            await self.look()

    async def _asked(self) -> Sequence[str] | None:
        """Each refusal in a line; None while Kafka is away."""
        gone = await unreachable(self._settings)
        if gone is not None:
            return [f"Kafka at {self._settings.kafka_bootstrap} {gone.why}"] if gone.misfit else None
        findings = await permitted(self._settings, self._does, self._stated)
        return [f"{each.fault} {each.subject}" for each in findings if each.refused]

    def _tell(self, refusals: Sequence[str]) -> None:
        self._failures = self._failures + 1 if refusals else 0
        self._let_in = self._let_in or not refusals
        REFUSED.set(bool(refusals))
        self._health.set(NAME, not refusals, "; ".join(refusals), serving=not self._let_in)
        for refusal in refusals:
            if refusal not in self._refusals:
                self._log.error("Kafka refuses this service", why=refusal)
        if self._refusals and not refusals:
            self._log.info("Kafka lets this service in")
        self._refusals = refusals
