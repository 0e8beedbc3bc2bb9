"""What is wrong with one consumer, told to `Health` and as metrics."""

from enum import StrEnum

from kit.bus_metrics import CONNECTED, CONSUMED_AT, HALTED, HEARD_AT, LAG, PROJECTION_AGE
from kit.consumer_progress import Picture, Place, Progress
from kit.health import Health


class Trouble(StrEnum):
    """What may be wrong, the gravest first: it is the one that is told."""

    HALTED = "halted"
    REFUSED = "refused"
    KAFKA = "kafka"
    STUCK = "stuck"
    WAITING = "waiting"


class ConsumerState:
    """One consumer's state. Troubles of different kinds come and go by themselves: one that ends hides no other."""

    def __init__(self, group: str, health: Health, picture: Picture | None = None) -> None:
        self._group = group
        self._name = f"consumer {group}"
        self._health = health
        self._troubles: dict[Trouble, str] = {}
        self._sampled: set[Place] = set()
        self._picture = picture or Picture()
        PROJECTION_AGE.labels(group).set_function(lambda: self._picture.age_seconds)

    def begun(self, trouble: Trouble, why: str) -> None:
        """Something is wrong from now on."""
        self._troubles[trouble] = why
        if trouble is Trouble.KAFKA:
            CONNECTED.labels(self._group).set(0)
            self._forget_lag(self._sampled)
        if trouble is Trouble.HALTED:
            HALTED.labels(self._group).set(1)
        self._tell()

    def over(self, trouble: Trouble) -> None:
        """It is well again."""
        if self._troubles.pop(trouble, None) is not None:
            self._tell()

    def answered(self) -> None:
        """Kafka has answered; how far behind we are is not known yet."""
        CONNECTED.labels(self._group).set(1)
        HEARD_AT.labels(self._group).set_to_current_time()
        self.over(Trouble.KAFKA)

    def heard(self, progress: Progress) -> None:
        """Kafka has said how far we have come; without partitions we are not behind."""
        self._forget_lag(self._sampled - progress.keys())  # went to another replica, which reports it now
        self._sampled = set(progress)
        self._picture.heard(progress)
        for (topic, partition), reach in progress.items():
            LAG.labels(self._group, topic, partition).set(reach.lag)
        self.answered()

    def consumed(self) -> None:
        """A batch has had its effect."""
        CONSUMED_AT.labels(self._group).set_to_current_time()
        self.over(Trouble.WAITING)

    def ended(self, why: str) -> None:
        """Only a restart helps."""
        CONNECTED.labels(self._group).set(0)
        self._forget_lag(self._sampled)
        self._health.set(self._name, False, why, vital=True)

    def stopped(self) -> None:
        """It was told to stop, whatever else was wrong."""
        self._troubles = {Trouble.KAFKA: "stopped"}
        CONNECTED.labels(self._group).set(0)
        self._forget_lag(self._sampled)
        self._tell()

    def _forget_lag(self, places: set[Place]) -> None:
        # A figure from before would be a green light over a dead consumer.
        for topic, partition in places:
            LAG.remove(self._group, topic, str(partition))
        self._sampled = self._sampled - places

    def _tell(self) -> None:
        why = next((self._troubles[trouble] for trouble in Trouble if trouble in self._troubles), "")
        self._health.set(self._name, not why, why, serving=False)
