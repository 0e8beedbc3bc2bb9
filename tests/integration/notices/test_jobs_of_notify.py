"""What notify does by the hour and the minute runs where notify runs."""

from support.jobs import WAIT_SECONDS, successes

from gongji_local.clock import wait_until
from gongji_local.stack import Stack

JOBS = {
    "forget-requests",
    "forget-used-assertions",
    "forget-contact-codes",
    "forget-daily-counts",
    "forget-deliveries",
    "end-deliveries-without-receipt",
    "give-up-webhook-deliveries",
    "forget-webhook-events",
    "clear-removed-webhooks",
    "make-months",
}


def test_what_notify_forgets_ends_and_clears_away_is_done_on_schedule(stack: Stack) -> None:
    assert wait_until(lambda: successes(stack, "notify").keys() == JOBS, WAIT_SECONDS)
