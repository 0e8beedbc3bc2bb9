"""How far a consumer has come, and how old that makes the picture which it has made of events."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kit.clock import Elapsed

Place = tuple[str, int]
"""A topic, and the number of a partition."""


@dataclass(frozen=True, slots=True)
class Reach:
    """One partition: up to where events have had their effect, and up to where there are any."""

    committed: int
    end: int

    @property
    def lag(self) -> int:
        """Events behind the end."""
        return max(0, self.end - self.committed)


Progress = Mapping[Place, Reach]
"""Of each partition that this replica has."""


async def progress_of(consumer: Any) -> Progress:
    """What is committed and where the ends are; asked of Kafka, so true while the consumer is stuck."""
    assignment = consumer.assignment()
    if not assignment:  # other replicas have all the partitions; that Kafka answers is to be known all the same
        await consumer.topics()
        return {}
    ends = await consumer.end_offsets(assignment)
    committed = {place: await consumer.committed(place) for place in ends}
    # Where nothing was committed yet reading begins at what is still kept, not at 0.
    new = [place for place, offset in committed.items() if offset is None]
    begins = await consumer.beginning_offsets(new) if new else {}
    return {
        (place.topic, place.partition): Reach(begins[place] if committed[place] is None else committed[place], end)
        for place, end in ends.items()
    }


class Picture:
    """How old a consumer's picture is: how long ago that moment is of which it has all events.

    While events keep coming there is no moment at which nothing is missing. So the ends of some moment are remembered
    until they are reached: then everything of that moment has been seen, whatever came since.
    """

    def __init__(self, elapsed: Callable[[], Elapsed] = Elapsed) -> None:
        self._elapsed = elapsed
        self._whole = self._looked = elapsed()
        self._ends: dict[Place, int] = {}

    @property
    def age_seconds(self) -> float:
        """How long ago that was."""
        return self._whole.seconds

    def heard(self, progress: Progress) -> None:
        """Kafka has said how far the consumer has come."""
        # What went to another replica is its to tell; what came from one has to be read up to now at least.
        self._ends = {place: self._ends.get(place, reach.end) for place, reach in progress.items()}
        if any(reach.committed < self._ends[place] for place, reach in progress.items()):
            return
        self._whole = self._looked
        self._looked = self._elapsed()
        self._ends = {place: reach.end for place, reach in progress.items()}
        if not any(reach.lag for reach in progress.values()):
            self._whole = self._looked
