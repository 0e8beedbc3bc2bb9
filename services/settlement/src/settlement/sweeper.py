"""Recovery: what a crash left PENDING becomes ABANDONED, held previews run out, and their holds are released."""

import asyncio

from kit.clock import Clock
from kit.db import Work
from kit.db_errors import is_unavailable, trouble
from kit.observability import get_logger
from settlement import metrics
from settlement.quote_expiry import expire_due
from settlement.repository import SettlementRepository
from settlement.settle_service import release

BATCH = 200

_log = get_logger()


class Sweeper:
    """Takes settlements that have been PENDING for longer than any caller may wait, and quotes whose time is over.

    Several processes may sweep at once: each passes over what another holds.

    Args:
        work: units of work.
        clock: for the time that the events tell, and by which quotes run out; ages are the database's.
        age_seconds: beyond the cap on deadlines, so that their owners have given up.
        every_seconds: how often it looks.
    """

    def __init__(
        self, work: Work[SettlementRepository], clock: Clock, age_seconds: float, every_seconds: float
    ) -> None:
        self._work = work
        self._clock = clock
        self._age_seconds = age_seconds
        self._every_seconds = every_seconds

    async def run(self) -> None:
        """Sweep until cancelled; a failure is logged and tried again."""
        while True:
            try:
                await self.sweep()
            except Exception as error:  # noqa: BLE001 - the database may be away; the next round tries again
                metrics.SWEEP_FAILURES.inc()
                say = _log.warning if is_unavailable(error) else _log.error
                say("sweeping failed, trying again", **trouble(error))
            await asyncio.sleep(self._every_seconds)

    async def sweep(self) -> int:
        """Abandon all that is stale; how many there were."""
        while expired := await self._expire_batch():
            metrics.EXPIRED.inc(expired)
        total = 0
        while swept := await self._sweep_batch():
            total += swept
        if total:
            _log.warning("abandoned settlements that were left pending", settlements=total)
        await self._tell_pending()
        metrics.SWEPT_AT.set_to_current_time()
        return total

    async def _tell_pending(self) -> None:
        async with self._work() as repository:
            pending = await repository.pending()
        metrics.PENDING.set(pending.settlements)
        metrics.PENDING_AGE.set(pending.oldest_age_seconds)

    async def _expire_batch(self) -> int:
        async with self._work() as repository:
            return await expire_due(repository, self._clock.now())

    async def _sweep_batch(self) -> int:
        async with self._work() as repository:
            stale = await repository.take_stale(self._age_seconds, BATCH)
            given_up = await release(repository, stale, self._clock.now())
        metrics.count(given_up)
        metrics.SWEPT.inc(len(given_up))
        return len(given_up)
