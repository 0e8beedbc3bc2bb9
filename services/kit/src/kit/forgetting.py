"""Scheduled forgetting: what a service keeps of its callers' requests and assertions goes when its time is over."""

from collections.abc import Sequence
from functools import partial

from kit.requests import PostgresOnce
from kit.scheduler import Job
from kit.used_assertions import UsedAssertions

BATCH = 1000
EVERY_SECONDS = 3600.0


def forgetting_jobs(once: PostgresOnce, used: UsedAssertions) -> Sequence[Job]:
    """Every hour, in batches; how long each is kept is said where it is kept."""
    return [
        Job("forget-requests", EVERY_SECONDS, partial(once.forget, BATCH)),
        Job("forget-used-assertions", EVERY_SECONDS, partial(used.forget, BATCH)),
    ]
