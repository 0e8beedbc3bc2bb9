"""Held previews in memory: the double of `PostgresQuoteRepository` for unit tests."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from settlement.domain.quotes import Quote, QuoteState, kept_fen

if TYPE_CHECKING:
    from settlement.memory import MemorySettlements


class MemoryQuotes:
    """See `settlement.quote_repository.QuoteRepository`; lives beside the settlements and accounts of one store."""

    def __init__(self, beside: "MemorySettlements") -> None:
        self._beside = beside
        self.quotes: dict[UUID, Quote] = {}
        self.updated_at: dict[UUID, datetime] = {}

    async def find_by_msgids(self, keys: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Quote]:
        """See `QuoteRepository.find_by_msgids`."""
        wanted = set(keys)
        by_key = {(each.order.fixmedins_code, each.order.msgid): each for each in self.quotes.values()}
        return {key: by_key[key] for key in wanted & by_key.keys()}

    async def find_by_ids(self, ids: Iterable[UUID]) -> dict[UUID, Quote]:
        """See `QuoteRepository.find_by_ids`."""
        return {each: self.quotes[each] for each in ids if each in self.quotes}

    async def lock(self, ids: Iterable[UUID]) -> dict[UUID, Quote]:
        """See `QuoteRepository.lock`."""
        return await self.find_by_ids(ids)

    async def lock_due(self, now: datetime, patients: Collection[str]) -> list[Quote]:
        """See `QuoteRepository.lock_due`."""
        due = (each for each in self._due(now) if each.order.bill.psn_no in patients)
        return sorted(due, key=lambda each: each.quote_id)

    async def take_expired(self, now: datetime, limit: int, but: Collection[UUID] = ()) -> list[Quote]:
        """See `QuoteRepository.take_expired`."""
        due = (each for each in self._due(now) if each.quote_id not in but)
        return sorted(due, key=lambda each: (each.expires_at, each.quote_id))[:limit]

    def _due(self, now: datetime) -> list[Quote]:
        return [each for each in self.quotes.values() if each.state is QuoteState.HELD and each.expires_at <= now]

    async def keep(self, quotes: Sequence[Quote]) -> None:
        """See `QuoteRepository.keep`."""
        await self._beside.withdraw_intents([quote.quote_id for quote in quotes])
        await self._put(quotes, 1)

    async def end(self, quotes: Sequence[Quote]) -> None:
        """See `QuoteRepository.end`."""
        await self._put(quotes, -1)

    async def _put(self, quotes: Sequence[Quote], sign: int) -> None:
        for quote in quotes:
            self.quotes[quote.quote_id] = quote
            self.updated_at[quote.quote_id] = await self._beside.real_time()
        accounts = self._beside.accounts
        for psn_no, amount_fen in kept_fen(quotes).items():
            accounts[psn_no] = replace(accounts[psn_no], held_fen=accounts[psn_no].held_fen + sign * amount_fen)
