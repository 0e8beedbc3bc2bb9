"""Rules for Prometheus as plain values, and the files that are made of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import yaml

HEAD: Final = "# Written by `make monitoring`; a test refuses this file if it is not what the code says.\n"
RUNBOOK: Final = "docs/operations/alerts.md"


class Severity(StrEnum):
    """Who is told when."""

    PAGE = "page"
    """Somebody is woken."""
    TICKET = "ticket"
    """Somebody looks during working hours."""


@dataclass(frozen=True, slots=True)
class Recording:
    """A figure that is worked out in advance."""

    record: str
    expr: str
    labels: Mapping[str, str] | None = None

    @property
    def stated(self) -> dict[str, Any]:
        """As Prometheus wants it."""
        stated: dict[str, Any] = {"record": self.record, "expr": one_line(self.expr)}
        return {**stated, "labels": dict(self.labels)} if self.labels else stated


@dataclass(frozen=True, slots=True)
class Alert:
    """A symptom that somebody has to be told of."""

    name: str
    expr: str
    holds: str
    """For how long before it fires, such as `5m`."""
    severity: Severity
    summary: str
    summary_zh: str
    description: str
    """What it means and the value, in a template of Prometheus."""

    @property
    def stated(self) -> dict[str, Any]:
        """As Prometheus wants it."""
        return {
            "alert": self.name,
            "expr": one_line(self.expr),
            "for": self.holds,
            "labels": {"severity": str(self.severity)},
            "annotations": {
                "summary": self.summary,
                "summary_zh": self.summary_zh,
                "description": self.description,
                "runbook_url": f"{RUNBOOK}#{self.name.lower()}",
            },
        }


Rule = Recording | Alert


@dataclass(frozen=True, slots=True)
class Group:
    """Rules that are looked at one after the other."""

    name: str
    rules: Sequence[Rule]
    interval: str = "30s"

    @property
    def stated(self) -> dict[str, Any]:
        """As Prometheus wants it."""
        return {"name": self.name, "interval": self.interval, "rules": [rule.stated for rule in self.rules]}


def one_line(expr: str) -> str:
    """An expression without the line breaks that it has in the code."""
    return " ".join(expr.split())


def plain(groups: Sequence[Group]) -> str:
    """A file of rules as Prometheus and promtool read it."""
    return HEAD + as_yaml({"groups": [group.stated for group in groups]})


def custom_resource(groups: Sequence[Group]) -> str:
    """The same for the Prometheus operator."""
    return HEAD + as_yaml(
        {
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": "PrometheusRule",
            "metadata": {"name": "gongji", "labels": {"app.kubernetes.io/part-of": "gongji"}},
            "spec": {"groups": [group.stated for group in groups]},
        }
    )


def as_yaml(value: object) -> str:
    """YAML in the order in which things were stated."""
    text: str = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=10_000)
    return text
