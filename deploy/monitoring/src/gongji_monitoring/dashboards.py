"""The dashboards: how it goes, the money, the events, the processes."""

from typing import Final

from gongji_monitoring.grafana import Dashboard, Panel, Query, Row
from gongji_monitoring.objectives import BURN

HERE: Final = 'namespace="$namespace"'
REFUSED: Final = ', reason!=""'


def _by(label: str, metric: str, matchers: str = "") -> str:
    return f"sum by ({label}) (rate({metric}{{{HERE}{matchers}}}[5m]))"


def _quantile(quantile: str, metric: str, label: str, matchers: str = "") -> Query:
    expr = f"histogram_quantile({quantile}, sum by (le, {label}) (rate({metric}_bucket{{{HERE}{matchers}}}[5m])))"
    return Query(expr, f"{{{{{label}}}}} p{quantile.removeprefix('0.').ljust(2, '0')}")


def _most(metric: str, *labels: str, times: str = "") -> Query:
    return Query(
        f"max by ({', '.join(labels)}) ({metric}{{{HERE}}}){times}", " ".join(f"{{{{{each}}}}}" for each in labels)
    )


OVERVIEW: Final = Dashboard(
    "gongji-overview",
    "共济 · Overview",
    (
        Row(
            "Objectives",
            (
                Panel(
                    "Bad calls, of the last hour",
                    "percentunit",
                    [Query(f"{BURN}1h{{{HERE}}}", "{{slo}}")],
                    "Settling and identifying are to be answered in 99.9 % of calls, quick in 99 %.",
                ),
                Panel("Bad calls, of three days", "percentunit", [Query(f"{BURN}3d{{{HERE}}}", "{{slo}}")]),
                Panel(
                    "Processes that are ready",
                    "short",
                    [Query(f"sum by (service) (gongji_process_ready{{{HERE}}})", "{{service}}")],
                ),
            ),
        ),
        Row(
            "Calls",
            (
                Panel(
                    "Calls by service",
                    "reqps",
                    [Query(f"sum by (service) (gongji:grpc_calls:rate5m{{{HERE}}})", "{{service}}")],
                ),
                Panel(
                    "Calls by kind of principal",
                    "reqps",
                    [
                        Query(
                            f"sum by (service, principal) (gongji:grpc_calls:rate5m{{{HERE}}})",
                            "{{service}} {{principal}}",
                        )
                    ],
                ),
                Panel(
                    "Calls that were not answered OK",
                    "reqps",
                    [
                        Query(
                            f'sum by (service, code) (gongji:grpc_calls:rate5m{{{HERE}, code!="OK"}})',
                            "{{service}} {{code}}",
                        )
                    ],
                ),
                Panel(
                    "Slowest methods, p99",
                    "s",
                    [Query(f"topk(8, max by (method) (gongji:grpc_duration_seconds:p99_5m{{{HERE}}}))", "{{method}}")],
                    width=12,
                ),
                Panel(
                    "Refusals by reason",
                    "reqps",
                    [Query(f"topk(10, {_by('reason', 'gongji_grpc_calls_total', REFUSED)})", "{{reason}}")],
                    width=12,
                ),
            ),
        ),
    ),
)

MONEY: Final = Dashboard(
    "gongji-money",
    "共济 · Settlements",
    (
        Row(
            "Settlements",
            (
                Panel(
                    "By outcome",
                    "ops",
                    [Query(f"sum by (outcome) (gongji:settlements:rate5m{{{HERE}}})", "{{outcome}}")],
                ),
                Panel(
                    "Refused and abandoned, by reason",
                    "ops",
                    [
                        Query(
                            f'sum by (outcome, reason) (gongji:settlements:rate5m{{{HERE}, reason!=""}})',
                            "{{outcome}} {{reason}}",
                        )
                    ],
                ),
                Panel(
                    "Yuan moved an hour",
                    "currencyCNY",
                    [
                        Query(
                            f"{_by('direction, account', 'gongji_settlement_fen_total')} * 36",
                            "{{direction}} {{account}}",
                        )
                    ],
                ),
                Panel("PENDING", "short", [_most("gongji_settlement_pending", "namespace")]),
                Panel("Oldest PENDING", "s", [_most("gongji_settlement_oldest_pending_seconds", "namespace")]),
                Panel(
                    "Left behind, and previews that ran out",
                    "ops",
                    [
                        Query(_by("namespace", "gongji_settlement_swept_total"), "given up by the sweeper"),
                        Query(_by("namespace", "gongji_settlement_previews_expired_total"), "previews"),
                        Query(_by("namespace", "gongji_settlement_sweep_failures_total"), "rounds that failed"),
                    ],
                ),
            ),
        ),
        Row(
            "Batches",
            (
                Panel("Requests in a batch", "short", [_quantile("0.5", "gongji_batch_size", "batcher")]),
                Panel("Wait for a batch", "s", [_quantile("0.99", "gongji_batch_wait_seconds", "batcher")]),
                Panel(
                    "Places taken in queues",
                    "percentunit",
                    [
                        Query(
                            f"max by (batcher) (gongji_batch_waiting{{{HERE}}} / gongji_batch_waiting_limit{{{HERE}}})",
                            "{{batcher}}",
                        )
                    ],
                ),
            ),
        ),
        Row(
            "Audit, and days",
            (
                Panel("Findings", "short", [_most("gongji_audit_findings", "service", "check")]),
                Panel(
                    "Since the last complete audit",
                    "s",
                    [Query(f"time() - max by (service) (gongji_audit_last_complete_seconds{{{HERE}}})", "{{service}}")],
                ),
                Panel(
                    "Since the end of the oldest day not closed",
                    "s",
                    [Query(f"time() - (max(gongji_settlement_unclosed_since_seconds{{{HERE}}}) > 0)", "open")],
                ),
            ),
        ),
    ),
)

