"""What identity tells about persons; deaths end relations (R14)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date

from binding import events
from binding.domain.history import SYSTEM, ChangeKind, Mark
from binding.domain.persons import Enrolment
from binding.domain.relations import EndCause, Relation, end
from binding.repository import Corrected, Repository, Verified
from binding.service.history import save_relation
from kit.clock import Clock


@dataclass(slots=True)
class Facts:
    """What a batch of identity's events says."""

    verified: list[Verified] = field(default_factory=list)
    corrected: list[Corrected] = field(default_factory=list)
    enrolments: list[tuple[str, Enrolment]] = field(default_factory=list)
    deaths: list[tuple[str, date]] = field(default_factory=list)


class Persons:
    """Binding's own picture of persons."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def take_in(self, repository: Repository, facts: Facts) -> None:
        """Record the facts and end the relations of the dead, in the unit of work of the inbox."""
        # All at once, in order: an approval holds both of its persons, and must not be met halfway.
        dead = [psn_no for psn_no, _ in facts.deaths]
        told = [row.psn_no for row in facts.verified] + [row.psn_no for row in facts.corrected]
        await repository.lock_persons(told + dead)
        await repository.record_verified(facts.verified)
        await repository.record_corrected(facts.corrected)
        await repository.record_enrolments(facts.enrolments)
        await repository.record_deaths(facts.deaths)
        if dead:
            await self._end_relations(repository, dead)

    async def _end_relations(self, repository: Repository, dead: Sequence[str]) -> None:
        now = self._clock.now()
        mark = Mark(ChangeKind.ENDED, SYSTEM, now, "PersonDied")
        ended = []
        for relation in await repository.lock_unended_relations(dead):
            ended.append(events.counted(end(relation, _cause(relation, dead), "", now)))
            await save_relation(repository, relation, ended[-1], mark)
        await repository.outbox.add([events.relation_ended(relation, now) for relation in ended])


def _cause(relation: Relation, dead: Sequence[str]) -> EndCause:
    return EndCause.PAYER_DIED if relation.payer_psn_no in dead else EndCause.BENEFICIARY_DIED
