"""Takes in what identity tells: persons and institutions, and the freeze of an account after a death (R14)."""

from collections.abc import Iterable, Sequence
from typing import Final
from uuid import UUID

from kit.clock import Clock
from kit.db import Work
from settlement import account_codec as codec
from settlement.domain.accounts import Account, freeze_for_death
from settlement.domain.projection import (
    Died,
    InstitutionTold,
    PersonTold,
    Told,
    first_known,
    learn_all,
    newest_institutions,
)
from settlement.projection_repository import ProjectionRepository

GROUP: Final = "settlement"
"""The consumer group, and the inbox's consumer name: never changed, or everything is taken in again."""


class Projection:
    """What settlement knows by identity's events, one transaction for a batch."""

    def __init__(self, work: Work[ProjectionRepository], clock: Clock) -> None:
        self._work = work
        self._clock = clock

    async def take(self, events: Sequence[tuple[UUID, Told]]) -> None:
        """Take in these events, each once, in whatever order they come."""
        async with self._work() as repository:
            new = await repository.inbox.first_time(GROUP, [event_id for event_id, _ in events])
            told = [one for event_id, one in events if event_id in new]
            await _learn_people(repository, [one for one in told if not isinstance(one, InstitutionTold)])
            await self._freeze(repository, [one.psn_no for one in told if isinstance(one, Died)])
            await _learn_institutions(repository, [one for one in told if isinstance(one, InstitutionTold)])

    async def _freeze(self, repository: ProjectionRepository, psn_nos: Iterable[str]) -> None:
        now = self._clock.now()
        decided = [freeze_for_death(account, now) for account in await _locked(repository, psn_nos)]
        frozen = [(account, change) for account, change in decided if change is not None]
        if frozen:
            await repository.save([account for account, _ in frozen])
            await repository.add_changes([change for _, change in frozen])
            await repository.outbox.add([codec.changed(account, change) for account, change in frozen])


async def _locked(repository: ProjectionRepository, psn_nos: Iterable[str]) -> Sequence[Account]:
    distinct = sorted(set(psn_nos))
    return await repository.lock(distinct) if distinct else []


async def _learn_people(repository: ProjectionRepository, told: Sequence[PersonTold]) -> None:
    if not told:
        return
    first = {one.psn_no: first_known(one) for one in told}
    before = await repository.people([first[psn_no] for psn_no in sorted(first)])
    after = learn_all(before, told)
    changed = [person for psn_no, person in after.items() if person != before[psn_no]]
    if changed:
        await repository.save_people(changed)


async def _learn_institutions(repository: ProjectionRepository, told: Sequence[InstitutionTold]) -> None:
    if told:
        await repository.save_institutions(newest_institutions(told))
