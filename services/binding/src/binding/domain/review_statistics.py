"""Figures of reviews: how much was done in a time, and how long families waited for it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

from binding.domain.applications import Step
from binding.domain.reviews import DECISIONS, ReviewStep

MAX_DAYS = 366


@dataclass(frozen=True, slots=True)
class Figures:
    """What was done."""

    handled: int = 0
    """Applications that were taken in hand, each counted once."""
    approved: int = 0
    rejected: int = 0
    returned: int = 0
    median_seconds: int | None = None
    """Half of the decisions were made within this time after the submission; None without a decision."""
    p90_seconds: int | None = None
    """Nine of ten were."""

    @property
    def returned_permille(self) -> int:
        """Share of returns in all decisions, in thousandths, rounded down."""
        decided = self.approved + self.rejected + self.returned
        return self.returned * 1000 // decided if decided else 0


class ClerkDay(NamedTuple):
    """A clerk's day."""

    day: date
    clerk: str


def figures_of(steps: Iterable[ReviewStep]) -> Figures:
    """The figures of these steps."""
    steps = list(steps)
    waits = sorted(int((it.at - it.submitted_at).total_seconds()) for it in steps if it.step in DECISIONS)
    kinds = [it.step for it in steps]
    return Figures(
        handled=len({it.application_id for it in steps if it.step is Step.CLAIM}),
        approved=kinds.count(Step.APPROVE),
        rejected=kinds.count(Step.REJECT),
        returned=kinds.count(Step.RETURN),
        median_seconds=_within(waits, 50),
        p90_seconds=_within(waits, 90),
    )


def _within(waits: Sequence[int], percent: int) -> int | None:
    """The shortest of these times within which so many percent of them lie."""
    return waits[-(-len(waits) * percent // 100) - 1] if waits else None
