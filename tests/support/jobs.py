"""Waiting for the regular work of the services, told by their own metrics."""

from collections.abc import Sequence
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families

from gongji_local.clock import wait_until
from gongji_local.stack import Stack
from kit.clock import SystemClock

SUCCEEDED_AT = "gongji_job_last_success_seconds"
EVERY_SECOND = {
    "binding": (
        "expire-relations",
        "end-lost-relations",
        "tell-expiring-relations",
        "tell-coming-of-age",
        "expire-drafts",
    ),
    "settlement": ("seal-entries",),
}
WAIT_SECONDS = 120.0


def let_everything_due_be_done(stack: Stack) -> None:
    """Return when each job has begun and ended after now, and what followed from it was heard by everybody."""
    for _ in range(2):  # the first to end may have begun before now
        since = SystemClock().now().timestamp()
        assert wait_until(lambda since=since: _all_ran(stack, since), WAIT_SECONDS)  # type: ignore[misc]
    stack.quiesce(WAIT_SECONDS)


def _all_ran(stack: Stack, since: float) -> bool:
    return all(_ran(stack, service, jobs, since) for service, jobs in EVERY_SECOND.items())


def _ran(stack: Stack, service: str, jobs: Sequence[str], since: float) -> bool:
    ran = successes(stack, service)
    return all(ran.get(job, 0.0) > since for job in jobs)


def successes(stack: Stack, service: str) -> dict[str, float]:
    """When each job of a service succeeded last, in seconds since 1970; only those that did."""
    address = stack.info.services[service].http_address
    with urlopen(f"http://{address}/metrics", timeout=WAIT_SECONDS) as answer:
        families = text_string_to_metric_families(answer.read().decode())
    return {
        sample.labels["job_name"]: sample.value
        for family in families
        for sample in family.samples
        if sample.name == SUCCEEDED_AT and sample.value > 0
    }
