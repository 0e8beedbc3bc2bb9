"""The whole catalogue of metrics: what the kit declares and what each service does."""

from collections.abc import Mapping
from importlib import import_module
from typing import Final

from kit.metrics import CATALOGUE, LIBRARY, Kind, Metric

DECLARING: Final = (
    "kit.audit_results",
    "kit.bus_metrics",
    "kit.certificates",
    "kit.clock_offset",
    "kit.dlq_sampling",
    "kit.grpc_probes",
    "kit.month_making",
    "kit.observability",
    "kit.pool_metrics",
    "kit.rpc_metrics",
    "kit.scheduler",
    "identity.metrics",
    "binding.metrics",
    "settlement.metrics",
    "notify.metrics",
)
"""The modules that declare metrics; a test finds one that is missing here."""

_SUFFIXES: Final = ("_bucket", "_sum", "_count")


def whole() -> Mapping[str, Metric]:
    """Every metric, by name."""
    for module in DECLARING:
        import_module(module)
    return {name: metric for name, metric in sorted(CATALOGUE.items()) if name.startswith("gongji_")}


def metric_of(series: str, catalogue: Mapping[str, Metric]) -> Metric | None:
    """The metric that a series belongs to; None if it is of none that is declared."""
    if series in catalogue:
        return catalogue[series] if catalogue[series].kind is not Kind.HISTOGRAM else None
    for suffix in _SUFFIXES:
        family = catalogue.get(series.removesuffix(suffix)) if series.endswith(suffix) else None
        if family is not None and family.kind is Kind.HISTOGRAM:
            return family
    return None


def is_of_library(series: str) -> bool:
    """Whether the library for Prometheus tells it by itself, of the process and of Python."""
    return series in LIBRARY
