"""What insurance a person holds."""

from identity import events
from identity.domain import person as persons
from identity.domain.enrolment import Enrolment
from identity.repository import Repository
from identity.service.people import locked_person, moment
from kit.clock import Clock
from kit.db import Work


class EnrolmentService:
    """Statements of enrolment, recorded one after the other."""

    def __init__(self, work: Work[Repository], clock: Clock) -> None:
        self._work = work
        self._clock = clock

    async def record_enrolment(self, psn_no: str, enrolment: Enrolment) -> bool:
        """Record what holds from a day on; whether it changed anything.

        Raises:
            PersonNotFound: there is no such person.
        """
        now, _ = moment(self._clock)
        async with self._work() as repository:
            before = await locked_person(repository, psn_no)
            after = persons.record_enrolment(before, enrolment)
            if after is not before:
                await repository.save_persons([after])
                await repository.outbox.add([events.enrolment_changed(after, now)])
        return after is not before
