"""A metric is declared once, with a bound for each of its labels, and can be counted on from the start."""

from uuid import uuid4

import pytest
from prometheus_client import REGISTRY

from kit.metrics import CATALOGUE, OTHER, BoundedNames, CatalogueError, Declaring, Kind, Label

SIDE = Label("side", "which", ("left", "right"))


def new_name() -> str:
    return f"gongji_test_{uuid4().hex}_total"


def test_what_is_declared_is_in_the_catalogue() -> None:
    name = new_name()
    Declaring("settlement").counter(name, "Tried.", unit="tries", labels=(SIDE,))
    metric = CATALOGUE.pop(name)
    assert (metric.kind, metric.unit, metric.meaning, metric.service) == (Kind.COUNTER, "tries", "Tried.", "settlement")
    assert metric.labels == (SIDE,)


def test_a_counter_whose_values_are_stated_is_there_before_anything_is_counted() -> None:
    name = new_name()
    Declaring().counter(name, "Tried.", unit="tries", labels=(SIDE,))
    del CATALOGUE[name]
    assert [REGISTRY.get_sample_value(name, {"side": side}) for side in ("left", "right", "above")] == [0.0, 0.0, None]


def test_a_metric_cannot_be_declared_twice() -> None:
    name = new_name()
    Declaring().counter(name, "Tried.", unit="tries")
    with pytest.raises(CatalogueError, match="declared twice"):
        Declaring("notify").gauge(name, "Tried.", unit="tries")
    del CATALOGUE[name]


def test_a_label_without_a_bound_is_refused() -> None:
    name = new_name()
    with pytest.raises(CatalogueError, match="the label psn_no has no bound"):
        Declaring().counter(name, "Tried.", unit="tries", labels=(Label("psn_no", "who"),))
    assert name not in CATALOGUE


def test_a_counter_is_named_as_it_is_exposed() -> None:
    with pytest.raises(CatalogueError, match="ends in _total"):
        Declaring().counter("gongji_test_tries", "Tried.", unit="tries")


def test_no_second_series_tells_when_a_counter_was_made() -> None:
    name = new_name()
    Declaring().counter(name, "Tried.", unit="tries").inc()
    del CATALOGUE[name]
    assert REGISTRY.get_sample_value(name) == 1.0
    assert REGISTRY.get_sample_value(name.replace("_total", "_created")) is None


def test_names_beyond_the_bound_are_one_other() -> None:
    bounded = BoundedNames(most=3)
    assert [bounded(name) for name in ("A", "B", "C", "D", "A", "B")] == ["A", "B", OTHER, OTHER, "A", "B"]
