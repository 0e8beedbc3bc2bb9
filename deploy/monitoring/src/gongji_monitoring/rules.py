"""The rules: figures worked out in advance, objectives, and alerts by symptom."""

from typing import Final

from gongji_monitoring.alerts import ALERTS
from gongji_monitoring.objectives import BURN_ALERTS, OBJECTIVES
from gongji_monitoring.rule_files import Alert, Group, Recording

RECORDINGS: Final = (
    Recording(
        "gongji:grpc_calls:rate5m",
        "sum by (namespace, service, method, principal, code) (rate(gongji_grpc_calls_total[5m]))",
    ),
    Recording(
        "gongji:grpc_duration_seconds:p99_5m",
        "histogram_quantile(0.99, sum by (namespace, service, method, le)"
        " (rate(gongji_grpc_duration_seconds_bucket[5m])))",
    ),
    Recording(
        "gongji:grpc_duration_seconds:p50_5m",
        "histogram_quantile(0.5, sum by (namespace, service, method, le)"
        " (rate(gongji_grpc_duration_seconds_bucket[5m])))",
    ),
    Recording(
        "gongji:settlements:rate5m",
        "sum by (namespace, outcome, reason) (rate(gongji_settlements_total[5m]))",
    ),
    Recording(
        "gongji:consumer_lag_events:sum",
        "sum by (namespace, service, group, topic) (gongji_consumer_lag_events)",
    ),
)

GROUPS: Final = (
    Group("gongji-figures", RECORDINGS),
    Group("gongji-objectives", [each for objective in OBJECTIVES for each in objective.recordings()]),
    Group("gongji-budget", BURN_ALERTS),
    Group("gongji-alerts", ALERTS),
)

EVERY_ALERT: Final = tuple(rule for group in GROUPS for rule in group.rules if isinstance(rule, Alert))
RECORDED: Final = frozenset(rule.record for group in GROUPS for rule in group.rules if isinstance(rule, Recording))
