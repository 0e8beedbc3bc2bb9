"""Reviews: the queue, claiming, deciding; an approval makes the relation."""

from dataclasses import replace
from datetime import datetime
from uuid import UUID

from binding import events
from binding.domain import applications as rules
from binding.domain.applications import Application, Step
from binding.domain.eligibility import Policy, refuse_ineligible, relation_of
from binding.domain.history import SYSTEM, ChangeKind, Mark, Who
from binding.domain.relations import EndCause, Relation, RelationState, end, next_priority
from binding.repository import Place, Repository
from binding.service.applications import circumstances, locked
from binding.service.caller import Caller
from binding.service.history import add_relation, save_application, save_relation
from kit.clock import Clock, shanghai_date
from kit.db import Work
from kit.ids import uuid7

_DECIDED = {
    Step.APPROVE: ChangeKind.APPROVED,
    Step.REJECT: ChangeKind.REJECTED,
    Step.RETURN: ChangeKind.RETURNED,
}


class Reviews:
    """What clerks do with applications."""

    def __init__(self, work: Work[Repository], clock: Clock, policy: Policy) -> None:
        self._work = work
        self._clock = clock
        self._policy = policy

    async def waiting(self, after: Place | None, limit: int) -> list[Application]:
        """Submitted and claimed applications, oldest first."""
        async with self._work() as repository:
            return await repository.waiting_applications(after, limit)

    async def claim(self, caller: Caller, application_id: UUID) -> Application:
        """Take an application to handle it."""
        async with self._work() as repository:
            application = await locked(repository, application_id)
            claimed = rules.claim(application, caller.clerk)
            if claimed is not application:
                mark = Mark(ChangeKind.CLAIMED, caller.who, self._clock.now())
                await save_application(repository, application, claimed, mark)
            return claimed

    async def decide(self, caller: Caller, application_id: UUID, decision: Step, reason: str) -> Application:
        """Approve, reject or return; the same decision again gives the same answer."""
        now = self._clock.now()
        async with self._work() as repository:
            application = await locked(repository, application_id)
            decided = rules.decide(application, caller.clerk, decision, reason, now)
            if decided is application:
                return application
            if decision is Step.APPROVE:
                decided = await self._approved(repository, decided, caller.who, now)
            else:
                decided = await _declined(repository, decided, now)
            mark = Mark(_DECIDED[decision], caller.who, now, reason)
            await save_application(repository, application, decided, mark)
            return decided

    async def _approved(self, repository: Repository, application: Application, who: Who, now: datetime) -> Application:
        facts = await circumstances(repository, application, now)
        refuse_ineligible(application, facts, self._policy)
        await _end_expired(repository, application, facts.relations, now)
        living = [relation for relation in facts.relations if relation.living_on(facts.day)]
        made = relation_of(application, uuid7(), next_priority(living), now, facts.day)
        made = events.counted(made)
        await add_relation(repository, made, Mark(ChangeKind.ACTIVATED, who, now))
        await repository.outbox.add([events.relation_activated(made, now)])
        return replace(application, relation_id=made.relation_id)


async def _declined(repository: Repository, application: Application, now: datetime) -> Application:
    told = events.counted(application)
    rejected = told.state is rules.ApplicationState.REJECTED
    event = events.application_rejected(told, now) if rejected else events.application_returned(told, now)
    await repository.outbox.add([event])
    return told


async def _end_expired(
    repository: Repository, application: Application, relations: tuple[Relation, ...], now: datetime
) -> None:
    # A relation of the pair that ran out by date gives way; the pair has one that has not ended at most.
    for relation in relations:
        of_pair = relation.payer_psn_no == application.payer_psn_no
        if of_pair and relation.state is not RelationState.ENDED and relation.expired_on(shanghai_date(now)):
            held = await repository.relation(relation.relation_id, lock=True)
            if held is not None and held.state is not RelationState.ENDED:
                ended = events.counted(end(held, EndCause.EXPIRED, "", now))
                mark = Mark(ChangeKind.ENDED, SYSTEM, now, "expired; a new relation of the pair replaces it")
                await save_relation(repository, held, ended, mark)
                await repository.outbox.add([events.relation_ended(ended, now)])
