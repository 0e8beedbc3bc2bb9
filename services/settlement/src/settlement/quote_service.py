"""Settling, cancelling and asking for held previews: one transaction each, nobody else is asked."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from kit import tracing
from kit.clock import Clock
from kit.db import Work, retrying
from kit.ids import uuid7
from settlement import metrics
from settlement import settlement_events as events
from settlement.commands import Command
from settlement.domain.accounts import Account
from settlement.domain.quotes import (
    Quote,
    QuoteState,
    check_usable,
    ended,
    is_as_quoted,
    kept_fen,
    pay_kept,
    refuse_changed,
    seen_at,
    settle_quote,
)
from settlement.domain.reasons import Reason, SettlementRefusedError
from settlement.domain.settling import postings_of
from settlement.domain.state import Order, Settlement, answer_from_record
from settlement.intents import Answer, answer_known
from settlement.quote_expiry import end_quotes
from settlement.repository import SettlementRepository
from settlement.settle_service import open_day


@dataclass(slots=True)
class _Books:
    """A batch while it is folded: quotes and accounts as the requests before have left them."""

    quotes: dict[UUID, Quote]
    accounts: dict[str, Account]
    decided: dict[int, Settlement] = field(default_factory=dict)
    """By place in the batch."""
    used: list[Quote] = field(default_factory=list)

    def take(self, place: int, order: Order, now: datetime) -> None:
        """Settle what this order names.

        Raises:
            SettlementRefusedError: the quote cannot be settled; nothing is recorded.
        """
        quote = check_usable(self.quotes.get(order.quote_id) if order.quote_id else None, order, now)
        if not is_as_quoted(quote, order):
            self.decided[place] = refuse_changed(uuid7(), quote, order)
            return
        self.decided[place] = settle_quote(quote, order, self.accounts, now)
        self.accounts = pay_kept(self.accounts, quote)
        self.quotes[quote.quote_id] = ended(quote, QuoteState.USED, now)
        self.used.append(self.quotes[quote.quote_id])


class QuoteService:
    """What happens to a preview once it holds."""

    def __init__(self, work: Work[SettlementRepository], clock: Clock) -> None:
        self._work = work
        self._clock = clock

    async def settle(self, commands: Sequence[Command]) -> list[Answer]:
        """An answer for each command, in their order; each names the quote that it settles.

        NOT_FOUND, FORBIDDEN_INSTITUTION, QUOTE_EXPIRED and QUOTE_USED leave no trace. An order that is not what was
        held is recorded as refused with AMOUNT_CHANGED, and the quote stays held.
        """
        return await retrying(lambda: self._settle(commands))

    async def _settle(self, commands: Sequence[Command]) -> list[Answer]:
        answers: dict[int, Answer] = {}
        decided: Collection[Settlement] = ()
        async with self._work() as repository:
            # Under the quotes' locks: of the same request sent twice at once the second finds the first one's record.
            quotes = await repository.quotes.lock(_quote_ids(commands))
            now = self._clock.now()
            fresh = await answer_known(repository, dict(enumerate(commands)), answers, now)
            if fresh:
                decided = await self._decide(repository, fresh, quotes, answers, now)
        metrics.count(decided)
        return [answers[place] for place in range(len(commands))]

    async def _decide(
        self,
        repository: SettlementRepository,
        fresh: Mapping[int, Command],
        quotes: Mapping[UUID, Quote],
        answers: dict[int, Answer],
        now: datetime,
    ) -> Collection[Settlement]:
        accounts = await repository.lock_accounts(_owners(quotes.values()))
        books = _Books(dict(quotes), dict(accounts))
        for place, command in fresh.items():
            try:
                books.take(place, command.order, now)
            except SettlementRefusedError as refusal:
                answers[place] = refusal
        tracing.brings_about((str(decided.settlement_id), place) for place, decided in books.decided.items())
        await _record(repository, books, accounts, now)
        for place, settlement in books.decided.items():
            answers[place] = _answer(settlement)
        return books.decided.values()

    async def cancel(self, fixmedins_code: str, quote_id: UUID) -> Quote:
        """The quote, given up now unless it has ended before.

        Raises:
            SettlementRefusedError: NOT_FOUND or FORBIDDEN_INSTITUTION.
        """
        return await retrying(lambda: self._cancel(fixmedins_code, quote_id))

    async def _cancel(self, fixmedins_code: str, quote_id: UUID) -> Quote:
        async with self._work() as repository:
            locked = await repository.quotes.lock([quote_id])
            now = self._clock.now()
            quote = _own(locked.get(quote_id), fixmedins_code)
            if quote.state is not QuoteState.HELD:
                return quote
            over = seen_at(quote, now)
            last = over if over.state is QuoteState.EXPIRED else ended(quote, QuoteState.CANCELLED, now)
            await end_quotes(repository, [last], now)
            return last

    async def by_id(self, fixmedins_code: str, quote_id: UUID) -> Quote:
        """The quote of an id, as it counts now.

        Raises:
            SettlementRefusedError: NOT_FOUND or FORBIDDEN_INSTITUTION.
        """
        async with self._work() as repository:
            found = (await repository.quotes.find_by_ids([quote_id])).get(quote_id)
        return seen_at(_own(found, fixmedins_code), self._clock.now())

    async def by_msgid(self, fixmedins_code: str, msgid: str) -> Quote:
        """The quote of a preview's request, as it counts now.

        Raises:
            SettlementRefusedError: NOT_FOUND, which is not final while the request may still be on its way.
        """
        key = (fixmedins_code, msgid)
        async with self._work() as repository:
            found = (await repository.quotes.find_by_msgids([key])).get(key)
        return seen_at(_own(found, fixmedins_code), self._clock.now())


def _quote_ids(commands: Sequence[Command]) -> set[UUID]:
    return {command.order.quote_id for command in commands if command.order.quote_id is not None}


def _owners(quotes: Collection[Quote]) -> set[str]:
    """Whose accounts are touched or told: those that keep something, and the patients' own."""
    return kept_fen(quotes).keys() | {quote.order.bill.psn_no for quote in quotes}


def _own(quote: Quote | None, fixmedins_code: str) -> Quote:
    if quote is None:
        raise SettlementRefusedError(Reason.NOT_FOUND, "there is no such held preview")
    if quote.order.fixmedins_code != fixmedins_code:
        raise SettlementRefusedError(Reason.FORBIDDEN_INSTITUTION, "this held preview belongs to another institution")
    return quote


async def _record(
    repository: SettlementRepository, books: _Books, accounts: Mapping[str, Account], now: datetime
) -> None:
    decided = list(books.decided.values())
    if not decided:
        return
    day = await open_day(repository, now)
    if books.used:
        await repository.quotes.end(books.used)
    posted = postings_of(decided, accounts, day)
    await repository.post(posted, accounts)
    await repository.add_decided(decided, day)
    completed = [events.decided(each, now) for each in decided if each.setl_time is not None]
    await repository.outbox.add([*completed, *events.moved(posted)])


def _answer(settlement: Settlement) -> Answer:
    try:
        return answer_from_record(settlement)
    except SettlementRefusedError as refusal:
        return refusal
