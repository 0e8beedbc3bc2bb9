"""Crediting many contributions, a transaction for each list of rows."""

from collections.abc import Sequence
from typing import Final

from kit.clock import Clock, shanghai_date
from kit.db import Work, retrying
from kit.ids import uuid7
from settlement import account_codec as codec
from settlement.account_service import hold_open_day
from settlement.contribution_repository import ContributionRepository
from settlement.domain.contributing import Books, Row, RowRefused, Taken, take
from settlement.domain.reasons import Reason, SettlementRefusedError

ATTEMPTS: Final = 5
"""Each time that an id is taken by somebody else, one id more is known; more than a few at once are a mistake."""

Numbered = tuple[int, Row | RowRefused]
"""A row with its number, as the sender counts."""


class _OvertakenError(Exception):
    """Somebody else has credited one of these at this very moment: look again."""


class ContributionService:
    """Credits lists of contributions, each once by its id."""

    def __init__(self, work: Work[ContributionRepository], clock: Clock) -> None:
        self._work = work
        self._clock = clock

    async def take(self, rows: Sequence[Numbered]) -> Taken:
        """What these rows came to; what crediting them one by one in their order would have come to.

        Raises:
            SettlementRefusedError: UNAVAILABLE, today's business day is closed, or others are sending the same rows.
        """
        for _ in range(ATTEMPTS):
            try:
                return await retrying(lambda: self._take(rows))
            except _OvertakenError:
                continue
        raise SettlementRefusedError(Reason.UNAVAILABLE, "others are sending the same contributions just now")

    async def _take(self, rows: Sequence[Numbered]) -> Taken:
        read = [row for _, row in rows if isinstance(row, Row)]
        async with self._work() as repository:
            locked = await repository.lock(sorted({row.psn_no for row in read})) if read else []
            accounts = {account.psn_no: account for account in locked}
            known = await repository.known_contributions([row.contribution_id for row in read])
            now = self._clock.now()
            taken = take(rows, Books(known, accounts, now, shanghai_date(now), uuid7))
            if taken.credited:
                await hold_open_day(repository, shanghai_date(now))
                if not await repository.claim_all(taken.credited):
                    raise _OvertakenError
                changed = [accounts[psn_no].after(each) for psn_no, each in taken.posted.standings.items()]
                await repository.post(taken.posted.rows, changed)
                await repository.outbox.add([codec.credited(row) for row in taken.posted.personal_rows])
            return taken
