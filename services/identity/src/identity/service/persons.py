"""What is known of a person: seen, found, and corrected."""

from collections.abc import Callable
from datetime import date

from identity import events
from identity.domain import correction as corrections
from identity.domain import person as persons
from identity.domain.certificate import Certificate
from identity.domain.correction import Correction, CorrectionImpossible
from identity.domain.person import Person
from identity.domain.refusals import CertificateNotFound
from identity.repository import RECOGNISED, Access, CorrectionMade, Operation, Repository
from identity.service.people import locked_person, moment
from identity.service.viewing import Viewer, look_at, raised
from kit.clock import Clock
from kit.db import Work
from kit.errors import FieldViolation, InvalidFields

ADDED = "增加证件"
"""Why a certificate is on record that was not: nobody states a reason for it."""


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
            seen = await look_at(repository, psn_no, viewer, Operation.GET_PERSON, now)
        return raised(seen), today

    async def find(self, certificate: Certificate, viewer: Viewer, stated_reason: str) -> Person:
        """Whose certificate it is, found by the keyed hash of its number. Every look-up is in the access log.

        Raises:
            CertificateNotFound: it is nobody's.
        """
        now, _ = moment(self._clock)
        async with self._work() as repository:
            psn_no = await _owner(repository, certificate)
            person = await repository.person(psn_no) if psn_no is not None else None
            outcome = CertificateNotFound.reason if person is None else RECOGNISED
            line = Access(now, viewer.caller, Operation.FIND_PERSON, viewer.means, outcome, viewer.request_id, psn_no)
            await repository.log_access(line.because(stated_reason))
        if person is None:
            raise CertificateNotFound
        return person

    async def correct(self, psn_no: str, correction: Correction, editor: Viewer, reason: str) -> bool:
        """Correct what is on record; whether it changed anything. What was corrected, by whom and why is kept.

        Raises:
            PersonNotFound: there is no such person.
            CertificateTaken, CertificateInvalid: see `identity.domain.correction.correct`.
            InvalidFields: the correction contradicts itself or what is on record.
        """
        now, today = moment(self._clock)
        async with self._work() as repository:
            owner = await _locked_owner(repository, correction.certificate)
            before = await locked_person(repository, psn_no)
            after = _possible(lambda: corrections.correct(before, correction, owner, today))
            if after is not before:
                await repository.save_persons([after])
                fields = corrections.changed_fields(before, after)
                await repository.add_correction(CorrectionMade(psn_no, now, editor.caller, fields, reason))
            if after.version > before.version:
                await repository.outbox.add([events.person_corrected(after, now)])
        return after is not before

    async def add_certificate(self, psn_no: str, certificate: Certificate, editor: Viewer) -> bool:
        """Add a certificate of another type; whether it is new. That it was added, and by whom, is kept.

        Raises:
            PersonNotFound: there is no such person.
            CertificateTaken, CertificateInvalid: see `identity.domain.correction.add_certificate`.
            InvalidFields: another number of this type is on record, or the number carries another birth date.
        """
        now, today = moment(self._clock)
        async with self._work() as repository:
            owner = await _locked_owner(repository, certificate)
            before = await locked_person(repository, psn_no)
            after = _possible(lambda: corrections.add_certificate(before, certificate, owner, today))
            if after is not before:
                await repository.save_persons([after])
                fields = corrections.changed_fields(before, after)
                await repository.add_correction(CorrectionMade(psn_no, now, editor.caller, fields, ADDED))
        return after is not before

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


async def _owner(repository: Repository, certificate: Certificate | None) -> str | None:
    return None if certificate is None else (await repository.owners([certificate])).get(certificate)


async def _locked_owner(repository: Repository, certificate: Certificate | None) -> str | None:
    # Under the lock of imports a number that is free stays free until it is given.
    if certificate is not None:
        await repository.lock_import()
    return await _owner(repository, certificate)


def _possible(decide: Callable[[], Person]) -> Person:
    try:
        return decide()
    except CorrectionImpossible as impossible:
        raise InvalidFields([FieldViolation(impossible.field_name, impossible.description)]) from None
