"""Freeing what held previews kept beyond their time."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final

from settlement import settlement_events as events
from settlement.domain.quotes import Quote, QuoteState, ended, kept_fen
from settlement.repository import SettlementRepository

BATCH: Final = 200


async def expire_due(repository: SettlementRepository, now: datetime, patients: Collection[str] = ()) -> int:
    """Expire quotes whose time is over, so that their money and limits are free for whoever asks now; how many.

    All of these patients: what somebody else is deciding at this moment is waited for, or it would still count against
    their limits. Of others at most BATCH, and never one that somebody else is deciding.
    """
    due = await repository.quotes.lock_due(now, patients) if patients else []
    due += await repository.quotes.take_expired(now, BATCH, [quote.quote_id for quote in due])
    if due:
        await end_quotes(repository, [ended(quote, QuoteState.EXPIRED, now) for quote in due], now)
    return len(due)


async def end_quotes(repository: SettlementRepository, quotes: Sequence[Quote], now: datetime) -> None:
    """Free what these locked quotes kept, which end unused, and tell binding."""
    await repository.lock_accounts(kept_fen(quotes))
    await repository.quotes.end(quotes)
    await repository.outbox.add([events.freed(quote, now) for quote in quotes])
