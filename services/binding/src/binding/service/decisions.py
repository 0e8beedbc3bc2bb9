"""Decisions on applications (审核); an approval makes the relation."""

from dataclasses import replace
from datetime import datetime
from uuid import UUID

from binding import events
from binding.domain import reviews as rules
from binding.domain.applications import Application, ApplicationState, Step
from binding.domain.decision_reasons import Verdict
from binding.domain.eligibility import Policy, refuse_ineligible, relation_of
from binding.domain.history import SYSTEM, ChangeKind, Mark, Who
from binding.domain.relations import EndCause, Relation, RelationState, end, next_priority
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


class Decisions:
    """What deciders do with applications."""

    def __init__(self, work: Work[Repository], clock: Clock, policy: Policy) -> None:
        self._work = work
        self._clock = clock
        self._policy = policy

    async def decide(self, caller: Caller, application_id: UUID, verdict: Verdict) -> Application:
        """Approve, reject or return; the same decision again gives the same answer."""
        async with self._work() as repository:
            return await self._decided(repository, caller, await locked(repository, application_id), verdict)

    async def _decided(
        self,
        repository: Repository,
        caller: Caller,
        application: Application,
        verdict: Verdict,
        request_id: UUID | None = None,
    ) -> Application:
        now = self._clock.now()
        decided = rules.decide(application, caller.clerk, verdict, now)
        if decided is application:
            return application
        if verdict.decision is Step.APPROVE:
            decided = await self._approved(repository, decided, caller.who, now)
        else:
            decided = await _declined(repository, decided, now)
        mark = Mark(_CHANGES[verdict.decision], caller.who, now, verdict.told)
        await save_application(repository, application, decided, mark)
        done = rules.step_of(decided, verdict.decision, caller.subject, now)
        await repository.add_review_steps([replace(done, request_id=request_id)])
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
    rejected = told.state is ApplicationState.REJECTED
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
