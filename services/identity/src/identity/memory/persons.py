"""Persons as a dictionary."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from identity.domain.certificate import Certificate, comparable_name
from identity.domain.person import Person
from identity.repository import CorrectionMade, RecordedEnrolment

_RECORDED_AT = datetime(2025, 1, 1, tzinfo=UTC)


class MemoryPersons:
    """See `identity.repository.persons`."""

    def __init__(self) -> None:
        super().__init__()
        self.persons: dict[str, Person] = {}
        self.corrections: list[CorrectionMade] = []

    async def lock_import(self) -> None:
        """See the protocol; one unit of work runs at a time anyway."""

    async def lock_persons(self, psn_nos: Sequence[str]) -> Mapping[str, Person]:
        """See the protocol."""
        return {psn_no: self.persons[psn_no] for psn_no in psn_nos if psn_no in self.persons}

    async def person(self, psn_no: str) -> Person | None:
        """See the protocol."""
        return self.persons.get(psn_no)

    async def save_persons(self, persons: Sequence[Person]) -> None:
        """See the protocol."""
        self.persons.update({person.psn_no: person for person in persons})

    async def owners(self, certificates: Sequence[Certificate]) -> Mapping[Certificate, str]:
        """See the protocol."""
        asked = set(certificates)
        return {one: person.psn_no for person in self.persons.values() for one in person.certificates if one in asked}

    async def psn_no_by_name(self, name: str, certificate: Certificate) -> str | None:
        """See the protocol."""
        wanted = comparable_name(name)
        return _only(
            person.psn_no
            for person in self.persons.values()
            if certificate in person.certificates and comparable_name(person.name) == wanted
        )

    async def psn_no_by_card(self, number: str, card_sn: str) -> str | None:
        """See the protocol."""
        return _only(
            person.psn_no
            for person in self.persons.values()
            if person.card_sn and person.card_sn == card_sn and number in {one.number for one in person.certificates}
        )

    async def add_correction(self, made: CorrectionMade) -> None:
        """See the protocol."""
        self.corrections.append(made)

    async def enrolments_recorded(self, psn_no: str, before: int | None, limit: int) -> Sequence[RecordedEnrolment]:
        """See the protocol; nothing is recorded at any other time than the beginning of it."""
        stated = self.persons[psn_no].enrolments if psn_no in self.persons else ()
        recorded = [RecordedEnrolment(place, one, _RECORDED_AT) for place, one in enumerate(stated, start=1)]
        return [one for one in reversed(recorded) if before is None or one.position < before][:limit]


def _only(found: Iterable[str]) -> str | None:
    psn_nos = set(found)
    return psn_nos.pop() if len(psn_nos) == 1 else None
