"""Reconciling holds: what binding has held for long is told its outcome again, so that no hold outlives its settlement.

A hold ends only by an outcome that settlement has written. An event may be lost all the same, as when either database
is restored from a backup: then the limits would stay held for ever. Outcomes are complete in themselves, so telling one
again, late or at the same time as others does no harm, and nothing needs to be locked here.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from kit.clock import Clock
from kit.db import Work
from kit.events import Event
from kit.observability import get_logger
from settlement import settlement_events as events
from settlement.binding_holds import HoldsAtBinding
from settlement.domain.holds import Hold, charges_of, given_up_unknown
from settlement.domain.quotes import Quote, QuoteState
from settlement.domain.state import Settlement, SettlementState
from settlement.repository import SettlementRepository


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What came of some holds."""

    looked_at: int = 0
    told: int = 0
    """Outcomes that were told again, those of unknown ones included."""
    unknown: int = 0
    """Of which nothing was known here; they are ABANDONED now."""

    def __add__(self, other: "Reconciled") -> "Reconciled":
        """Both together."""
        return Reconciled(self.looked_at + other.looked_at, self.told + other.told, self.unknown + other.unknown)

    @property
    def right(self) -> int:
        """Those that are held rightly: under way, or kept by a preview just as binding has it."""
        return self.looked_at - self.told


class HoldsReconciler:
    """Asks binding what it has held for long and tells each outcome again.

    Args:
        work: units of work.
        binding: who says what is held.
        clock: for the time that the events tell; ages are binding's.
        age_seconds: how long something was held at least.
    """

    def __init__(
        self, work: Work[SettlementRepository], binding: HoldsAtBinding, clock: Clock, age_seconds: int
    ) -> None:
        self._work = work
        self._binding = binding
        self._clock = clock
        self._age_seconds = age_seconds
        self._next_token = ""
        self._at_end = False

    async def run(self) -> Reconciled:
        """All that is held, once."""
        total, token = Reconciled(), ""
        while True:
            done, token = await self._page(token)
            total += done
            if not token:
                return total

    async def batch(self) -> int:
        """The next page, for the scheduler; how many holds were looked at, 0 once after the last page.

        What is told stays held until Kafka has carried it, so the pages are walked once and not until nothing is left.
        """
        if self._at_end:
            self._at_end = False
            return 0
        done, self._next_token = await self._page(self._next_token)
        self._at_end = not self._next_token
        return done.looked_at

    async def _page(self, token: str) -> tuple[Reconciled, str]:
        page = await self._binding.held(self._age_seconds, token)
        async with self._work() as repository:
            done = await tell_again(repository, page.holds, self._clock.now())
        if done.told:
            get_logger().warning("told outcomes of old holds again", holds=done.told, unknown=done.unknown)
        return done, page.next_token


async def tell_again(repository: SettlementRepository, holds: Sequence[Hold], now: datetime) -> Reconciled:
    """Tell binding again what became of these holds, in the transaction under way."""
    ids = [hold.authorization_id for hold in holds]
    # In this order: a preview's row moves from settlements to quotes, so one that is on its way is seen in one of them.
    settlements = await repository.find_by_ids(ids)
    quotes = await repository.quotes.find_by_ids(ids)
    others = await repository.find_by_ids(_paired(settlements.values()))
    unknown = [hold for hold in holds if hold.authorization_id not in settlements | quotes]
    await repository.add_fences([given_up_unknown(hold) for hold in unknown])
    told = [events.never_came(hold, now) for hold in unknown]
    for hold in holds:
        if (settlement := settlements.get(hold.authorization_id)) is not None:
            told += _of_settlement(hold, settlement, others, now)
        elif (quote := quotes.get(hold.authorization_id)) is not None:
            told += _of_quote(hold, quote, now)
    await repository.outbox.add(told)
    return Reconciled(len(holds), len(told), len(unknown))


def _paired(settlements: Iterable[Settlement]) -> set[UUID]:
    return {other for each in settlements if (other := _other_side(each)) is not None}


def _other_side(settlement: Settlement) -> UUID | None:
    """The settlement that one which was settled replaces, or that has replaced one which was reversed."""
    if settlement.state is SettlementState.SETTLED:
        return settlement.order.replaces if settlement.order else None
    return settlement.replaced_by


def _of_settlement(hold: Hold, settlement: Settlement, others: Mapping[UUID, Settlement], now: datetime) -> list[Event]:
    if settlement.state is SettlementState.PENDING:
        return []  # its owner's, or the sweeper's
    if settlement.order is None:
        return [events.never_came(hold, now)]
    other = _other_side(settlement)
    moved_at = settlement.reversed_at or settlement.setl_time or now
    return [events.decided(settlement, moved_at, others[other] if other else None)]


def _of_quote(hold: Hold, quote: Quote, now: datetime) -> list[Event]:
    if quote.state is QuoteState.HELD:
        return [] if hold.charged == charges_of(quote.split.lines) else [events.kept(quote, now)]
    # One that was used has become a settlement since that was looked for; it is told next time, if it still has to be.
    return [] if quote.state is QuoteState.USED else [events.freed(quote, quote.ended_at or now)]
