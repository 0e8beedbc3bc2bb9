"""The order of a beneficiary's payers (R5): who sees it, and who sets it."""

from collections.abc import Sequence

from binding import events
from binding.domain.eligibility import Policy, is_minor
from binding.domain.errors import Forbidden
from binding.domain.history import ChangeKind, Mark
from binding.domain.payers import ordered, speaks_for_minor
from binding.domain.relations import Relation
from binding.domain.sides import Side
from binding.repository import Repository
from binding.service.caller import Caller
from binding.service.telling import tell_change
from kit.clock import Clock, shanghai_date
from kit.db import Work

MOST_PAYERS = 99


class Payers:
    """What the beneficiary's side does with its payers."""

    def __init__(self, work: Work[Repository], clock: Clock, policy: Policy) -> None:
        self._work = work
        self._clock = clock
        self._policy = policy

    async def list(self, caller: Caller, beneficiary_psn_no: str) -> Sequence[Relation]:
        """The living payers in the order in which they pay; for the beneficiary's side and staff."""
        async with self._work() as repository:
            relations = await repository.unended_relations_of(beneficiary_psn_no, Side.BENEFICIARY, MOST_PAYERS)
            living = self._living(relations)
            if not caller.is_staff:
                await self._require_side(repository, caller, beneficiary_psn_no, living)
            return living

    async def order(self, caller: Caller, beneficiary_psn_no: str, payers: Sequence[str]) -> Sequence[Relation]:
        """Set the order in which all living payers pay from now on, for the beneficiary's side.

        Raises:
            Forbidden: the caller is not the adult beneficiary, nor a minor's parent who pays.
            PayersDiffer: these are not just the living payers.
        """
        now = self._clock.now()
        async with self._work() as repository:
            locked = await repository.lock_unended_relations([beneficiary_psn_no])
            living = self._living([it for it in locked if it.beneficiary_psn_no == beneficiary_psn_no])
            await self._require_side(repository, caller, beneficiary_psn_no, living)
            placed = ordered(living, payers, shanghai_date(now))
            before = {it.relation_id: it for it in living}
            mark = Mark(ChangeKind.PRIORITY_CHANGED, caller.who, now)
            return [
                await tell_change(repository, before[it.relation_id], it, mark, events.relation_changed)
                for it in placed
            ]

    def _living(self, relations: Sequence[Relation]) -> Sequence[Relation]:
        today = shanghai_date(self._clock.now())
        return [relation for relation in relations if relation.living_on(today)]

    async def _require_side(
        self, repository: Repository, caller: Caller, beneficiary_psn_no: str, living: Sequence[Relation]
    ) -> None:
        persons = await repository.persons([beneficiary_psn_no])
        today = shanghai_date(self._clock.now())
        if is_minor(persons.get(beneficiary_psn_no), today, self._policy):
            if not speaks_for_minor(caller.psn_no, living):
                raise Forbidden("for a minor, a parent who pays does this (R4, R5)")
        else:
            caller.require_self(beneficiary_psn_no, "only the beneficiary does this (R5)")
