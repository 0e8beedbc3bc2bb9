"""Reading the access log, which is itself an access."""

from collections.abc import Sequence
from datetime import date, datetime

from identity.domain.refusals import NotEntitled
from identity.repository import RECOGNISED, Access, AccessFilter, LoggedAccess, Operation, Repository
from identity.service.people import moment
from identity.service.viewing import Means, Viewer
from kit.clock import Clock
from kit.db import Work


class AccessLogService:
    """Who was told what about whom."""

    def __init__(self, work: Work[Repository], clock: Clock) -> None:
        self._work = work
        self._clock = clock

    async def list(
        self, wanted: AccessFilter, viewer: Viewer, before: int | None, limit: int
    ) -> Sequence[LoggedAccess]:
        """Lines, newest first: a citizen's own and those of their minors; for an auditor any.

        Raises:
            NotEntitled: a citizen asks about somebody else, or by caller.
        """
        now, today = moment(self._clock)
        async with self._work() as repository:
            entitled = await _may_read(repository, wanted, viewer, today)
            found = await repository.accesses_logged(wanted, before, limit) if entitled else []
            await repository.log_access(await _line(repository, wanted, viewer, now, entitled=entitled))
        if not entitled:
            raise NotEntitled
        return found


async def _may_read(repository: Repository, wanted: AccessFilter, viewer: Viewer, today: date) -> bool:
    if viewer.means is Means.AUDITOR:
        return True
    if wanted.psn_no is None or wanted.caller is not None:
        return False
    return viewer.may_see(wanted.psn_no, await repository.person(wanted.psn_no), today)


async def _line(
    repository: Repository, wanted: AccessFilter, viewer: Viewer, now: datetime, *, entitled: bool
) -> Access:
    known = wanted.psn_no is not None and await repository.person(wanted.psn_no) is not None
    outcome = RECOGNISED if entitled else NotEntitled.reason
    about = wanted.psn_no if known else None
    return Access(now, viewer.caller, Operation.LIST_ACCESS, viewer.means, outcome, viewer.request_id, about)
