"""What insurance a person holds."""

from collections.abc import Sequence
from datetime import date

from identity import events
from identity.domain import person as persons
from identity.domain.enrolment import Enrolment
from identity.domain.refusals import IdentityRefusal
from identity.repository import Operation, RecordedEnrolment, Repository
from identity.service.people import locked_person, moment
from identity.service.viewing import Viewer, look_at, raised
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

    async def on_day(self, psn_no: str, day: date | None, viewer: Viewer) -> tuple[date, Enrolment | None]:
        """The day that was asked for, today if none was, and what held on it by all that is recorded.

        Raises:
            NotEntitled: a citizen asks about somebody else.
            PersonNotFound: there is no such person.
        """
        now, today = moment(self._clock)
        async with self._work() as repository:
            seen = await look_at(repository, psn_no, viewer, Operation.VIEW_ENROLMENTS, now)
        return day or today, raised(seen).enrolment_on(day or today)

    async def history(self, psn_no: str, viewer: Viewer, before: int | None, limit: int) -> Sequence[RecordedEnrolment]:
        """What was recorded, newest first; `before` a position, or from the newest.

        Raises:
            NotEntitled: a citizen asks about somebody else.
            PersonNotFound: there is no such person.
        """
        now = self._clock.now()
        recorded: Sequence[RecordedEnrolment] = []
        async with self._work() as repository:
            seen = await look_at(repository, psn_no, viewer, Operation.VIEW_ENROLMENTS, now)
            if not isinstance(seen, IdentityRefusal):
                recorded = await repository.enrolments_recorded(psn_no, before, limit)
        raised(seen)
        return recorded
