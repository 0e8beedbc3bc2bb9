"""Relations: looking, changing limits, unbinding, suspending."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from binding import events
from binding.domain import relations as rules
from binding.domain.eligibility import Policy, is_minor
from binding.domain.errors import Forbidden, NotFound
from binding.domain.history import ChangeKind, Entry, Mark
from binding.domain.limits import CounterKey, Limits, Use, counter_keys
from binding.domain.nearly_used import NEARLY_USED_PERCENT
from binding.domain.relations import EndCause, Relation
from binding.repository import Place, Repository
from binding.service.caller import Caller
from binding.service.history import history_for, save_relation
from binding.service.nearly_used import tell_of_limits
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

    def __init__(
        self, work: Work[Repository], clock: Clock, policy: Policy, nearly_used_percent: int = NEARLY_USED_PERCENT
    ) -> None:
        self._work = work
        self._clock = clock
        self._policy = policy
        self._nearly_used_percent = nearly_used_percent

    async def get(self, caller: Caller, relation_id: UUID) -> Seen:
        """One relation, for its parties and staff."""
        async with self._work() as repository:
            relation = await _found(repository, relation_id)
            caller.require_sight(relation)
            return await self._seen(repository, relation)

    async def history(self, caller: Caller, relation_id: UUID, after: int, limit: int) -> Sequence[Entry]:
        """A page of its history, for its parties and staff."""
        async with self._work() as repository:
            relation = await _found(repository, relation_id)
            return await history_for(repository, caller, relation, after, limit)

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
                mark = Mark(ChangeKind.LIMITS_CHANGED, caller.who, self._clock.now())
                changed = await _told(repository, relation, changed, mark, events.relation_changed)
                changed = await tell_of_limits(repository, changed, self._clock.now(), self._nearly_used_percent)
            return await self._seen(repository, changed)

    async def unbind(self, caller: Caller, relation_id: UUID, reason: str) -> Seen:
        """End at once for new settlements (R13), as the payer or an adult beneficiary; again, nothing changes."""
        now = self._clock.now()
        async with self._work() as repository:
            relation = await _locked(repository, relation_id)
            await self._require_unbinder(repository, caller, relation)
            ended = rules.end(relation, EndCause.UNBOUND, reason, now)
            if ended is not relation:
                mark = Mark(ChangeKind.ENDED, caller.who, now, reason)
                ended = await _told(repository, relation, ended, mark, events.relation_ended)
            return await self._seen(repository, ended)

    async def suspend(self, caller: Caller, relation_id: UUID, reason: str) -> Seen:
        """Suspend until resumed."""
        async with self._work() as repository:
            relation = await _locked(repository, relation_id)
            suspended = rules.suspend(relation, reason)
            if suspended is not relation:
                mark = Mark(ChangeKind.SUSPENDED, caller.who, self._clock.now(), reason)
                suspended = await _told(repository, relation, suspended, mark, events.relation_suspended)
            return await self._seen(repository, suspended)

    async def resume(self, caller: Caller, relation_id: UUID) -> Seen:
        """Let a suspended relation pay again."""
        async with self._work() as repository:
            relation = await _locked(repository, relation_id)
            resumed = rules.resume(relation)
            if resumed is not relation:
                mark = Mark(ChangeKind.RESUMED, caller.who, self._clock.now())
                resumed = await _told(repository, relation, resumed, mark, _activated_again)
            return await self._seen(repository, resumed)

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


async def _told(repository: Repository, before: Relation, after: Relation, mark: Mark, tell: Tell) -> Relation:
    after = events.counted(after)
    await save_relation(repository, before, after, mark)
    await repository.outbox.add([tell(after, mark.at)])
    return after


def _activated_again(relation: Relation, at: datetime) -> Event:
    return events.relation_activated(relation, at, resumed=True)


async def _locked(repository: Repository, relation_id: UUID) -> Relation:
    return await _found(repository, relation_id, lock=True)


async def _found(repository: Repository, relation_id: UUID, *, lock: bool = False) -> Relation:
    relation = await repository.relation(relation_id, lock=lock)
    if relation is None:
        raise NotFound("there is no such relation")
    return relation
