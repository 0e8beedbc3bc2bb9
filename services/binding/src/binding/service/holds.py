"""What is held, and how authorizations stand: for settlement's reconciling and its audit. Reads only."""

from collections.abc import Collection
from uuid import UUID

from binding.domain.authorizations import Recorded
from binding.repository import Place, Repository
from kit.db import Work


class Holds:
    """Answers what settlement asks when it compares its books with the limits."""

    def __init__(self, work: Work[Repository]) -> None:
        self._work = work

    async def held(self, min_age_seconds: float, after: Place | None, limit: int) -> list[Recorded]:
        """What has been held for so long in real time, the longest first, behind a place."""
        async with self._work() as repository:
            return await repository.held(min_age_seconds, after, limit)

    async def captured(self, first: UUID, limit: int) -> list[Recorded]:
        """What is captured, by id, from one on."""
        async with self._work() as repository:
            return await repository.captured(first, limit)

    async def by_ids(self, ids: Collection[UUID]) -> list[Recorded]:
        """The authorizations of these ids, those that there are."""
        async with self._work() as repository:
            return await repository.recorded(ids)
