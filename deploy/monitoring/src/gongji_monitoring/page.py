"""`docs/metrics.md`: every metric, as the catalogue declares it."""

from collections.abc import Collection, Iterator, Mapping
from typing import Final

from kit.metrics import LIBRARY, Label, Metric

_HEAD: Final = """\
# Metrics

Written by `make monitoring` from the catalogue (`kit.metrics` and each service's `metrics.py`). A test refuses this
page if it is not what the catalogue says, and compares the catalogue with what the running services expose.

Each process answers `GET /metrics` on its HTTP address. Labels have bounds, which are stated here; none of them is ever
anything of a person. A counter whose labels' values are all stated is there from the start, at 0. What tells a moment
is Unix time. `service`, `namespace` and `pod` are no labels of these metrics: whoever scrapes adds them.
"""
_SERVICES: Final = {
    "": "Every service",
    "identity": "Identity",
    "binding": "Binding",
    "settlement": "Settlement",
    "notify": "Notify",
}


def written(catalogue: Mapping[str, Metric]) -> str:
    """The page."""
    return "\n".join(_lines(list(catalogue.values())))


def _lines(metrics: Collection[Metric]) -> Iterator[str]:
    yield _HEAD
    for service, title in _SERVICES.items():
        yield f"## {title}\n"
        yield from _table([each for each in metrics if each.service == service])
    yield "## Of the process and of Python\n"
    yield "The library for Prometheus tells these by itself.\n"
    yield "| metric | meaning |\n| --- | --- |"
    yield from (f"| `{name}` | {meaning} |" for name, meaning in LIBRARY.items())
    yield ""


def _table(metrics: Collection[Metric]) -> Iterator[str]:
    yield "| metric | type | unit | labels | meaning |\n| --- | --- | --- | --- | --- |"
    for each in metrics:
        labels = "<br>".join(_label(label) for label in each.labels)
        yield f"| `{each.name}` | {each.kind} | {each.unit or '—'} | {labels or '—'} | {each.meaning} |"
    yield ""


def _label(label: Label) -> str:
    bound = ", ".join(f"`{value}`" if value else "empty" for value in label.values) or f"at most {label.most}"
    return f"`{label.name}`: {label.meaning} ({bound})"
