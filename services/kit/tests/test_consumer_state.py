"""Of several troubles the gravest is told, and each ends by itself."""

from dataclasses import dataclass
from uuid import uuid4

import pytest
from prometheus_client import REGISTRY

from kit.bus_metrics import CONNECTED, HALTED, LAG
from kit.clock import Elapsed
from kit.consumer_progress import Picture, Place, Reach, progress_of
from kit.consumer_state import ConsumerState, Trouble
from kit.health import Health

TOPIC = "settlement-events-v1"


def behind(**lags: int) -> dict[Place, Reach]:
    """Partitions of ten events, `p1=7` of which are still to be read."""
    return {(TOPIC, int(name.removeprefix("p"))): Reach(10 - lag, 10) for name, lag in lags.items()}


class Bench:
    def __init__(self) -> None:
        self.group = f"group-{uuid4().hex[:8]}"
        self.health = Health()
        self.now = 0.0
        self.state = ConsumerState(self.group, self.health, Picture(lambda: Elapsed(lambda: self.now)))

    def age_seconds(self) -> float:
        return REGISTRY.get_sample_value("gongji_projection_age_seconds", {"group": self.group}) or 0.0

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
    bench.state.heard(behind(p0=0, p1=7))
    assert (bench.lags(), bench.connected()) == ({"0": 0, "1": 7}, 1)
    bench.state.begun(Trouble.KAFKA, "Kafka does not answer")
    assert (bench.lags(), bench.connected()) == ({}, 0)
    bench.state.heard(behind(p1=9))
    assert (bench.lags(), bench.connected()) == ({"1": 9}, 1)


def test_a_partition_that_went_to_another_replica_is_reported_there(bench: Bench) -> None:
    bench.state.heard(behind(p0=1, p1=7))
    bench.state.heard(behind(p1=6))
    assert bench.lags() == {"1": 6}


def test_a_fault_of_the_consumer_itself_asks_for_a_restart_and_shows_no_figure(bench: Bench) -> None:
    bench.state.heard(behind(p0=0))
    bench.state.ended("ended by ValueError")
    assert (bench.told(), bench.health.live(), bench.lags(), bench.connected()) == (
        (False, "ended by ValueError"),
        False,
        {},
        0,
    )


def test_a_picture_is_as_old_as_the_last_moment_at_which_nothing_was_missing(bench: Bench) -> None:
    bench.now = 5.0
    bench.state.heard(behind(p0=0, p1=1))
    assert bench.age_seconds() == 5.0
    bench.state.begun(Trouble.KAFKA, "Kafka does not answer")
    bench.now = 60.0
    bench.state.answered()
    assert bench.age_seconds() == 60.0
    bench.state.heard(behind(p0=0, p1=0))
    assert bench.age_seconds() == 0.0


def test_a_picture_stays_young_while_events_keep_coming_and_are_handled(bench: Bench) -> None:
    for second in range(0, 900, 5):
        bench.now = float(second)
        # A hundred a second; of each sample the last twenty are on their way.
        bench.state.heard({(TOPIC, 0): Reach(100 * second, 100 * second + 20)})
        assert bench.age_seconds() <= 5.0


def test_a_picture_grows_old_while_one_partition_is_handled_more_slowly_than_it_fills(bench: Bench) -> None:
    for second in range(0, 900, 5):
        bench.now = float(second)
        bench.state.heard({(TOPIC, 0): Reach(second, second), (TOPIC, 1): Reach(50 * second, 100 * second + 20)})
    # Half as fast: at 895 s it has what there was at about 447 s, and knows it of a sample before that.
    assert 440 < bench.age_seconds() < 895


def test_a_picture_of_a_stuck_consumer_grows_old_whatever_comes(bench: Bench) -> None:
    for second in range(0, 900, 5):
        bench.now = float(second)
        bench.state.heard({(TOPIC, 0): Reach(0, 20 + second)})
    assert bench.age_seconds() == 895.0


def test_a_partition_that_came_from_another_replica_has_to_be_read_up_to_now(bench: Bench) -> None:
    bench.state.heard(behind(p0=0))
    bench.now = 5.0
    bench.state.heard({**behind(p0=0), (TOPIC, 1): Reach(0, 1_000)})
    bench.now = 10.0
    bench.state.heard({**behind(p0=0), (TOPIC, 1): Reach(999, 2_000)})
    assert bench.age_seconds() == 10.0
    bench.state.heard({**behind(p0=0), (TOPIC, 1): Reach(1_000, 2_000)})
    # Of the other one all was known at the start, and of this one more than that.
    assert bench.age_seconds() == 10.0
    bench.now = 15.0
    bench.state.heard({**behind(p0=0), (TOPIC, 1): Reach(2_000, 3_000)})
    assert bench.age_seconds() == 5.0


def test_a_partition_that_went_to_another_replica_is_waited_for_no_more(bench: Bench) -> None:
    bench.state.heard(behind(p0=0, p1=7))
    bench.now = 5.0
    bench.state.heard(behind(p0=0))
    assert bench.age_seconds() == 0.0


@dataclass(frozen=True)
class Partition:
    topic: str
    partition: int


class Broker:
    """Kafka's answers to a consumer."""

    def __init__(self, committed: int | None) -> None:
        self._committed = committed
        self._place = Partition(TOPIC, 0)

    def assignment(self) -> set[Partition]:
        return {self._place}

    async def end_offsets(self, places: set[Partition]) -> dict[Partition, int]:
        return dict.fromkeys(places, 1_200)

    async def beginning_offsets(self, places: list[Partition]) -> dict[Partition, int]:
        return dict.fromkeys(places, 1_200)

    async def committed(self, _place: Partition) -> int | None:
        return self._committed


@pytest.mark.parametrize(("committed", "lag"), [(1_150, 50), (0, 1_200), (None, 0)])
async def test_what_a_topic_has_forgotten_is_behind_nobody_who_begins(committed: int | None, lag: int) -> None:
    (reach,) = (await progress_of(Broker(committed))).values()
    assert reach.lag == lag
