"""What has become due, in memory; a part of `binding.memory.MemoryRepository`."""

from collections.abc import Collection, Iterable, Sequence
from datetime import date
from uuid import UUID

from binding.domain.notices import Days, NoticeKind
from binding.domain.persons import Person
from binding.domain.relations import Relation, RelationState


class MemoryDue:
    """See `binding.repository.Repository`; the state is the repository's."""

    relations: dict[UUID, Relation]
    known_persons: dict[str, Person]

    def __init__(self) -> None:
        self.notices: set[tuple[UUID, NoticeKind, date]] = set()
        self.enrolments_to_come: set[tuple[str, date]] = set()

    async def lock_expired(self, day: date, limit: int) -> list[Relation]:
        """See `Repository.lock_expired`."""
        return self._by_last_day(it for it in self._unended() if it.valid_to < day)[:limit]

    async def lock_expiring(self, valid_to: Days, limit: int) -> list[Relation]:
        """See `Repository.lock_expiring`."""
        return self._by_last_day(
            it
            for it in self._unended()
            if valid_to.first <= it.valid_to <= valid_to.last
            and (it.relation_id, NoticeKind.EXPIRING, it.valid_to) not in self.notices
        )[:limit]

    async def lock_coming_of_age(self, born: Days, limit: int) -> list[tuple[Relation, date]]:
        """See `Repository.lock_coming_of_age`."""
        told = {relation_id for relation_id, kind, _ in self.notices if kind is NoticeKind.COMES_OF_AGE}
        found = []
        for it in self._unended():
            person = self.known_persons.get(it.beneficiary_psn_no)
            brdy = person.brdy if person and person.died_on is None else None
            if brdy and born.first <= brdy <= born.last and it.relation_id not in told:
                found.append((it, brdy))
        return sorted(found, key=lambda pair: (pair[1], pair[0].relation_id))[:limit]

    async def note_told(self, kind: NoticeKind, about: Sequence[tuple[UUID, date]]) -> set[UUID]:
        """See `Repository.note_told`."""
        new = {(relation_id, kind, day) for relation_id, day in about} - self.notices
        self.notices |= new
        return {relation_id for relation_id, _, _ in new}

    async def await_enrolments(self, due: Collection[tuple[str, date]]) -> None:
        """See `Repository.await_enrolments`."""
        self.enrolments_to_come |= set(due)

    async def take_due_enrolments(self, day: date, limit: int) -> list[str]:
        """See `Repository.take_due_enrolments`."""
        by_day = sorted(self.enrolments_to_come, key=lambda it: (it[1], it[0]))
        taken = [it for it in by_day if it[1] <= day][:limit]
        self.enrolments_to_come -= set(taken)
        return [psn_no for psn_no, _ in taken]

    def _unended(self) -> list[Relation]:
        return [it for it in self.relations.values() if it.state is not RelationState.ENDED]

    def _by_last_day(self, found: Iterable[Relation]) -> list[Relation]:
        return sorted(found, key=lambda it: (it.valid_to, it.relation_id))
