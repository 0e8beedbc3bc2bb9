"""The catalogue of metrics: each is declared once, here or in a service, and can be had in no other way.

What is declared is what `docs/metrics.md` says and what dashboards and alerts may name. A label says which values it
can have, or how many at most: every value is a time series of its own in Prometheus, as long as the process lives.
Labels are names from the contract and the code; never anything of a person.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import product
from typing import Final

import prometheus_client
from prometheus_client import Counter, Gauge, Histogram

# The time at which each counter was made: a second series for every first one, which nobody reads.
prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]

SECONDS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 15.0)
SIZES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
MOST_NAMES: Final = 32
MOST_SERIES_FROM_START: Final = 64
OTHER: Final = "other"


class CatalogueError(Exception):
    """A metric is declared twice, or a label has no bound; a fault in the code."""


class Kind(StrEnum):
    """What a metric is, in Prometheus' words."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Label:
    """A label and its bound: every value, or how many there can be at most."""

    name: str
    meaning: str
    values: tuple[str, ...] = ()
    most: int = 0

    @property
    def bound(self) -> int:
        """How many values there can be."""
        return len(self.values) or self.most


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric as it is declared."""

    name: str
    """As it is exposed; a histogram's series end in `_bucket`, `_sum` and `_count`."""
    kind: Kind
    unit: str
    """`s`, `fen`, or what is counted."""
    meaning: str
    labels: tuple[Label, ...] = ()
    service: str = ""
    """The one that has it; empty if each has."""
    buckets: tuple[float, ...] = ()
    """Of a histogram: up to where each counts."""


CATALOGUE: Final[dict[str, Metric]] = {}
"""Every metric that was declared by what has been imported, by name."""


class Declaring:
    """Declares the metrics of one service, or of all of them.

    Args:
        service: whose; empty for those that every service has.
    """

    def __init__(self, service: str = "") -> None:
        self._service = service

    def counter(self, name: str, meaning: str, *, unit: str, labels: Sequence[Label] = ()) -> Counter:
        """A counter; where its labels' values are stated and few, it is there from the start, at 0.

        A series that begins with its first event has no increase for it: an alert on the increase would not see it.
        """
        self._declare(Metric(name, Kind.COUNTER, unit, meaning, tuple(labels), self._service))
        counter = Counter(name, meaning, [label.name for label in labels])
        for values in _from_start(labels):
            counter.labels(*values)
        return counter

    def gauge(self, name: str, meaning: str, *, unit: str, labels: Sequence[Label] = ()) -> Gauge:
        """A gauge."""
        self._declare(Metric(name, Kind.GAUGE, unit, meaning, tuple(labels), self._service))
        return Gauge(name, meaning, [label.name for label in labels])

    def histogram(
        self, name: str, meaning: str, *, unit: str, labels: Sequence[Label] = (), buckets: Sequence[float] = SECONDS
    ) -> Histogram:
        """A histogram."""
        self._declare(Metric(name, Kind.HISTOGRAM, unit, meaning, tuple(labels), self._service, tuple(buckets)))
        return Histogram(name, meaning, [label.name for label in labels], buckets=buckets)

    def _declare(self, metric: Metric) -> None:
        if metric.name in CATALOGUE:
            raise CatalogueError(f"{metric.name} is declared twice")
        if metric.kind is Kind.COUNTER and not metric.name.endswith("_total"):
            raise CatalogueError(f"{metric.name} is a counter: its name ends in _total")
        for label in metric.labels:
            if not label.bound:
                raise CatalogueError(f"{metric.name}: the label {label.name} has no bound")
        CATALOGUE[metric.name] = metric


def _from_start(labels: Sequence[Label]) -> Sequence[tuple[str, ...]]:
    if not labels or not all(label.values for label in labels):
        return ()
    every = list(product(*(label.values for label in labels)))
    return every if len(every) <= MOST_SERIES_FROM_START else ()


class BoundedNames:
    """The first so many names as they are, and "other" for those after them."""

    def __init__(self, most: int = MOST_NAMES) -> None:
        self._most = most
        self._names: set[str] = set()

    def __call__(self, name: str) -> str:
        """The name to use as a label."""
        if name in self._names:
            return name
        if len(self._names) >= self._most - 1:
            return OTHER
        self._names.add(name)
        return name


error_name: Final = BoundedNames()
"""Of a class of errors, however many classes libraries may raise."""
ERROR: Final = Label("error", "class of the error; beyond 31 of them `other`", most=MOST_NAMES)

EVERY: Final = Declaring()

LIBRARY: Final[Mapping[str, str]] = {
    "process_virtual_memory_bytes": "Virtual memory of the process.",
    "process_resident_memory_bytes": "Memory that the process really has.",
    "process_start_time_seconds": "When the process started, Unix time.",
    "process_cpu_seconds_total": "Processor time that the process has used.",
    "process_open_fds": "Open file descriptors.",
    "process_max_fds": "File descriptors that may be open.",
    "python_info": "The version of Python.",
    "python_gc_objects_collected_total": "Objects that the garbage collector freed, by generation.",
    "python_gc_objects_uncollectable_total": "Objects that it could not free, by generation.",
    "python_gc_collections_total": "Its runs, by generation.",
}
"""What the library for Prometheus exposes by itself, of the process and of Python."""
