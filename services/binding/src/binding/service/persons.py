"""What identity tells about persons; deaths (R14) and losses of enrolment (R1, R3) end relations."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date

from binding import events
from binding.domain.history import SYSTEM, ChangeKind, Mark
from binding.domain.losses import LossRules, loss_of
from binding.domain.persons import Enrolment
from binding.domain.relations import EndCause, Relation, end
from binding.repository import Corrected, Repository, Verified
from binding.service.telling import tell_change
from kit.clock import Clock, shanghai_date


@dataclass(slots=True)
class Facts:
    """What a batch of identity's events says."""

    verified: list[Verified] = field(default_factory=list)
    corrected: list[Corrected] = field(default_factory=list)
    enrolments: list[tuple[str, Enrolment]] = field(default_factory=list)
    deaths: list[tuple[str, date]] = field(default_factory=list)


class Persons:
    """Binding's own picture of persons."""

    def __init__(self, clock: Clock, losses: LossRules | None = None) -> None:
        self._clock = clock
        self._losses = losses or LossRules()

    async def take_in(self, repository: Repository, facts: Facts) -> None:
        """Record the facts and end the relations that they end, in the unit of work of the inbox."""
        # All at once, in order: an approval holds both of its persons, and must not be met halfway.
        dead = [psn_no for psn_no, _ in facts.deaths]
        told = [row.psn_no for row in facts.verified] + [row.psn_no for row in facts.corrected]
        lost = [(psn_no, stated) for psn_no, stated in facts.enrolments if self._losses.loses_anybody(stated)]
        await repository.lock_persons(told + dead + [psn_no for psn_no, _ in lost])
        await repository.record_verified(facts.verified)
        await repository.record_corrected(facts.corrected)
        await repository.record_enrolments(facts.enrolments)
        await repository.record_deaths(facts.deaths)
        if dead:
            await self._end_of_dead(repository, dead)
        if lost:
            await self._end_of_lost(repository, lost)

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
        persons = await repository.persons(
            {psn for it in relations for psn in (it.payer_psn_no, it.beneficiary_psn_no)}
        )
        mark = Mark(ChangeKind.ENDED, SYSTEM, now, "EnrolmentChanged")
        for relation in relations:
            loss = loss_of(relation, today, persons, self._losses)
            # What ran out by date has ended by that; the scheduler records it.
            if loss is not None and not relation.expired_on(loss.since):
                ended = end(relation, loss.cause, "", now, loss.since)
                await tell_change(repository, relation, ended, mark, events.relation_ended)


def _cause(relation: Relation, dead: Sequence[str]) -> EndCause:
    return EndCause.PAYER_DIED if relation.payer_psn_no in dead else EndCause.BENEFICIARY_DIED
