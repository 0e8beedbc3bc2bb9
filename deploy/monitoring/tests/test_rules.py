"""Rules name only what there is, each alert is tried both ways, and each has its section in the runbook."""

import re

import grpc
import pytest

from gongji.identity.v1 import visit_pb2
from gongji.settlement.v1 import settlement_pb2
from gongji_monitoring.catalogue import metric_of, whole
from gongji_monitoring.files import ROOT
from gongji_monitoring.objectives import BURN, OBJECTIVES, SETTLING, SETTLING_ONE, SHOWING, WINDOWS
from gongji_monitoring.rule_cases import CASES, Case
from gongji_monitoring.rule_files import RUNBOOK, Alert, Recording, plain
from gongji_monitoring.rules import EVERY_ALERT, GROUPS, RECORDED
from kit.errors import table

CATALOGUE = whole()
FOREIGN = {"up"}
"""What Prometheus itself says of a target."""
NAME = re.compile(r"\b(gongji[a-z0-9_]*(?::[a-z0-9_]+)*|up)\b(?=[{\[)\s]|$)")


def unknown(expr: str) -> set[str]:
    """The series that an expression names and nobody declares."""
    bare = re.sub(r'"[^"]*"', '""', expr)
    return {
        name for name in NAME.findall(bare) if name not in FOREIGN | RECORDED and metric_of(name, CATALOGUE) is None
    }


def rules() -> list[Alert | Recording]:
    return [rule for group in GROUPS for rule in group.rules]


def name_of(rule: Alert | Recording) -> str:
    return rule.name if isinstance(rule, Alert) else f"{rule.record} {rule.labels}"


@pytest.mark.parametrize("rule", rules(), ids=name_of)
def test_rules_name_only_what_the_catalogue_declares(rule: Alert | Recording) -> None:
    assert NAME.search(rule.expr), "it names nothing"
    assert unknown(rule.expr) == set()


def test_a_name_that_nobody_declares_is_found() -> None:
    assert unknown("sum by (namespace) (rate(gongji_settled_total[5m])) > 0") == {"gongji_settled_total"}
    assert unknown("gongji:nothing:rate5m > 0") == {"gongji:nothing:rate5m"}
    assert unknown("gongji_grpc_duration_seconds{le='1'} > 0") == {"gongji_grpc_duration_seconds"}


def test_names_of_rules_and_groups_are_unique() -> None:
    names = [alert.name for alert in EVERY_ALERT]
    assert len(set(names)) == len(names)
    recorded = [(rule.record, str(rule.labels)) for rule in rules() if isinstance(rule, Recording)]
    assert len(set(recorded)) == len(recorded)
    assert len({group.name for group in GROUPS}) == len(GROUPS)


def test_each_objective_is_worked_out_for_each_window() -> None:
    assert {f"{BURN}{window}" for window in WINDOWS} <= RECORDED
    text = plain(GROUPS)
    assert all(f"slo: {objective.name}" in text for objective in OBJECTIVES)
    assert "WINDOW" not in text


MATCHER = re.compile(r'(\w+)(=~|=|!=|!~)"([^"]*)"')
SELECTOR = re.compile(r"\b((?:gongji)[a-z0-9_:]*|up)\{((?:[^{}\"]|\"[^\"]*\")*)\}")
OF_TARGETS = {"job", "namespace", "service", "pod", "slo"}
"""What Prometheus, or a recording rule, says of a series beside the labels of its metric."""


def unmatched(expr: str) -> set[str]:
    """What an expression asks of a metric and can never be: such a rule is silent, whatever happens."""
    return {
        f"{series}{{{label}={value!r}}}"
        for series, selector in SELECTOR.findall(expr)
        for label, _, values in MATCHER.findall(selector)
        for value in values.split("|")
        if not _can_be(series, label, value)
    }


def _can_be(series: str, label: str, value: str) -> bool:
    metric = metric_of(series, CATALOGUE)
    if label in OF_TARGETS or series in RECORDED or metric is None or not value:
        return label in OF_TARGETS or series in RECORDED
    if label == "le":
        return float(value) in metric.buckets
    stated = next((each for each in metric.labels if each.name == label), None)
    names = {"code": {code.name for code in grpc.StatusCode}, "reason": set(table())}.get(label)
    return stated is not None and (value in stated.values if stated.values else names is None or value in names)


@pytest.mark.parametrize("rule", rules(), ids=name_of)
def test_rules_ask_for_values_that_labels_can_have(rule: Alert | Recording) -> None:
    assert unmatched(rule.expr) == set()


def test_a_value_that_a_label_never_has_is_found() -> None:
    quick = "gongji_grpc_duration_seconds_bucket"
    for selector in (
        f'{quick}{{le="0.4"}}',
        'gongji_grpc_calls_total{reason="FULL"}',
        'gongji_grpc_calls_total{code=~"OK|Ok"}',
    ):
        assert len(unmatched(f"rate({selector}[5m])")) == 1, selector
    assert unmatched('gongji_grpc_calls_total{principal="person"}')
    assert unmatched('gongji_grpc_in_flight{method="x"}')
    assert not unmatched(f'{quick}{{le="0.5", principal="service"}} > up{{job="gongji"}}')


@pytest.mark.parametrize("pattern", [SETTLING, SETTLING_ONE, SHOWING])
def test_methods_in_rules_are_methods_of_the_contract(pattern: str) -> None:
    services = [
        settlement_pb2.DESCRIPTOR.services_by_name["SettlementService"],
        visit_pb2.DESCRIPTOR.services_by_name["VisitService"],
    ]
    methods = {f"/{service.full_name}/{method.name}" for service in services for method in service.methods}
    path, _, choice = pattern.rpartition("/")
    assert {f"{path}/{name}" for name in choice.strip("()").split("|")} <= methods


@pytest.mark.parametrize("alert", EVERY_ALERT, ids=lambda alert: alert.name)
class TestEachAlert:
    def test_is_tried_firing_and_silent(self, alert: Alert) -> None:
        (case,) = [each for each in CASES if each.alert == alert.name]
        assert case.fires_on
        assert case.silent_on
        assert all(case.silent_on)

    def test_has_its_section_in_the_runbook(self, alert: Alert) -> None:
        text = (ROOT / RUNBOOK).read_text(encoding="utf-8")
        section = re.search(rf"^## {alert.name}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
        assert section, f"{RUNBOOK} has no section {alert.name}"
        assert re.findall(r"^\*\*(.+?)\.\*\*", section[1], re.MULTILINE) == ["Means", "Look at", "Do"]

    def test_says_what_happened_in_both_languages(self, alert: Alert) -> None:
        assert re.search(r"[一-鿿]", alert.summary_zh)
        assert alert.summary.isascii()
        assert alert.description.endswith(".")


def test_the_runbook_has_no_section_of_an_alert_that_is_gone() -> None:
    text = (ROOT / RUNBOOK).read_text(encoding="utf-8")
    assert set(re.findall(r"^## (\S+)$", text, re.MULTILINE)) == {alert.name for alert in EVERY_ALERT}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.alert)
def test_cases_are_made_of_series_that_there_are(case: Case) -> None:
    for series in (case.fires_on, *case.silent_on, *case.over_on):
        assert all(not unknown(name) for name in series)
