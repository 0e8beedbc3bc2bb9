"""After a restore from backup: what binding has counted for settlements that are forgotten here is given back.

Binding captures what settlement has committed before. So what is captured there and not settled here was settled after
the point to which settlement was restored: it never comes to money any more, and would use up limits for ever. Safe at
any time, also while everything serves.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from kit.clock import Clock
from kit.db import Work
from kit.events import Event
from kit.observability import get_logger
from settlement import settlement_events as events
from settlement.binding_holds import HoldsAtBinding, captured_pages
from settlement.domain.holds import Hold, first_id_since, given_up_unknown
from settlement.domain.state import Settlement, SettlementState
from settlement.holds_reconciler import Reconciled
from settlement.repository import SettlementRepository


class CapturesReconciler:
    """Asks binding what it has captured since a moment, and gives back what is forgotten here.

    Args:
        work: units of work.
        binding: who says what is captured.
        clock: for the time that the events tell.
    """

    def __init__(self, work: Work[SettlementRepository], binding: HoldsAtBinding, clock: Clock) -> None:
        self._work = work
        self._binding = binding
        self._clock = clock

    async def run(self, since: datetime) -> Reconciled:
        """All that was authorized from then on, by the real time."""
        total = Reconciled()
        async for holds in captured_pages(self._binding, first_id_since(since)):
            async with self._work() as repository:
                done = await give_back(repository, holds, self._clock.now())
            if done.told:
                get_logger().warning("gave back limits of forgotten settlements", captures=done.told)
            total += done
        return total


async def give_back(repository: SettlementRepository, holds: Sequence[Hold], now: datetime) -> Reconciled:
    """Tell binding what became of these captures where it is not what binding has, in the transaction under way."""
    settlements = await repository.find_by_ids([hold.authorization_id for hold in holds])
    unknown = [hold for hold in holds if hold.authorization_id not in settlements]
    await repository.add_fences([given_up_unknown(hold) for hold in unknown])
    others = await repository.find_by_ids(_replacing(settlements.values()))
    told = [event for hold in holds for event in _event(hold, settlements, others, now)]
    await repository.outbox.add(told)
    return Reconciled(len(holds), len(told), len(unknown))


def _replacing(settlements: Iterable[Settlement]) -> set[UUID]:
    return {each.replaced_by for each in settlements if each.replaced_by is not None}


def _event(
    hold: Hold, settlements: Mapping[UUID, Settlement], others: Mapping[UUID, Settlement], now: datetime
) -> list[Event]:
    settlement = settlements.get(hold.authorization_id)
    if settlement is None:
        return [events.given_back(hold, now)]
    if settlement.state in {SettlementState.SETTLED, SettlementState.PENDING}:
        return []  # of what is pending the sweeper decides first
    if settlement.state is SettlementState.REVERSED:
        other = others[settlement.replaced_by] if settlement.replaced_by else None
        return [events.decided(settlement, settlement.reversed_at or now, other)]
    # Under way at the point of the restore, then given up: HoldsReleased cannot take back what was captured.
    return [events.given_back(hold, now)]
