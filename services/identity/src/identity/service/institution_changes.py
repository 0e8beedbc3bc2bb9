"""Changes of institutions by two operators: one proposes, another confirms."""

from collections.abc import Sequence
from uuid import UUID

from identity import events
from identity.domain import institution_change as changes
from identity.domain.institution import Institution
from identity.domain.institution_change import ChangeState, InstitutionChange
from identity.domain.refusals import ChangeNotFound
from identity.repository import Repository, VersionedChange
from kit.clock import Clock
from kit.db import Work
from kit.ids import uuid7


class InstitutionChangeService:
    """Proposals, and what becomes of them."""

    def __init__(self, work: Work[Repository], clock: Clock) -> None:
        self._work = work
        self._clock = clock

    async def propose(self, proposed: Institution, operator: str, reason: str) -> InstitutionChange:
        """Propose how an institution shall be.

        Raises:
            NothingToChange: it is so already.
        """
        now = self._clock.now()
        async with self._work() as repository:
            known = await repository.lock_institution(proposed.fixmedins_code)
            change = changes.propose(known, proposed, uuid7(), proposer=operator, reason=reason, now=now)
            await repository.add_change(change)
        return change

    async def confirm(self, change_id: UUID, operator: str) -> InstitutionChange:
        """Confirm a proposal: the institution is as proposed from now on.

        Raises:
            ChangeNotFound: there is no such proposal.
            ChangeDecided, FourEyes, ChangeOutdated: see `identity.domain.institution_change.confirm`.
        """
        now = self._clock.now()
        async with self._work() as repository:
            code = _found(await repository.change(change_id)).proposed.fixmedins_code
            known = await repository.lock_institution(code)
            waiting = _found(await repository.lock_change(change_id))
            confirmed, after = changes.confirm(waiting, known, operator, now)
            await repository.save_institution(after)
            await repository.save_decision(confirmed)
            await repository.outbox.add([events.institution_changed(after, now)])
        return confirmed

    async def reject(self, change_id: UUID, operator: str, reason: str) -> InstitutionChange:
        """Reject a proposal, or withdraw one's own.

        Raises:
            ChangeNotFound: there is no such proposal.
            ChangeDecided: it was confirmed or rejected before.
        """
        now = self._clock.now()
        async with self._work() as repository:
            rejected = changes.reject(_found(await repository.lock_change(change_id)), operator, reason, now)
            await repository.save_decision(rejected)
        return rejected

    async def list(
        self, fixmedins_code: str | None, state: ChangeState | None, before: UUID | None, limit: int
    ) -> Sequence[VersionedChange]:
        """Proposals, newest first; `before` one of them, or from the newest."""
        async with self._work() as repository:
            return await repository.changes(fixmedins_code, state, before, limit)


def _found(change: InstitutionChange | None) -> InstitutionChange:
    if change is None:
        raise ChangeNotFound
    return change
