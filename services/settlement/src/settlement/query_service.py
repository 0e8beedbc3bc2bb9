"""Asking for a settlement by its id or by the msgid of its request."""

from collections.abc import Collection, Sequence
from datetime import date
from uuid import UUID

from kit.db import Work
from settlement.domain.reasons import Reason, SettlementRefusedError
from settlement.domain.state import Settlement
from settlement.listing import Place
from settlement.repository import SettlementRepository


class QueryService:
    """Answers from the record."""

    def __init__(self, work: Work[SettlementRepository]) -> None:
        self._work = work

    async def by_msgid(self, fixmedins_code: str, msgid: str) -> Settlement:
        """The settlement of a request.

        Raises:
            SettlementRefusedError: NOT_FOUND, which is not final while the request may still be on its way.
        """
        key = (fixmedins_code, msgid)
        async with self._work() as repository:
            found = (await repository.find_by_msgids([key])).get(key)
        if found is None:
            raise SettlementRefusedError(Reason.NOT_FOUND, "nothing has come under this msgid yet")
        return found

    async def by_id(self, fixmedins_code: str, settlement_id: UUID) -> Settlement:
        """The settlement of an id.

        Raises:
            SettlementRefusedError: NOT_FOUND, or FORBIDDEN_INSTITUTION if it is another institution's.
        """
        async with self._work() as repository:
            found = (await repository.find_by_ids([settlement_id])).get(settlement_id)
        if found is None:
            raise SettlementRefusedError(Reason.NOT_FOUND, "there is no settlement of this setl_id")
        if found.fixmedins_code != fixmedins_code:
            raise SettlementRefusedError(Reason.FORBIDDEN_INSTITUTION, "this setl_id belongs to another institution")
        return found

    async def known(self, fixmedins_code: str, msgids: Collection[str]) -> set[str]:
        """Those of these msgids that are answered from the record of a settlement or of a held preview."""
        keys = [(fixmedins_code, msgid) for msgid in msgids]
        async with self._work() as repository:
            settled, held = await repository.find_by_msgids(keys), await repository.quotes.find_by_msgids(keys)
        return {msgid for _, msgid in (*settled, *held)}

    async def of_day(
        self, fixmedins_code: str, day: date, after: Place, most: int
    ) -> tuple[Sequence[Settlement], bool]:
        """An institution's settlements of a day in every state, from after a place on; and whether there are more."""
        async with self._work() as repository:
            found = await repository.of_day(fixmedins_code, day, after, most + 1)
        return found[:most], len(found) > most
