"""What becomes due as time goes by. Each method is one bounded batch in one unit of work: how much it did."""

from functools import partial

from binding import events
from binding.domain.history import SYSTEM, ChangeKind, Mark
from binding.domain.notices import NoticeKind, NoticeRules, coming_of_age_between, expiring_between
from binding.domain.persons import birthday_of
from binding.domain.relations import expire
from binding.repository import Repository
from binding.service.persons import Persons
from binding.service.telling import tell_change, tell_notice
from kit.clock import Clock, shanghai_date
from kit.db import Work

BATCH = 200


class Upkeep:
    """The scheduler's use cases. What is due follows from the tables, so that missed days are caught up with."""

    def __init__(self, work: Work[Repository], clock: Clock, persons: Persons, rules: NoticeRules) -> None:
        self._work = work
        self._clock = clock
        self._persons = persons
        self._rules = rules

    async def expire(self) -> int:
        """Record that relations ran out by date. They pay nothing since their last day, recorded or not."""
        now = self._clock.now()
        mark = Mark(ChangeKind.ENDED, SYSTEM, now, "ran out by date")
        async with self._work() as repository:
            expired = await repository.lock_expired(shanghai_date(now), BATCH)
            for relation in expired:
                await tell_change(repository, relation, expire(relation, now), mark, events.relation_ended)
        return len(expired)

    async def end_lost(self) -> int:
        """End relations for a loss of enrolment that was told beforehand and begins today."""
        async with self._work() as repository:
            return await self._persons.take_in_due(repository, BATCH)

    async def tell_expiring(self) -> int:
        """Tell both sides of relations that run out soon, once per relation and last day."""
        now = self._clock.now()
        async with self._work() as repository:
            due = await repository.lock_expiring(expiring_between(shanghai_date(now), self._rules), BATCH)
            new = await repository.note_told(NoticeKind.EXPIRING, [(it.relation_id, it.valid_to) for it in due])
            for relation in due:
                if relation.relation_id in new:
                    await tell_notice(repository, relation, now, events.relation_expiring)
        return len(due)

    async def tell_coming_of_age(self) -> int:
        """Tell both sides of relations whose beneficiary will soon be of age (R4), once per relation."""
        now = self._clock.now()
        born = coming_of_age_between(shanghai_date(now), self._rules)
        async with self._work() as repository:
            due = await repository.lock_coming_of_age(born, BATCH)
            days = {it.relation_id: birthday_of(brdy, self._rules.adult_age_years) for it, brdy in due}
            new = await repository.note_told(NoticeKind.COMES_OF_AGE, list(days.items()))
            for relation, _ in due:
                if relation.relation_id in new:
                    on = days[relation.relation_id]
                    await tell_notice(repository, relation, now, partial(events.beneficiary_comes_of_age, on))
        return len(due)
