"""Designated institutions (定点医药机构)."""

from collections.abc import Sequence

from identity import events
from identity.domain import institution as institutions
from identity.domain.institution import Institution
from identity.domain.refusals import InstitutionNotFound
from identity.repository import Repository
from kit.clock import Clock
from kit.db import Work


class InstitutionService:
    """Designated institutions."""

    def __init__(self, work: Work[Repository], clock: Clock) -> None:
        self._work = work
        self._clock = clock

    async def register(self, stated: Institution) -> bool:
        """Keep the institution as stated; whether anything changed."""
        now = self._clock.now()
        async with self._work() as repository:
            before = await repository.lock_institution(stated.fixmedins_code)
            after = institutions.register(before, stated)
            if after is not before:
                await repository.save_institution(after)
                await repository.outbox.add([events.institution_changed(after, now)])
        return after is not before

    async def get(self, fixmedins_code: str) -> Institution:
        """The institution.

        Raises:
            InstitutionNotFound: there is no such institution.
        """
        async with self._work() as repository:
            institution = await repository.institution(fixmedins_code)
        if institution is None:
            raise InstitutionNotFound
        return institution

    async def list(self, admdvs_prefix: str, after: str, limit: int, *, suspended_only: bool) -> Sequence[Institution]:
        """Institutions whose region begins so, by rising code, after a code."""
        async with self._work() as repository:
            return await repository.institutions_by_code(admdvs_prefix, after, limit, suspended_only=suspended_only)
