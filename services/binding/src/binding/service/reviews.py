"""The review queue: what waits, and whose hands it is in."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from binding.domain import reviews as rules
from binding.domain.applications import Application, Step
from binding.domain.history import ChangeKind, Mark
from binding.domain.review_statistics import ClerkDay, Figures
from binding.domain.reviews import Lease, ReviewStep
from binding.repository import Period, QueueCount, QueueFilter, QueuePlace, Repository
from binding.service.applications import locked
from binding.service.caller import Caller
from binding.service.history import save_application
from kit.clock import Clock, shanghai_date
from kit.db import Work

_CHANGES = {
    Step.CLAIM: ChangeKind.CLAIMED,
    Step.FINISH: ChangeKind.HANDLED,
    Step.RELEASE: ChangeKind.RELEASED,
    Step.HAND_OVER: ChangeKind.HANDED_OVER,
}


@dataclass(frozen=True, slots=True)
class Counted:
    """The queue in figures, and the moment that ages are counted to."""

    regions: tuple[QueueCount, ...]
    at: datetime


@dataclass(frozen=True, slots=True)
class Statistics:
    """What was done in a period by each clerk on each day and in each region, and what waits now."""

    rows: tuple[tuple[ClerkDay, Figures], ...]
    regions: Mapping[str, Figures]
    queue: Counted


class Reviews:
    """What handlers do with the queue."""

    def __init__(self, work: Work[Repository], clock: Clock, lease: timedelta) -> None:
        self._work = work
        self._clock = clock
        self._lease = lease

    async def queue(
        self, wanted: QueueFilter, after: QueuePlace | None, limit: int, *, overdue_only: bool = False
    ) -> list[Application]:
        """Submitted and claimed applications, oldest due first."""
        if overdue_only:
            wanted = QueueFilter(wanted.region, wanted.state, shanghai_date(self._clock.now()), wanted.handler)
        async with self._work() as repository:
            return await repository.queue(wanted, after, limit)

    async def counts(self, region: str) -> Counted:
        """The queue in figures, by region."""
        now = self._clock.now()
        async with self._work() as repository:
            return Counted(tuple(await repository.queue_counts(region, shanghai_date(now))), now)

    async def statistics(self, period: Period, after: ClerkDay | None, limit: int) -> Statistics:
        """What was done in a period, and what waits now."""
        now = self._clock.now()
        async with self._work() as repository:
            return Statistics(
                tuple(await repository.figures_by_clerk(period, after, limit)),
                await repository.figures_by_region(period),
                Counted(tuple(await repository.queue_counts(period.region, shanghai_date(now))), now),
            )

    async def claim(self, caller: Caller, application_id: UUID) -> Application:
        """Take an application to handle it, or hold on to it for another lease."""
        async with self._work() as repository:
            return await self._claimed(repository, caller, await locked(repository, application_id))

    async def claim_next(self, caller: Caller, region: str) -> Application | None:
        """Take the oldest due application that nobody has; None when nothing waits."""
        async with self._work() as repository:
            application = await repository.next_waiting(region, caller.clerk)
            return await self._claimed(repository, caller, application) if application else None

    async def finish(self, caller: Caller, application_id: UUID) -> Application:
        """Leave it to a decider."""
        now = self._clock.now()
        return await self._stepped(
            caller, application_id, Step.FINISH, lambda it, _: rules.finish(it, caller.clerk, now)
        )

    async def release(self, caller: Caller, application_id: UUID) -> Application:
        """Give it back to the queue."""
        return await self._stepped(caller, application_id, Step.RELEASE, lambda it, _: rules.release(it, caller.clerk))

    async def hand_over(self, caller: Caller, application_id: UUID, to_handler: str, words: str) -> Application:
        """Keep it for another handler until a lease ends."""
        return await self._stepped(
            caller,
            application_id,
            Step.HAND_OVER,
            lambda it, lease: rules.hand_over(it, caller.clerk, to_handler, lease),
            words,
        )

    async def _claimed(self, repository: Repository, caller: Caller, application: Application) -> Application:
        claimed = rules.claim(application, caller.clerk, await self._new_lease(repository))
        if rules.is_taken(application, claimed):
            await self._save(repository, application, claimed, self._step(claimed, Step.CLAIM, caller), caller)
        else:  # it stays where it is: nothing for its history
            await repository.renew_claim(claimed)
        return claimed

    async def _stepped(
        self,
        caller: Caller,
        application_id: UUID,
        step: Step,
        change: Callable[[Application, Lease], Application],
        words: str = "",
    ) -> Application:
        async with self._work() as repository:
            application = await locked(repository, application_id)
            changed = change(application, await self._new_lease(repository))
            if changed is not application:
                done = self._step(changed, step, caller, words)
                await self._save(repository, application, changed, done, caller)
            return changed

    def _step(self, after: Application, step: Step, caller: Caller, words: str = "") -> ReviewStep:
        return rules.step_of(after, step, caller.subject, self._clock.now(), words)

    async def _save(
        self, repository: Repository, before: Application, after: Application, done: ReviewStep, caller: Caller
    ) -> None:
        mark = Mark(_CHANGES[done.step], caller.who, done.at, done.words)
        await save_application(repository, before, after, mark)
        await repository.add_review_steps([done])

    async def _new_lease(self, repository: Repository) -> Lease:
        # Asked after the row is locked: who had to wait for it gets the whole length.
        return Lease(await repository.database_time(), self._lease)
