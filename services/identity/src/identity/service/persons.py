"""What is known of a person: seen, and corrected."""

from dataclasses import dataclass
from datetime import date

from identity import events
from identity.domain import person as persons
from identity.domain.person import Person
from identity.domain.refusals import IdentityRefusal, NotEntitled, PersonNotFound
from identity.repository import RECOGNISED, Access, Repository
from identity.service.people import entitled, locked_person, moment
from kit.clock import Clock
from kit.db import Work
from kit.errors import FieldViolation, InvalidFields


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who wants to see a person."""

    caller: str
    """As the access log names them."""
    psn_no: str | None
    """Of a citizen; None for an operator."""
    request_id: str

    @property
    def means(self) -> str:
        """By what right they see: as a citizen or as an operator."""
        return "OPERATOR" if self.psn_no is None else "CITIZEN"


class PersonService:
    """Persons of the register, one by one."""

    def __init__(self, work: Work[Repository], clock: Clock) -> None:
        self._work = work
        self._clock = clock

    async def view(self, psn_no: str, viewer: Viewer) -> tuple[Person, date]:
        """The person, and the day as of which to show them. Every view is in the access log, refused ones too.

        Raises:
            NotEntitled: a citizen asks about somebody else.
            PersonNotFound: there is no such person.
        """
        now, today = moment(self._clock)
        async with self._work() as repository:
            person = await repository.person(psn_no)
            refusal = _refused_view(person, psn_no, viewer, today)
            known = None if refusal else psn_no
            outcome = refusal.reason if refusal else RECOGNISED
            await repository.log_access(
                Access(now, viewer.caller, "GET_PERSON", viewer.means, outcome, viewer.request_id, known)
            )
        if person is None or refusal is not None:
            raise refusal or PersonNotFound
        return person, today

    async def record_death(self, psn_no: str, died_on: date) -> bool:
        """Record a death; whether it changed anything.

        Raises:
            PersonNotFound: there is no such person.
            InvalidFields: the day is in the future, or before birth.
        """
        now, today = moment(self._clock)
        async with self._work() as repository:
            before = await locked_person(repository, psn_no)
            if not before.brdy <= died_on <= today:
                raise InvalidFields([FieldViolation("died_on", "must lie between birth and today")])
            after = persons.record_death(before, died_on)
            if after is not before:
                await repository.save_persons([after])
                await repository.outbox.add([events.person_died(after, now)])
        return after is not before


def _refused_view(person: Person | None, psn_no: str, viewer: Viewer, today: date) -> IdentityRefusal | None:
    if viewer.psn_no is not None and not entitled(viewer.psn_no, psn_no, person, today):
        return NotEntitled()
    return PersonNotFound() if person is None else None
