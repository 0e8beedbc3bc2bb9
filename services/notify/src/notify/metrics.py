"""The metrics of notify."""

from typing import Final

from kit.metrics import Declaring, Label
from notify.channels.receipts import Fate
from notify.domain.channels import Channel
from notify.domain.deliveries import State
from notify.domain.webhooks import OffReason, Result

_NOTIFY: Final = Declaring("notify")
_CHANNEL: Final = Label("channel", "how a person is reached", tuple(each.value for each in Channel))

WATCHERS: Final = _NOTIFY.gauge("gongji_notify_watchers", "Calls that wait for messages.", unit="calls")
RECEIPTS: Final = _NOTIFY.counter(
    "gongji_notify_receipts_total",
    "Receipts of gateways.",
    unit="receipts",
    labels=(
        Label(
            "outcome",
            "what became of the message; or why the receipt was not taken",
            (*(fate.value for fate in Fate), "UNKNOWN", "UNSIGNED", "MALFORMED"),
        ),
    ),
)
CHANNEL_SENDS: Final = _NOTIFY.counter(
    "gongji_notify_channel_sends_total",
    "Attempts to hand a message over.",
    unit="attempts",
    labels=(
        _CHANNEL,
        Label("outcome", "`REFUSED` is for good", ("ACCEPTED", "REFUSED", "FAILED", "LEFT_ALONE")),
    ),
)
CHANNEL_SECONDS: Final = _NOTIFY.histogram(
    "gongji_notify_channel_seconds", "How long an attempt took.", unit="s", labels=(_CHANNEL,)
)
CHANNEL_UNDER_WAY: Final = _NOTIFY.gauge(
    "gongji_notify_channel_under_way", "Attempts under way.", unit="attempts", labels=(_CHANNEL,)
)
DELIVERIES: Final = _NOTIFY.counter(
    "gongji_notify_deliveries_total",
    "Deliveries that have ended, and those that were handed over.",
    unit="deliveries",
    labels=(_CHANNEL, Label("state", "where it stands", tuple(each.value for each in State))),
)
DELIVERY_ATTEMPTS: Final = _NOTIFY.counter(
    "gongji_notify_delivery_attempts_total",
    "Attempts, by what came of them.",
    unit="attempts",
    labels=(_CHANNEL, Label("outcome", "`REFUSED` is for good", ("TAKEN", "REFUSED", "FAILED"))),
)
DELIVERIES_WAITING: Final = _NOTIFY.gauge(
    "gongji_notify_deliveries_waiting", "Deliveries that are QUEUED.", unit="deliveries", labels=(_CHANNEL,)
)
CODES: Final = _NOTIFY.counter(
    "gongji_notify_codes_total",
    "One-time codes, by what became of them.",
    unit="codes",
    labels=(Label("outcome", "what became of it", ("SENT", "UNDELIVERED", "STALE", "UNOPENED")),),
)
CODES_WAITING: Final = _NOTIFY.gauge(
    "gongji_notify_codes_waiting", "One-time codes that were taken in and not yet sent.", unit="codes"
)
WEBHOOK_ATTEMPTS: Final = _NOTIFY.counter(
    "gongji_webhook_attempts_total",
    "Requests to webhooks, by how they went.",
    unit="requests",
    labels=(Label("result", "how it went", tuple(each.value for each in Result)),),
)
WEBHOOK_SECONDS: Final = _NOTIFY.histogram(
    "gongji_webhook_duration_seconds",
    "How long requests to webhooks took.",
    unit="s",
    buckets=(0.01, 0.05, 0.2, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0),
)
WEBHOOKS_SWITCHED_OFF: Final = _NOTIFY.counter(
    "gongji_webhooks_switched_off_total",
    "Webhooks that were switched off.",
    unit="webhooks",
    labels=(Label("reason", "why; empty if by its owner", ("", *(each.value for each in OffReason))),),
)
