"""The review queue in memory; the contract suite holds it to what PostgreSQL does."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import date, datetime
from itertools import groupby
from uuid import UUID

from binding.domain.applications import Application, ApplicationState
from binding.domain.review_statistics import ClerkDay, Figures, figures_of
from binding.domain.reviews import Clerk, QueueState, ReviewStep, queue_state
from binding.repository import Period, QueueCount, QueueFilter, QueuePlace
from kit.clock import SystemClock, shanghai_date

_PENDING = frozenset({ApplicationState.SUBMITTED, ApplicationState.CLAIMED})


class MemoryReviews:
    """See `binding.repository.Repository`."""

    def __init__(self) -> None:
        self.applications: dict[UUID, Application] = {}
        self.steps: list[ReviewStep] = []
        self.real_time: Callable[[], datetime] = SystemClock().now

    async def database_time(self) -> datetime:
        """See `Repository.database_time`."""
        return self.real_time()

    async def queue(self, wanted: QueueFilter, after: QueuePlace | None, limit: int) -> list[Application]:
        """See `Repository.queue`."""
        found = [it for it in self._pending() if self._matches(it, wanted)]
        return [it for it in found if after is None or QueuePlace.of(it) > after][:limit]

    async def queue_counts(self, region: str, today: date) -> list[QueueCount]:
        """See `Repository.queue_counts`."""
        found = [it for it in self._pending() if self._matches(it, QueueFilter(region))]
        by_region = groupby(sorted(found, key=lambda it: it.region), key=lambda it: it.region)
        return [self._count(name, list(group), today) for name, group in by_region]

    async def next_waiting(self, region: str, clerk: Clerk) -> Application | None:
        """See `Repository.next_waiting`."""
        wanted = QueueFilter(region, QueueState.WAITING)
        for it in self._pending():
            party = clerk.psn_no in it.parties or clerk.subject == it.applicant
            if self._matches(it, wanted) and not party:
                return it
        return None

    async def renew_claim(self, application: Application) -> None:
        """See `Repository.renew_claim`."""
        before = self.applications[application.application_id]
        renewed = replace(before, claim_expires_at=application.claim_expires_at)
        self.applications[application.application_id] = renewed

    async def lock_applications(self, application_ids: Collection[UUID]) -> dict[UUID, Application]:
        """See `Repository.lock_applications`."""
        return {it: self.applications[it] for it in application_ids if it in self.applications}

    async def add_review_steps(self, steps: Sequence[ReviewStep]) -> None:
        """See `Repository.add_review_steps`."""
        self.steps.extend(steps)

    async def review_steps_of_items(self, clerk: str, request_ids: Collection[UUID]) -> dict[UUID, ReviewStep]:
        """See `Repository.review_steps_of_items`."""
        return {
            it.request_id: it
            for it in self.steps
            if it.clerk == clerk and it.request_id and it.request_id in request_ids
        }

    async def figures_by_clerk(
        self, period: Period, after: ClerkDay | None, limit: int
    ) -> list[tuple[ClerkDay, Figures]]:
        """See `Repository.figures_by_clerk`."""
        groups: dict[ClerkDay, list[ReviewStep]] = {}
        for it in self._within(period):
            groups.setdefault(ClerkDay(shanghai_date(it.at), it.clerk), []).append(it)
        return [(key, figures_of(groups[key])) for key in sorted(groups) if after is None or key > after][:limit]

    async def figures_by_region(self, period: Period) -> dict[str, Figures]:
        """See `Repository.figures_by_region`."""
        regions = {it.region for it in self._within(period)}
        return {name: figures_of(it for it in self._within(period) if it.region == name) for name in regions}

    def _within(self, period: Period) -> list[ReviewStep]:
        return [
            it
            for it in self.steps
            if period.first <= shanghai_date(it.at) <= period.last and period.region in {"", it.region}
        ]

    async def review_steps(self, application_id: UUID) -> list[ReviewStep]:
        """See `Repository.review_steps`."""
        return [it for it in self.steps if it.application_id == application_id]

    def _pending(self) -> list[Application]:
        return sorted((it for it in self.applications.values() if it.state in _PENDING), key=QueuePlace.of)

    def _matches(self, it: Application, wanted: QueueFilter) -> bool:
        return (
            wanted.region in {"", it.region}
            and wanted.state in {None, queue_state(it, self.real_time())}
            and wanted.handler in {"", it.handler}
            and (wanted.overdue_on is None or (it.due_on is not None and it.due_on < wanted.overdue_on))
        )

    def _count(self, region: str, group: Sequence[Application], today: date) -> QueueCount:
        states = [queue_state(it, self.real_time()) for it in group]
        overdue = sum(1 for it in group if it.due_on is not None and it.due_on < today)
        oldest = min(it.submitted_at for it in group if it.submitted_at)
        waiting, claimed, handled = (states.count(state) for state in QueueState)
        return QueueCount(region, waiting, claimed, handled, overdue, oldest)
