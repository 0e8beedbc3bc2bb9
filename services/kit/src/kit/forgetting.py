"""Scheduled forgetting: what a service keeps of its callers' requests and assertions goes when its time is over."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Final

from kit.requests import PostgresOnce
from kit.scheduler import Job
from kit.used_assertions import UsedAssertions

BATCH = 1000
EVERY_SECONDS = 3600.0

Forget = Callable[[int], Awaitable[int]]
"""Removes at most so many rows whose time is over; returns how many there were."""

NOTHING_MORE: Final[Mapping[str, Forget]] = MappingProxyType({})


def forgetting_jobs(
    once: PostgresOnce, used: UsedAssertions, more: Mapping[str, Forget] = NOTHING_MORE
) -> Sequence[Job]:
    """Every hour, in batches; how long each is kept is said where it is kept.

    Args:
        once: the answered requests.
        used: the assertions that were used.
        more: what else the service forgets, by the name of the job, such as `forget-attempts`.
    """
    forgets = {"forget-requests": once.forget, "forget-used-assertions": used.forget, **more}
    return [Job(name, EVERY_SECONDS, partial(forget, BATCH)) for name, forget in forgets.items()]
