"""Prints where `since` begins when the first record of its time is published between its two questions."""

from confluent_kafka import OFFSET_INVALID, TopicPartition  # type: ignore[import-not-found]
from consume import since  # type: ignore[import-not-found]


class Consumer:
    """Has five records of an earlier time; after each question that it is asked, one more is published."""

    def __init__(self) -> None:
        self.end = 5

    def committed(self, places: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        """The group was never there."""
        del timeout
        return [TopicPartition(place.topic, place.partition, OFFSET_INVALID) for place in places]

    def offsets_for_times(self, places: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        """The first new one, or the end as librdkafka says it."""
        del timeout
        found = 5 if self.end > 5 else -1
        self.end += 1
        return [TopicPartition(place.topic, place.partition, found) for place in places]

    def get_watermark_offsets(self, place: TopicPartition, timeout: float) -> tuple[int, int]:
        """From the first to behind the last."""
        del place, timeout
        self.end += 1
        return 0, self.end - 1

    def assign(self, places: list[TopicPartition]) -> None:
        """Begin there."""
        print(*(place.offset for place in places))  # noqa: T201 - that is what it is for


since(1)(Consumer(), [TopicPartition("account-events-v1", 3)])
