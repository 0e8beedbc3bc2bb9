"""What a family sees at a glance: per relation and window of today the limit, what is used, held and left (R6)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from binding.domain.limits import NO_USE, CounterKey, LimitWindow, Use, counter_keys, tightest
from binding.domain.persons import Person
from binding.domain.relations import Relation, decline_reason


@dataclass(frozen=True, slots=True)
class WindowView:
    """One window of today, fen; without a limit nothing is said of what is left."""

    window: LimitWindow
    limit_fen: int | None
    used_fen: int = 0
    held_fen: int = 0

    @property
    def left_fen(self) -> int | None:
        """What the limit leaves; 0 after it was lowered below what is used."""
        return None if self.limit_fen is None else max(0, self.limit_fen - self.used_fen - self.held_fen)


@dataclass(frozen=True, slots=True)
class Overview:
    """One relation today."""

    relation: Relation
    windows: tuple[WindowView, ...]
    payable_fen: int | None
    """What the next settlement could take under all limits; None without any limit. The account may have less."""
    reason: str | None
    """Why the relation pays nothing today, of the vocabulary; then `payable_fen` is 0."""


def overview_of(
    relation: Relation, day: date, uses: Mapping[CounterKey, Use], persons: Mapping[str, Person]
) -> Overview:
    """A relation on a day."""
    reason = decline_reason(relation, day, persons)
    left = tightest(relation.limits, relation.relation_id, day, uses)
    payable_fen = 0 if reason else None if left is None else max(0, left.left_fen)
    return Overview(relation, _windows(relation, day, uses), payable_fen, reason)


def _windows(relation: Relation, day: date, uses: Mapping[CounterKey, Use]) -> tuple[WindowView, ...]:
    counted = (
        WindowView(key.window, relation.limits.of(key.window), use.used_fen, use.held_fen)
        for key in counter_keys(relation.relation_id, day)
        for use in (uses.get(key, NO_USE),)
    )
    return (WindowView(LimitWindow.SETTLEMENT, relation.limits.settlement_fen), *counted)
