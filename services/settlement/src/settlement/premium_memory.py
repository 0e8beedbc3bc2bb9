"""Premiums in memory: the double of `PostgresPremiumRepository` for unit tests."""

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from settlement.domain.premiums import Terms
from settlement.domain.state import Settlement, SettlementState
from settlement.premium_repository import InsuredYear

if TYPE_CHECKING:
    from settlement.memory import MemorySettlements

TOOK_MONEY = frozenset({SettlementState.SETTLED, SettlementState.REVERSED})


class MemoryPremiums:
    """See `settlement.premium_repository.PremiumRepository`; lives beside the settlements of one store."""

    def __init__(self, beside: "MemorySettlements") -> None:
        self._beside = beside
        self.stated: list[tuple[Terms, str, datetime]] = []

    async def terms(self, years: Iterable[int]) -> dict[int, Terms]:
        """See `PremiumRepository.terms`."""
        wanted = set(years)
        return {terms.year: terms for terms, _by, _at in self.stated if terms.year in wanted}

    async def state(self, terms: Terms, by: str, at: datetime) -> None:
        """See `PremiumRepository.state`."""
        self.stated.append((terms, by, at))

    async def paid(self, asked: Iterable[InsuredYear]) -> set[InsuredYear]:
        """See `PremiumRepository.paid`."""
        settled = (each for each in self._beside.settlements.values() if each.state is SettlementState.SETTLED)
        return {key for each in settled if (key := insured_year(each)) is not None} & set(asked)

    async def newest(self, psn_no: str, year: int | None, before: UUID | None, limit: int) -> list[UUID]:
        """See `PremiumRepository.newest`."""
        found = [
            each.settlement_id
            for each in self._beside.settlements.values()
            if each.state in TOOK_MONEY
            and _concerns(each, psn_no, year)
            and (before is None or each.settlement_id < before)
        ]
        return sorted(found, reverse=True)[:limit]


def insured_year(settlement: Settlement) -> InsuredYear | None:
    """Whose premium of which year it pays; None of a bill."""
    order = settlement.order
    return (order.bill.psn_no, order.premium.year) if order and order.premium else None


def _concerns(settlement: Settlement, psn_no: str, year: int | None) -> bool:
    order = settlement.order
    if order is None or order.premium is None or year not in {None, order.premium.year}:
        return False
    return psn_no in {order.bill.psn_no, order.premium.payer_psn_no}
