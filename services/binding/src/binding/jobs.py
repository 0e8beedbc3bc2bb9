"""The scheduled jobs of binding, by name."""

from collections.abc import Sequence

from binding.service.applications import Applications
from binding.service.upkeep import BATCH, Upkeep
from kit.clock import Clock
from kit.scheduler import Job


def upkeep_jobs(upkeep: Upkeep, every_seconds: float) -> Sequence[Job]:
    """What becomes due with the days. Looking costs one indexed query, so it is looked often."""
    return [
        Job("expire-relations", every_seconds, upkeep.expire),
        Job("end-lost-relations", every_seconds, upkeep.end_lost),
        Job("tell-expiring-relations", every_seconds, upkeep.tell_expiring),
        Job("tell-coming-of-age", every_seconds, upkeep.tell_coming_of_age),
    ]


def draft_jobs(applications: Applications, clock: Clock, every_seconds: float) -> Sequence[Job]:
    """Drafts and returned applications end when their time is over."""

    async def expire() -> int:
        return await applications.expire_drafts(clock.now(), BATCH)

    return [Job("expire-drafts", every_seconds, expire)]
