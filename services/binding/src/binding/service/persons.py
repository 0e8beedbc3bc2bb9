"""What identity tells about persons.

Deaths (R14) and losses of enrolment (R1, R3) end relations. A corrected birth date by which the two cannot be what the
relation says (R2) suspends it until an operator has looked: the correction may be what is wrong, and what was proven to
a clerk is not ended unseen.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from uuid import UUID

from binding import events
from binding.domain.ages import AGE_CONTRADICTS, GENERATION_YEARS, years_lacking
from binding.domain.history import SYSTEM, ChangeKind, Mark
from binding.domain.losses import LossRules, loss_of
from binding.domain.persons import Enrolment, Person
from binding.domain.relations import EndCause, Relation, end, suspend
from binding.metrics import CONTRADICTED
from binding.repository import Corrected, Repository, Verified
from binding.service.telling import tell_change
from kit.clock import Clock, shanghai_date
from kit.observability import get_logger


@dataclass(slots=True)
class Facts:
    """What a batch of identity's events says."""

    verified: list[Verified] = field(default_factory=list)
    corrected: list[Corrected] = field(default_factory=list)
    enrolments: list[tuple[str, Enrolment]] = field(default_factory=list)
    deaths: list[tuple[str, date]] = field(default_factory=list)


class Persons:
    """Binding's own picture of persons."""

    def __init__(self, clock: Clock, losses: LossRules | None = None, generation_years: int = GENERATION_YEARS) -> None:
        self._clock = clock
        self._losses = losses or LossRules()
        self._generation_years = generation_years
        self._log = get_logger()

    async def take_in(self, repository: Repository, facts: Facts) -> list[UUID]:
        """Record the facts and end or suspend the relations that they concern, in the unit of work of the inbox.

        Those that a corrected birth date contradicts are answered, to be told to `report` once that is over.
        """
        # All at once, in order: an approval holds both of its persons, and must not be met halfway.
        dead = [psn_no for psn_no, _ in facts.deaths]
        corrected = [row.psn_no for row in facts.corrected]
        told = [row.psn_no for row in facts.verified] + corrected
        lost = [(psn_no, stated) for psn_no, stated in facts.enrolments if self._losses.loses_anybody(stated)]
        touched = corrected + dead + [psn_no for psn_no, _ in lost]
        await repository.lock_persons(told + touched)
        if touched:  # all at once here too, by id: settlements hold several of a family's
            await repository.lock_unended_relations(touched)
        before = await repository.persons(corrected)
        await repository.record_verified(facts.verified)
        await repository.record_corrected(facts.corrected)
        await repository.record_enrolments(facts.enrolments)
        await repository.record_deaths(facts.deaths)
        if dead:
            await self._end_of_dead(repository, dead)
        if lost:
            await self._end_of_lost(repository, lost)
        return await self._suspend_contradicted(repository, before) if corrected else []

    def report(self, contradicted: Sequence[UUID]) -> None:
        """Count for the operators which relations were contradicted; after the commit."""
        for relation_id in contradicted:
            CONTRADICTED.inc()
            self._log.warning("a corrected birth date contradicts a relation", relation_id=relation_id)

    async def take_in_due(self, repository: Repository, limit: int) -> int:
        """End the relations of those whose statement of a loss has begun meanwhile; how many statements there were."""
        today = shanghai_date(self._clock.now())
        psn_nos = await repository.take_due_enrolments(today, limit)
        await self._end_where_lost(repository, psn_nos, today)
        return len(psn_nos)

    async def _end_of_dead(self, repository: Repository, dead: Sequence[str]) -> None:
        now = self._clock.now()
        mark = Mark(ChangeKind.ENDED, SYSTEM, now, "PersonDied")
        for relation in await repository.lock_unended_relations(dead):
            ended = end(relation, _cause(relation, dead), "", now)
            await tell_change(repository, relation, ended, mark, events.relation_ended)

    async def _end_of_lost(self, repository: Repository, lost: Sequence[tuple[str, Enrolment]]) -> None:
        today = shanghai_date(self._clock.now())
        await repository.await_enrolments([(psn_no, it.valid_from) for psn_no, it in lost if it.valid_from > today])
        await self._end_where_lost(repository, [psn_no for psn_no, it in lost if it.valid_from <= today], today)

    async def _end_where_lost(self, repository: Repository, psn_nos: Sequence[str], today: date) -> None:
        if not psn_nos:
            return
        now = self._clock.now()
        relations = await repository.lock_unended_relations(psn_nos)
        persons = await repository.persons(_parties(relations))
        mark = Mark(ChangeKind.ENDED, SYSTEM, now, "EnrolmentChanged")
        for relation in relations:
            loss = loss_of(relation, today, persons, self._losses)
            # What ran out by date has ended by that; the scheduler records it.
            if loss is not None and not relation.expired_on(loss.since):
                ended = end(relation, loss.cause, "", now, loss.since)
                await tell_change(repository, relation, ended, mark, events.relation_ended)

    async def _suspend_contradicted(self, repository: Repository, before: Mapping[str, Person]) -> list[UUID]:
        """Of those whose birth date is another now: a correction of something else leaves an operator's word alone."""
        after = await repository.persons(before)
        anew = [psn_no for psn_no, person in after.items() if person.brdy != before[psn_no].brdy]
        if not anew:
            return []
        now = self._clock.now()
        relations = await repository.lock_unended_relations(anew)
        persons = await repository.persons(_parties(relations))
        mark = Mark(ChangeKind.SUSPENDED, SYSTEM, now, AGE_CONTRADICTS)
        suspended_now = []
        for relation in relations:
            payer, beneficiary = persons.get(relation.payer_psn_no), persons.get(relation.beneficiary_psn_no)
            if years_lacking(relation.relationship, payer, beneficiary, self._generation_years) is not None:
                suspended = suspend(relation, AGE_CONTRADICTS, now, shanghai_date(now))
                if suspended is not relation:
                    await tell_change(repository, relation, suspended, mark, events.relation_suspended)
                    suspended_now.append(relation.relation_id)
        return suspended_now


def _parties(relations: Sequence[Relation]) -> set[str]:
    return {psn_no for relation in relations for psn_no in (relation.payer_psn_no, relation.beneficiary_psn_no)}


def _cause(relation: Relation, dead: Sequence[str]) -> EndCause:
    return EndCause.PAYER_DIED if relation.payer_psn_no in dead else EndCause.BENEFICIARY_DIED
