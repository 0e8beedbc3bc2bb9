"""Decisions on applications (审核); an approval makes the relation."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from uuid import UUID

from binding import events
from binding.domain import reviews as rules
from binding.domain.applications import Application, ApplicationState, Step
from binding.domain.decision_reasons import Verdict, flaw_in
from binding.domain.eligibility import Circumstances, Policy, refuse_ineligible, relation_of
from binding.domain.errors import NotFound, Refused
from binding.domain.history import SYSTEM, ChangeKind, Mark, Who
from binding.domain.relations import EndCause, Relation, RelationState, end, next_priority
from binding.domain.reviews import ReviewStep
from binding.repository import Repository
from binding.service.applications import circumstances, locked
from binding.service.caller import Caller
from binding.service.history import add_relation, save_application, save_relation
from kit.clock import Clock, shanghai_date
from kit.db import Work
from kit.ids import uuid7

_CHANGES = {
    Step.APPROVE: ChangeKind.APPROVED,
    Step.REJECT: ChangeKind.REJECTED,
    Step.RETURN: ChangeKind.RETURNED,
}


class NotAVerdict(Refused):
    """The reason of an item of a batch does not fit its decision."""

    reason = "INVALID_FIELDS"


class ItemReused(Refused):
    """The request id of an item has served for another decision."""

    reason = "REQUEST_ID_REUSED"


@dataclass(frozen=True, slots=True)
class Item:
    """One decision of a batch."""

    request_id: UUID
    application_id: UUID
    verdict: Verdict

    def is_answered_by(self, done: ReviewStep) -> bool:
        """Whether a step is this decision, made earlier."""
        verdict = self.verdict
        stated = (self.application_id, verdict.decision, verdict.reason, verdict.words)
        return stated == (done.application_id, done.step, done.reason, done.words)


@dataclass(frozen=True, slots=True)
class Result:
    """What came of an item."""

    item: Item
    application: Application | None = None
    refusal: Refused | None = None


@dataclass(frozen=True, slots=True)
class _Batch:
    """What the items of a batch are about; both are kept up to date from item to item."""

    applications: dict[UUID, Application]
    done: dict[UUID, ReviewStep]


@dataclass(frozen=True, slots=True)
class _Judged:
    """A decision that nothing refuses."""

    decided: Application
    verdict: Verdict
    at: datetime
    facts: Circumstances | None = None
    """What an approval makes its relation from."""


class Decisions:
    """What deciders do with applications."""

    def __init__(self, work: Work[Repository], clock: Clock, policy: Policy) -> None:
        self._work = work
        self._clock = clock
        self._policy = policy

    async def decide(self, caller: Caller, application_id: UUID, verdict: Verdict) -> Application:
        """Approve, reject or return; the same decision again gives the same answer."""
        async with self._work() as repository:
            application = await locked(repository, application_id)
            judged = await self._judged(repository, caller, application, verdict)
            if judged is None:
                return application
            decided, _ = await self._written(repository, caller, application, judged)
            return decided

    async def decide_batch(self, caller: Caller, items: Sequence[Item]) -> list[Result]:
        """Decide one after the other; what is refused leaves the others alone.

        All locks come first, in the order that everybody keeps, and an item is refused before any of its writes: what
        goes wrong after that is no refusal and undoes the whole batch.
        """
        async with self._work() as repository:
            batch = await self._opened(repository, caller, items)
            return [await self._answered(repository, caller, batch, item) for item in items]

    async def _opened(self, repository: Repository, caller: Caller, items: Sequence[Item]) -> _Batch:
        done = await repository.review_steps_of_items(caller.subject, [item.request_id for item in items])
        applications = await repository.lock_applications({item.application_id for item in items})
        parties = {psn_no for it in applications.values() for psn_no in it.parties}
        # Alone, as each approval will: two batches that share a person would else wait for each other.
        await repository.lock_persons(parties)
        await self._lock_expired(repository, applications.values())
        return _Batch(applications, done)

    async def _lock_expired(self, repository: Repository, applications: Iterable[Application]) -> None:
        day, expired = shanghai_date(self._clock.now()), set[UUID]()
        for it in applications:
            for relation in await repository.relations_of_beneficiary(it.beneficiary_psn_no):
                if _gives_way(relation, it, day):
                    expired.add(relation.relation_id)
        for relation_id in sorted(expired):
            await repository.relation(relation_id, lock=True)

    async def _answered(self, repository: Repository, caller: Caller, batch: _Batch, item: Item) -> Result:
        try:
            application = _of_batch(batch, item)
            if item.request_id in batch.done:
                return Result(item, application)
            judged = await self._judged(repository, caller, application, item.verdict)
        except Refused as refused:
            return Result(item, refusal=refused)
        if judged is not None:
            application, done = await self._written(repository, caller, application, judged, item.request_id)
            batch.applications[item.application_id] = application
            batch.done[item.request_id] = done
        return Result(item, application)

    async def _judged(
        self, repository: Repository, caller: Caller, application: Application, verdict: Verdict
    ) -> _Judged | None:
        """Everything that may refuse a decision, before anything is written; None when it has been made already."""
        now = self._clock.now()
        decided = rules.decide(application, caller.clerk, verdict, now)
        if decided is application:
            return None
        if verdict.decision is not Step.APPROVE:
            return _Judged(decided, verdict, now)
        facts = await circumstances(repository, application, now)
        refuse_ineligible(application, facts, self._policy)
        return _Judged(decided, verdict, now, facts)

    async def _written(
        self,
        repository: Repository,
        caller: Caller,
        before: Application,
        judged: _Judged,
        request_id: UUID | None = None,
    ) -> tuple[Application, ReviewStep]:
        if judged.facts is not None:
            decided = await _activated(repository, judged.decided, judged.facts, caller.who, judged.at)
        else:
            decided = await _declined(repository, judged.decided, judged.at)
        verdict = judged.verdict
        mark = Mark(_CHANGES[verdict.decision], caller.who, judged.at, verdict.told)
        await save_application(repository, before, decided, mark)
        done = rules.step_of(decided, verdict.decision, caller.subject, judged.at)
        done = replace(done, request_id=request_id)
        await repository.add_review_steps([done])
        return decided, done


def _of_batch(batch: _Batch, item: Item) -> Application:
    flaw = flaw_in(item.verdict)
    if flaw is not None:
        raise NotAVerdict(f"{flaw[0]} {flaw[1]}")
    known = batch.done.get(item.request_id)
    if known is not None and not item.is_answered_by(known):
        raise ItemReused("this request_id was used for another decision; take a new one")
    application = batch.applications.get(item.application_id)
    if application is None:
        raise NotFound("there is no such application")
    return application


async def _activated(
    repository: Repository, application: Application, facts: Circumstances, who: Who, now: datetime
) -> Application:
    await _end_expired(repository, application, facts.relations, now)
    living = [relation for relation in facts.relations if relation.living_on(facts.day)]
    made = events.counted(relation_of(application, uuid7(), next_priority(living), now, facts.day))
    await add_relation(repository, made, Mark(ChangeKind.ACTIVATED, who, now))
    await repository.outbox.add([events.relation_activated(made, now)])
    return replace(application, relation_id=made.relation_id)


async def _declined(repository: Repository, application: Application, now: datetime) -> Application:
    told = events.counted(application)
    rejected = told.state is ApplicationState.REJECTED
    event = events.application_rejected(told, now) if rejected else events.application_returned(told, now)
    await repository.outbox.add([event])
    return told


async def _end_expired(
    repository: Repository, application: Application, relations: tuple[Relation, ...], now: datetime
) -> None:
    for relation in relations:
        if _gives_way(relation, application, shanghai_date(now)):
            held = await repository.relation(relation.relation_id, lock=True)
            if held is not None and held.state is not RelationState.ENDED:
                ended = events.counted(end(held, EndCause.EXPIRED, "", now))
                mark = Mark(ChangeKind.ENDED, SYSTEM, now, "expired; a new relation of the pair replaces it")
                await save_relation(repository, held, ended, mark)
                await repository.outbox.add([events.relation_ended(ended, now)])


def _gives_way(relation: Relation, application: Application, day: date) -> bool:
    # A relation of the pair that ran out by date gives way; the pair has one that has not ended at most.
    of_pair = relation.payer_psn_no == application.payer_psn_no
    return of_pair and relation.state is not RelationState.ENDED and relation.expired_on(day)
