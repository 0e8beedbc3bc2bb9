"""Relations: looking, changing limits and validity, unbinding, suspending."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from uuid import UUID

from binding import events
from binding.domain import relations as rules
from binding.domain.eligibility import Policy, is_minor
from binding.domain.errors import Forbidden, NotFound
from binding.domain.history import ChangeKind, Entry, Mark
from binding.domain.limits import CounterKey, Limits, Use, counter_keys
from binding.domain.nearly_used import NEARLY_USED_PERCENT
from binding.domain.relations import Relation
from binding.repository import Place, Repository
from binding.service.caller import Caller
from binding.service.history import history_for
from binding.service.nearly_used import tell_of_limits
from binding.service.telling import tell_change
from kit.clock import Clock, shanghai_date
from kit.db import Work
from kit.events import Event

LONGEST_EXTENSION = timedelta(days=1827)
"""Five years: how far from today a new last day may be, unless the region sets another bound."""


@dataclass(frozen=True, slots=True)
class Seen:
    """Relations, and what of their windows is used today."""

    relations: tuple[Relation, ...]
    day: date
    uses: Mapping[CounterKey, Use]


class Relations:
    """What parties and operators do with a relation."""

    def __init__(
        self,
        work: Work[Repository],
        clock: Clock,
        policy: Policy,
        nearly_used_percent: int = NEARLY_USED_PERCENT,
        longest_extension: timedelta = LONGEST_EXTENSION,
    ) -> None:
        self._work = work
        self._clock = clock
        self._policy = policy
        self._nearly_used_percent = nearly_used_percent
        self._longest_extension = longest_extension

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
        now = self._clock.now()
        async with self._work() as repository:
            relation = await _locked(repository, relation_id)
            caller.require_self(relation.payer_psn_no, "only the payer changes the limits")
            changed = rules.change_limits(relation, limits, shanghai_date(now))
            mark = Mark(ChangeKind.LIMITS_CHANGED, caller.who, now)
            changed = await tell_change(repository, relation, changed, mark, events.relation_changed)
            if changed != relation:
                changed = await tell_of_limits(repository, changed, now, self._nearly_used_percent)
            return await self._seen(repository, changed)

    async def extend(self, caller: Caller, relation_id: UUID, valid_to: date) -> Seen:
        """Set a later last day, as the payer; the same one again changes nothing.

        Raises:
            ValidityRefused: it is earlier than the present one, or too far away.
        """
        now = self._clock.now()
        async with self._work() as repository:
            relation = await _locked(repository, relation_id)
            caller.require_self(relation.payer_psn_no, "only the payer extends the validity")
            extended = rules.extend(relation, valid_to, shanghai_date(now), self._longest_extension)
            mark = Mark(ChangeKind.VALIDITY_CHANGED, caller.who, now)
            extended = await tell_change(repository, relation, extended, mark, events.relation_changed)
            return await self._seen(repository, extended)

    async def unbind(self, caller: Caller, relation_id: UUID, reason: str) -> Seen:
        """End at once for new settlements (R13), as the payer or an adult beneficiary; again, nothing changes."""
        now = self._clock.now()
        async with self._work() as repository:
            relation = await _locked(repository, relation_id)
            await self._require_unbinder(repository, caller, relation)
            ended = rules.unbind(relation, reason, now, shanghai_date(now))
            mark = Mark(ChangeKind.ENDED, caller.who, now, reason)
            ended = await tell_change(repository, relation, ended, mark, events.relation_ended)
            return await self._seen(repository, ended)

    async def suspend(self, caller: Caller, relation_id: UUID, reason: str) -> Seen:
        """Suspend until resumed."""
        now = self._clock.now()
        async with self._work() as repository:
            relation = await _locked(repository, relation_id)
            suspended = rules.suspend(relation, reason, now, shanghai_date(now))
            mark = Mark(ChangeKind.SUSPENDED, caller.who, now, reason)
            suspended = await tell_change(repository, relation, suspended, mark, events.relation_suspended)
            return await self._seen(repository, suspended)

    async def resume(self, caller: Caller, relation_id: UUID, reason: str) -> Seen:
        """Let a suspended relation pay again."""
        now = self._clock.now()
        async with self._work() as repository:
            relation = await _locked(repository, relation_id)
            resumed = rules.resume(relation, shanghai_date(now))
            mark = Mark(ChangeKind.RESUMED, caller.who, now, reason)
            resumed = await tell_change(repository, relation, resumed, mark, _activated_again)
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


def _activated_again(relation: Relation, at: datetime) -> Event:
    return events.relation_activated(relation, at, resumed=True)


async def _locked(repository: Repository, relation_id: UUID) -> Relation:
    return await _found(repository, relation_id, lock=True)


async def _found(repository: Repository, relation_id: UUID, *, lock: bool = False) -> Relation:
    relation = await repository.relation(relation_id, lock=lock)
    if relation is None:
        raise NotFound("there is no such relation")
    return relation
