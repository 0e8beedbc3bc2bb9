"""Of several troubles the gravest is told, and each ends by itself."""

from uuid import uuid4

import pytest
from prometheus_client import REGISTRY

from kit.bus_metrics import CONNECTED, HALTED, LAG
from kit.clock import Elapsed
from kit.consumer_state import ConsumerState, Trouble
from kit.health import Health


class Bench:
    def __init__(self) -> None:
        self.group = f"group-{uuid4().hex[:8]}"
        self.health = Health()
        self.state = ConsumerState(self.group, self.health)

    def told(self) -> tuple[bool, str]:
        check = self.health.checks()[f"consumer {self.group}"]
        return check.ok, check.why

    def lags(self) -> dict[str, float]:
        samples = [sample for metric in LAG.collect() for sample in metric.samples]
        return {each.labels["partition"]: each.value for each in samples if each.labels["group"] == self.group}

    def connected(self) -> float:
        return float(CONNECTED.labels(self.group)._value.get())


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_an_answer_of_kafka_ends_an_outage_and_not_a_wait_for_the_database(bench: Bench) -> None:
    bench.state.begun(Trouble.WAITING, "waiting: no database")
    bench.state.begun(Trouble.KAFKA, "Kafka does not answer")
    assert bench.told() == (False, "Kafka does not answer")
    bench.state.heard({})
    assert bench.told() == (False, "waiting: no database")
    bench.state.consumed()
    assert bench.told() == (True, "")


def test_a_consumer_that_stopped_for_failures_stays_so_whatever_kafka_answers(bench: Bench) -> None:
    bench.state.begun(Trouble.HALTED, "stopped: 20 failures")
    bench.state.begun(Trouble.KAFKA, "Kafka does not answer")
    bench.state.heard({})
    bench.state.consumed()
    assert bench.told() == (False, "stopped: 20 failures")
    assert HALTED.labels(bench.group)._value.get() == 1


def test_an_outage_takes_back_every_figure_of_before(bench: Bench) -> None:
    bench.state.heard({("settlement-events-v1", 0): 0, ("settlement-events-v1", 1): 7})
    assert (bench.lags(), bench.connected()) == ({"0": 0, "1": 7}, 1)
    bench.state.begun(Trouble.KAFKA, "Kafka does not answer")
    assert (bench.lags(), bench.connected()) == ({}, 0)
    bench.state.heard({("settlement-events-v1", 1): 9})
    assert (bench.lags(), bench.connected()) == ({"1": 9}, 1)


def test_a_partition_that_went_to_another_replica_is_reported_there(bench: Bench) -> None:
    bench.state.heard({("settlement-events-v1", 0): 1, ("settlement-events-v1", 1): 7})
    bench.state.heard({("settlement-events-v1", 1): 6})
    assert bench.lags() == {"1": 6}


def test_a_fault_of_the_consumer_itself_asks_for_a_restart_and_shows_no_figure(bench: Bench) -> None:
    bench.state.heard({("settlement-events-v1", 0): 0})
    bench.state.ended("ended by ValueError")
    assert (bench.told(), bench.health.live(), bench.lags(), bench.connected()) == (
        (False, "ended by ValueError"),
        False,
        {},
        0,
    )


def test_a_picture_is_as_old_as_the_last_moment_at_which_nothing_was_missing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(bench.state, "_complete", Elapsed(lambda: now))

    def age_seconds() -> float:
        return REGISTRY.get_sample_value("gongji_projection_age_seconds", {"group": bench.group}) or 0.0

    now = 5.0
    bench.state.heard({("settlement-events-v1", 0): 0, ("settlement-events-v1", 1): 1})
    assert age_seconds() == 5.0
    bench.state.begun(Trouble.KAFKA, "Kafka does not answer")
    now = 60.0
    bench.state.answered()
    assert age_seconds() == 60.0
    bench.state.heard({("settlement-events-v1", 0): 0, ("settlement-events-v1", 1): 0})
    assert age_seconds() == 0.0