EVENTS: Final = Dashboard(
    "gongji-events",
    "共济 · Events",
    (
        Row(
            "Publishing",
            (
                Panel("Events that wait", "short", [_most("gongji_outbox_unsent_events", "service")]),
                Panel("Age of the oldest", "s", [_most("gongji_outbox_oldest_unsent_seconds", "service")]),
                Panel("From writing to Kafka", "s", [_quantile("0.99", "gongji_outbox_delay_seconds", "service")]),
                Panel("Published", "ops", [Query(_by("topic", "gongji_outbox_published_events_total"), "{{topic}}")]),
                Panel(
                    "Relays at work",
                    "short",
                    [Query(f"sum by (service) (gongji_outbox_relay_active{{{HERE}}})", "{{service}}")],
                ),
                Panel(
                    "Publishing began again",
                    "ops",
                    [Query(_by("service, error", "gongji_outbox_relay_failures_total"), "{{service}} {{error}}")],
                ),
            ),
        ),
        Row(
            "Consuming",
            (
                Panel("Behind", "short", [Query(f"gongji:consumer_lag_events:sum{{{HERE}}}", "{{group}} {{topic}}")]),
                Panel("Age of what was made of events", "s", [_most("gongji_projection_age_seconds", "group")]),
                Panel(
                    "Handled",
                    "ops",
                    [Query(_by("group, topic", "gongji_consumer_events_total"), "{{group}} {{topic}}")],
                ),
                Panel("Open dead letters", "short", [_most("gongji_dlq_open_letters", "group", "topic")]),
                Panel(
                    "Put off for want of the database",
                    "ops",
                    [Query(_by("group", "gongji_consumer_postponed_batches_total"), "{{group}}")],
                ),
                Panel(
                    "Replicas that do not hear Kafka",
                    "short",
                    [Query(f"count by (group) (gongji_consumer_connected{{{HERE}}} == 0)", "{{group}}")],
                ),
            ),
        ),
        Row(
            "Telling people",
            (
                Panel("Deliveries that wait", "short", [_most("gongji_notify_deliveries_waiting", "channel")]),
                Panel(
                    "Attempts",
                    "ops",
                    [Query(_by("channel, outcome", "gongji_notify_channel_sends_total"), "{{channel}} {{outcome}}")],
                ),
                Panel("Webhooks", "ops", [Query(_by("result", "gongji_webhook_attempts_total"), "{{result}}")]),
            ),
        ),
    ),
)

PROCESSES: Final = Dashboard(
    "gongji-processes",
    "共济 · Processes",
    (
        Row(
            "Room",
            (
                Panel(
                    "Calls under way, of those that may be",
                    "percentunit",
                    [Query(f"gongji_grpc_in_flight{{{HERE}}} / gongji_grpc_in_flight_limit{{{HERE}}}", "{{pod}}")],
                ),
                Panel(
                    "Database connections in use",
                    "percentunit",
                    [
                        Query(
                            f'sum by (pod) (gongji_database_connections{{{HERE}, state="in_use"}})'
                            f" / sum by (pod) (gongji_database_connections_limit{{{HERE}}})",
                            "{{pod}}",
                        )
                    ],
                ),
                Panel("Wait for a connection", "s", [_quantile("0.99", "gongji_database_wait_seconds", "service")]),
                Panel("Processor", "short", [Query(_by("pod", "process_cpu_seconds_total"), "{{pod}}")], "In cores."),
                Panel("Memory", "bytes", [_most("process_resident_memory_bytes", "pod")]),
                Panel(
                    "Open files, of those that may be",
                    "percentunit",
                    [Query(f"process_open_fds{{{HERE}}} / process_max_fds{{{HERE}}}", "{{pod}}")],
                ),
            ),
        ),
        Row(
            "Upkeep",
            (
                Panel(
                    "Days left of certificates",
                    "short",
                    [
                        Query(
                            f"min by (service, certificate) (gongji_certificate_days_left{{{HERE}}})",
                            "{{service}} {{certificate}}",
                        )
                    ],
                ),
                Panel(
                    "Clock ahead of the database's",
                    "s",
                    [Query(f"gongji_clock_offset_seconds{{{HERE}}}", "{{pod}}")],
                ),
                Panel(
                    "Jobs: failures in a row",
                    "short",
                    [
                        Query(
                            f"min by (service, job_name) (gongji_job_failures_in_row{{{HERE}}})",
                            "{{service}} {{job_name}}",
                        )
                    ],
                ),
                Panel(
                    "Jobs: since they last ended",
                    "s",
                    [
                        Query(
                            f"time() - max by (service, job_name) (gongji_job_last_success_seconds{{{HERE}}})",
                            "{{service}} {{job_name}}",
                        )
                    ],
                ),
            ),
        ),
    ),
)

DASHBOARDS: Final = (OVERVIEW, MONEY, EVENTS, PROCESSES)
