"""Relations: looking, changing limits, unbinding, suspending."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from binding import events
from binding.domain import relations as rules
from binding.domain.eligibility import Policy, is_minor
from binding.domain.errors import Forbidden, NotFound
from binding.domain.limits import CounterKey, Limits, Use, counter_keys
from binding.domain.relations import EndCause, Relation
from binding.repository import Place, Repository
from binding.service.caller import Caller
from kit.clock import Clock, shanghai_date
from kit.db import Work
from kit.events import Event

Tell = Callable[[Relation, datetime], Event]


@dataclass(frozen=True, slots=True)
class Seen:
    """Relations, and what of their windows is used today."""

    relations: tuple[Relation, ...]
    day: date
    uses: Mapping[CounterKey, Use]


class Relations:
    """What parties and operators do with a relation."""

    def __init__(self, work: Work[Repository], clock: Clock, policy: Policy) -> None:
        self._work = work
        self._clock = clock
        self._policy = policy

    async def get(self, caller: Caller, relation_id: UUID) -> Seen:
        """One relation, for its parties and staff."""
        async with self._work() as repository:
            relation = await repository.relation(relation_id)
            if relation is None:
                raise _not_found()
            caller.require_sight(relation)
            return await self._seen(repository, relation)

    async def list(self, caller: Caller, psn_no: str, after: Place | None, limit: int) -> Seen:
        """A person's relations, newest first; for the person and staff."""
        if not caller.is_staff:
            caller.require_self(psn_no, "only the person and clerks may see these")
        async with self._work() as repository:
            return await self._seen(repository, *await repository.relations_of_person(psn_no, after, limit))

    async def change_limits(self, caller: Caller, relation_id: UUID, limits: Limits) -> Seen:
        """Replace the limits (R6), as the payer."""
        async with self._work() as repository:
            relation = await _locked(repository, relation_id)
            caller.require_self(relation.payer_psn_no, "only the payer changes the limits")
            changed = rules.change_limits(relation, limits)
            if changed != relation:
                changed = await self._told(repository, changed, events.relation_changed)
            return await self._seen(repository, changed)

    async def unbind(self, caller: Caller, relation_id: UUID, reason: str) -> Seen:
        """End at once for new settlements (R13), as the payer or an adult beneficiary; again, nothing changes."""
        now = self._clock.now()
        async with self._work() as repository:
            relation = await _locked(repository, relation_id)
            await self._require_unbinder(repository, caller, relation)
            ended = rules.end(relation, EndCause.UNBOUND, reason, now)
            if ended is not relation:
                ended = await self._told(repository, ended, events.relation_ended)
            return await self._seen(repository, ended)

    async def suspend(self, relation_id: UUID, reason: str) -> Seen:
        """Suspend until resumed."""
        async with self._work() as repository:
            relation = await _locked(repository, relation_id)
            suspended = rules.suspend(relation, reason)
            if suspended is not relation:
                suspended = await self._told(repository, suspended, events.relation_suspended)
            return await self._seen(repository, suspended)

    async def resume(self, relation_id: UUID) -> Seen:
        """Let a suspended relation pay again."""
        async with self._work() as repository:
            relation = await _locked(repository, relation_id)
            resumed = rules.resume(relation)
            if resumed is not relation:
                resumed = await self._told(
                    repository, resumed, lambda told, at: events.relation_activated(told, at, resumed=True)
                )
            return await self._seen(repository, resumed)

    async def _told(self, repository: Repository, relation: Relation, tell: Tell) -> Relation:
        relation = events.counted(relation)
        await repository.save_relation(relation)
        await repository.outbox.add([tell(relation, self._clock.now())])
        return relation

    async def _require_unbinder(self, repository: Repository, caller: Caller, relation: Relation) -> None:
        if caller.psn_no == relation.payer_psn_no:
            return
        caller.require_self(relation.beneficiary_psn_no, "only the payer or the beneficiary unbinds")
        persons = await repository.persons([relation.beneficiary_psn_no])
        day = shanghai_date(self._clock.now())
        if is_minor(persons.get(relation.beneficiary_psn_no), day, self._policy):
            raise Forbidden("a minor does not unbind; the payer does")

    async def _seen(self, repository: Repository, *relations: Relation) -> Seen:
        day = shanghai_date(self._clock.now())
        keys = [key for relation in relations for key in counter_keys(relation.relation_id, day)]
        return Seen(relations, day, await repository.uses(keys))


async def _locked(repository: Repository, relation_id: UUID) -> Relation:
    relation = await repository.relation(relation_id, lock=True)
    if relation is None:
        raise _not_found()
    return relation


def _not_found() -> NotFound:
    return NotFound("there is no such relation")
