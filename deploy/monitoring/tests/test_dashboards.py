"""Dashboards name only what there is, and lay out what Grafana can show."""

import json
import re
from itertools import combinations
from typing import Any

import pytest

from gongji_monitoring.catalogue import is_of_library, metric_of, whole
from gongji_monitoring.dashboards import DASHBOARDS
from gongji_monitoring.files import COMPONENT, generated
from gongji_monitoring.grafana import WIDTH, Dashboard, written
from gongji_monitoring.rules import RECORDED

CATALOGUE = whole()
NAME = re.compile(r"\b((?:gongji|process|python)[a-z0-9_]*(?::[a-z0-9_]+)*|up)\b(?=[{\[)])")


def panels(dashboard: Dashboard) -> list[dict[str, Any]]:
    return list(json.loads(written(dashboard))["panels"])


def queries(dashboard: Dashboard) -> list[str]:
    return [target["expr"] for panel in panels(dashboard) for target in panel.get("targets", ())]


def is_known(name: str) -> bool:
    return name == "up" or name in RECORDED or is_of_library(name) or metric_of(name, CATALOGUE) is not None


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda dashboard: dashboard.uid)
class TestEachDashboard:
    def test_names_only_what_the_catalogue_declares(self, dashboard: Dashboard) -> None:
        for expr in queries(dashboard):
            names = NAME.findall(re.sub(r'"[^"]*"', '""', expr))
            assert names, expr
            assert all(is_known(name) for name in names), expr

    def test_asks_for_the_chosen_namespace_only(self, dashboard: Dashboard) -> None:
        for expr in queries(dashboard):
            selectors = re.findall(r"\{([^}]*)\}", expr)
            assert selectors
            assert all('namespace="$namespace"' in each for each in selectors), expr

    def test_groups_by_labels_that_the_metric_has(self, dashboard: Dashboard) -> None:
        of_targets = {"namespace", "service", "pod", "le", "slo"}
        for expr in queries(dashboard):
            metrics = [metric_of(name, CATALOGUE) for name in NAME.findall(expr)]
            labels = {label.name for metric in metrics if metric for label in metric.labels}
            if any(metrics):
                for grouped in re.findall(r"by \(([^)]*)\)", expr):
                    assert set(grouped.split(", ")) <= labels | of_targets, expr

    def test_has_panels_that_do_not_cover_each_other(self, dashboard: Dashboard) -> None:
        places = [panel["gridPos"] for panel in panels(dashboard)]
        assert all(place["x"] + place["w"] <= WIDTH for place in places)
        for one, other in combinations(places, 2):
            beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
            assert beside or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert len({panel["id"] for panel in panels(dashboard)}) == len(places)

    def test_is_written_where_kubernetes_finds_it(self, dashboard: Dashboard) -> None:
        assert f"{COMPONENT}/dashboards/{dashboard.uid}.json" in generated()


def test_a_name_that_nobody_declares_is_found() -> None:
    assert not is_known("gongji_settled_total")
    assert not is_known("gongji_grpc_duration_seconds")
    assert is_known("gongji_grpc_duration_seconds_bucket")
