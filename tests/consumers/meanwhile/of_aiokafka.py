"""Prints where `Since` begins when the first record of its time is published between its two questions."""

import asyncio
from typing import Any

from aiokafka import TopicPartition  # type: ignore[import-untyped]
from aiokafka.structs import OffsetAndTimestamp  # type: ignore[import-untyped]
from consume import Since  # type: ignore[import-not-found]

PLACE = TopicPartition("account-events-v1", 3)


class Consumer:
    """Has five records of an earlier time; after each question that it is asked, one more is published."""

    def __init__(self) -> None:
        self.end = 5

    async def committed(self, _place: TopicPartition) -> None:
        """The group was never there."""

    async def offsets_for_times(self, _times: Any) -> dict[TopicPartition, OffsetAndTimestamp | None]:
        """The first new one, if there is any."""
        found = OffsetAndTimestamp(5, 1) if self.end > 5 else None
        self.end += 1
        return {PLACE: found}

    async def end_offsets(self, _places: Any) -> dict[TopicPartition, int]:
        """Behind the last."""
        self.end += 1
        return {PLACE: self.end - 1}

    def seek(self, _place: TopicPartition, offset: int) -> None:
        """Begin there."""
        print(offset)  # noqa: T201 - that is what it is for


asyncio.run(Since(Consumer(), 1).on_partitions_assigned([PLACE]))
