"""Filings of care elsewhere (异地就医备案)."""

from collections.abc import Sequence
from uuid import UUID

from identity.domain import remote_care
from identity.domain.refusals import FilingNotFound, IdentityRefusal
from identity.domain.remote_care import RemoteFiling
from identity.repository import Operation, Repository
from identity.service.people import locked_person, moment
from identity.service.viewing import Viewer, look_at, raised
from kit.clock import Clock
from kit.db import Work


class RemoteCareService:
    """Filings of care elsewhere."""

    def __init__(self, work: Work[Repository], clock: Clock) -> None:
        self._work = work
        self._clock = clock

    async def file(self, filing: RemoteFiling) -> RemoteFiling:
        """File care elsewhere; filing the same again gives the same filing, unless that was cancelled.

        Raises:
            PersonNotFound: there is no such person.
        """
        async with self._work() as repository:
            await locked_person(repository, filing.psn_no)
            return await repository.file_remote_care(filing)

    async def cancel(self, psn_no: str, filing_id: UUID) -> RemoteFiling:
        """Cancel a filing as of today; again changes nothing.

        Raises:
            FilingNotFound: this person has no such filing.
        """
        _, today = moment(self._clock)
        async with self._work() as repository:
            before = await repository.lock_filing(psn_no, filing_id)
            if before is None:
                raise FilingNotFound
            after = remote_care.cancel(before, today)
            if after is not before:
                await repository.save_cancellation(after)
        return after

    async def filings(self, psn_no: str, viewer: Viewer, before: UUID | None, limit: int) -> Sequence[RemoteFiling]:
        """A person's filings, newest first; `before` one of them, or from the newest.

        Raises:
            NotEntitled: a citizen asks about somebody else.
            PersonNotFound: there is no such person.
        """
        now = self._clock.now()
        filings: Sequence[RemoteFiling] = []
        async with self._work() as repository:
            seen = await look_at(repository, psn_no, viewer, Operation.VIEW_REMOTE_CARE, now)
            if not isinstance(seen, IdentityRefusal):
                filings = await repository.filings_listed(psn_no, before, limit)
        raised(seen)
        return filings
