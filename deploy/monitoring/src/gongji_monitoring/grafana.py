"""Dashboards as plain values, and Grafana's JSON of them."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gongji_monitoring.rule_files import one_line

WIDTH: Final = 24
HEIGHT: Final = 8
SCHEMA: Final = 39
"""Of Grafana 10.4 and later, which takes older ones along by itself."""
SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}


@dataclass(frozen=True, slots=True)
class Query:
    """A line, or some."""

    expr: str
    legend: str


@dataclass(frozen=True, slots=True)
class Panel:
    """A graph of one unit."""

    title: str
    unit: str
    """In Grafana's words: `reqps`, `s`, `percentunit`, `short`."""
    queries: Sequence[Query]
    meaning: str = ""
    kind: str = "timeseries"
    width: int = 8


@dataclass(frozen=True, slots=True)
class Row:
    """Panels side by side, under a heading."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True, slots=True)
class Dashboard:
    """A page of Grafana."""

    uid: str
    title: str
    rows: Sequence[Row]


def written(dashboard: Dashboard) -> str:
    """The JSON that Grafana imports, and its sidecar loads."""
    page = {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "description": "Written by `make monitoring`; change it there.",
        "tags": ["gongji"],
        "editable": False,
        "schemaVersion": SCHEMA,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "Asia/Shanghai",
        "templating": {"list": [_source(), _namespace()]},
        "panels": list(_panels(dashboard.rows)),
    }
    return json.dumps(page, ensure_ascii=False, indent=1) + "\n"


def _source() -> dict[str, Any]:
    return {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}


def _namespace() -> dict[str, Any]:
    return {
        "name": "namespace",
        "type": "query",
        "datasource": SOURCE,
        "query": "label_values(gongji_grpc_in_flight, namespace)",
        "refresh": 2,
        "sort": 1,
    }


def _panels(rows: Sequence[Row]) -> Iterator[dict[str, Any]]:
    number, top = 1, 0
    for row in rows:
        yield {"id": number, "type": "row", "title": row.title, "collapsed": False, "gridPos": _place(0, top, WIDTH, 1)}
        number, top, left = number + 1, top + 1, 0
        for panel in row.panels:
            if left + panel.width > WIDTH:
                left, top = 0, top + HEIGHT
            yield _panel(panel, number, _place(left, top, panel.width, HEIGHT))
            number, left = number + 1, left + panel.width
        top += HEIGHT


def _place(left: int, top: int, width: int, height: int) -> dict[str, int]:
    return {"x": left, "y": top, "w": width, "h": height}


def _panel(panel: Panel, number: int, place: dict[str, int]) -> dict[str, Any]:
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.meaning,
        "datasource": SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": SOURCE,
                "expr": one_line(query.expr),
                "legendFormat": query.legend,
            }
            for index, query in enumerate(panel.queries)
        ],
    }
