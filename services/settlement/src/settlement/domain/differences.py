"""What an institution's lines of a day and ours differ in, and the worklist that is kept of it. Amounts in fen."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from settlement.domain.reasons import Reason, SettlementRefusedError
from settlement.domain.reconciliation import Amounts

LineKey = tuple[str, bool]
"""msgid of the settlement, and whether the line is its reversal's."""

BY_COMPARISON: Final = "comparison"
"""Who changed what no person did."""


class DifferenceKind(StrEnum):
    """How two sides differ."""

    ONLY_HERE = "ONLY_HERE"
    ONLY_THERE = "ONLY_THERE"
    AMOUNTS_DIFFER = "AMOUNTS_DIFFER"


class DifferenceState(StrEnum):
    """Where a difference stands."""

    OPEN = "OPEN"
    EXPLAINED = "EXPLAINED"
    """Somebody has said why; the sides still differ."""
    SOLVED = "SOLVED"
    """Settled between the sides, or gone by a later comparison."""


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A line on which two sides differ; None is the side that does not have it."""

    key: LineKey
    here: Amounts | None
    there: Amounts | None

    @property
    def kind(self) -> DifferenceKind:
        """How they differ."""
        if self.there is None:
            return DifferenceKind.ONLY_HERE
        return DifferenceKind.ONLY_THERE if self.here is None else DifferenceKind.AMOUNTS_DIFFER


@dataclass(frozen=True, slots=True)
class Change:
    """Something that was said of a difference."""

    state: DifferenceState
    changed_by: str
    note: str
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class Difference:
    """An item of the worklist."""

    difference_id: UUID
    fixmedins_code: str
    day: date
    mismatch: Mismatch
    changes: tuple[Change, ...]
    """Oldest first; never empty."""

    @property
    def state(self) -> DifferenceState:
        """Where it stands."""
        return self.changes[-1].state

    def after(self, change: Change, mismatch: Mismatch | None = None) -> "Difference":
        """The same after something more was said of it."""
        return replace(self, mismatch=mismatch or self.mismatch, changes=(*self.changes, change))


@dataclass(frozen=True, slots=True)
class Compared:
    """What came of a comparison."""

    matched: int
    mismatches: tuple[Mismatch, ...]
    solved: int = 0
    """Differences of earlier comparisons that are gone."""

    def count(self, kind: DifferenceKind) -> int:
        """How many lines differ in that way."""
        return sum(each.kind is kind for each in self.mismatches)


def compare(here: Mapping[LineKey, Amounts], there: Mapping[LineKey, Amounts]) -> Compared:
    """The lines on which two sides differ, in the order of their keys."""
    keys = sorted(here.keys() | there.keys())
    mismatches = tuple(Mismatch(key, here.get(key), there.get(key)) for key in keys if here.get(key) != there.get(key))
    return Compared(len(keys) - len(mismatches), mismatches)


def brought_up_to_date(
    known: Iterable[Difference],
    found: Sequence[Mismatch],
    begin: Callable[[Mismatch, Change], Difference],
    now: datetime,
) -> list[Difference]:
    """The differences of a day that a comparison begins or changes.

    One that is found as it is known stays as it is, unless it was taken for solved. `begin` makes a new one.
    """
    by_key = {each.mismatch.key: each for each in known}
    changed = [_found(by_key.pop(each.key, None), each, begin, now) for each in found]
    gone = _said(DifferenceState.SOLVED, "the sides agree by now", now)
    changed += [each.after(gone) for each in by_key.values() if each.state is not DifferenceState.SOLVED]
    return [each for each in changed if each is not None]


def _found(
    known: Difference | None, mismatch: Mismatch, begin: Callable[[Mismatch, Change], Difference], now: datetime
) -> Difference | None:
    if known is None:
        return begin(mismatch, _said(DifferenceState.OPEN, "found", now))
    if known.mismatch != mismatch:
        return known.after(_said(DifferenceState.OPEN, "the sides differ in another way by now", now), mismatch)
    if known.state is DifferenceState.SOLVED:
        return known.after(_said(DifferenceState.OPEN, "the sides still differ, or again", now))
    return None


def _said(state: DifferenceState, note: str, now: datetime) -> Change:
    return Change(state, BY_COMPARISON, note, now)


def resolved(difference: Difference, change: Change, *, by_institution: bool) -> Difference:
    """The difference after somebody said what became of it.

    Raises:
        SettlementRefusedError: FORBIDDEN, an institution only explains; STATE_FORBIDS, it explains what is solved.
    """
    if by_institution and change.state is not DifferenceState.EXPLAINED:
        raise SettlementRefusedError(Reason.FORBIDDEN, "an institution explains; operators open and solve")
    if by_institution and difference.state is DifferenceState.SOLVED:
        raise SettlementRefusedError(Reason.STATE_FORBIDS, "this difference is solved")
    return difference.after(change)
