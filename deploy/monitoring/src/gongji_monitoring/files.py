"""Which files are generated, and what is in them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from gongji_monitoring import grafana, page, rule_cases
from gongji_monitoring.catalogue import whole
from gongji_monitoring.dashboards import DASHBOARDS
from gongji_monitoring.grafana import Dashboard
from gongji_monitoring.rule_files import Group, Recording, custom_resource, plain
from gongji_monitoring.rules import EVERY_ALERT, GROUPS

ROOT: Final = Path(__file__).resolve().parents[4]
"""The tree."""
RULES: Final = "deploy/monitoring/rules/gongji.rules.yaml"
RULE_TESTS: Final = "deploy/monitoring/rules/gongji.tests.yaml"
QUERIES: Final = "deploy/monitoring/rules/gongji.dashboards.yaml"
"""What dashboards ask, for promtool alone: no Prometheus is given it."""
LONG_RULE_TESTS: Final = "deploy/monitoring/rules/gongji.long-tests.yaml"
COMPONENT: Final = "deploy/k8s/components/monitoring"
"""Kustomize reads nothing outside of it, so what Kubernetes needs is written there."""


def generated() -> Mapping[str, str]:
    """The text of every generated file, by its path in the tree."""
    severities = {alert.name: str(alert.severity) for alert in EVERY_ALERT}
    return {
        "docs/metrics.md": page.written(whole()),
        RULES: plain(GROUPS),
        RULE_TESTS: rule_cases.written(severities, Path(RULES).name, rule_cases.MINUTE),
        LONG_RULE_TESTS: rule_cases.written(severities, Path(RULES).name, rule_cases.TEN_MINUTES),
        f"{COMPONENT}/prometheus-rules.yaml": custom_resource(GROUPS),
        QUERIES: plain([Group(f"gongji-dashboards-{each.uid}", asked(each)) for each in DASHBOARDS]),
        **{f"{COMPONENT}/dashboards/{each.uid}.json": grafana.written(each) for each in DASHBOARDS},
    }


def asked(dashboard: Dashboard) -> list[Recording]:
    """What a dashboard asks, as rules, which promtool can read."""
    name = dashboard.uid.replace("-", "_")
    queries = (query for row in dashboard.rows for panel in row.panels for query in panel.queries)
    return [Recording(f"{name}:{number}", query.expr) for number, query in enumerate(queries, 1)]
