"""What identity does, one transaction each: load the state, decide by the domain's rules, save and tell."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from identity import events
from identity.domain import institution as institutions
from identity.domain import person as persons
from identity.domain.certificate import Certificate, birth_date_in
from identity.domain.enrolment import Enrolment
from identity.domain.institution import Institution
from identity.domain.person import Person
from identity.domain.refusals import IdentityRefusal, InstitutionNotFound, NotEntitled, PersonNotFound, RealNameMismatch
from identity.domain.register import Intake, RegisterRow, RowRefused, take_in
from identity.domain.visit import RemoteFiling, Voucher
from identity.registry import RealNameRegistry
from identity.repository import RECOGNISED, Access, Repository
from identity.vouchers import new_token
from kit.clock import Clock, shanghai_date
from kit.db import Work
from kit.errors import FieldViolation, InvalidFields
from kit.ids import uuid7

KEEP_VOUCHERS = timedelta(days=1)
"""How long a voucher that ran out is kept for questions; the next issue to the same person forgets it."""


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
    """The register of insured persons and what is recorded about each of them."""

    def __init__(self, work: Work[Repository], registry: RealNameRegistry, clock: Clock) -> None:
        self._work = work
        self._registry = registry
        self._clock = clock

    async def import_insured(self, rows: Sequence[RegisterRow | RowRefused]) -> Intake:
        """Take in rows of the register, all that can be taken in one transaction."""
        now, today = self._moment()
        readable = [row for row in rows if isinstance(row, RegisterRow)]
        async with self._work() as repository:
            await repository.lock_import()
            known = await repository.lock_persons(sorted({row.psn_no for row in readable}))
            owners = await repository.owners([row.certificate for row in readable])
            intake = take_in(rows, known, owners, today)
            if intake.persons:
                await repository.save_persons(list(intake.persons.values()))
                await repository.outbox.add([events.enrolment_changed(person, now) for person in intake.enrolled])
        return intake

    async def register(self, name: str, certificate: Certificate, caller_psn_no: str | None) -> Person:
        """The person whom name and certificate belong to, registered.

        Args:
            name: as in the certificate.
            certificate: whose number is looked up.
            caller_psn_no: who asks, as the portal knows them; None at somebody's own first registration.

        Raises:
            CertificateInvalid: the number is wrong in itself.
            RealNameMismatch: there is nobody with this name and certificate.
            NotEntitled, Deceased: see `identity.domain.person.register`.
        """
        now, today = self._moment()
        birth_date_in(certificate, today)
        psn_no = await self._registry.psn_no_of(name, certificate)
        if psn_no is None:
            raise RealNameMismatch
        async with self._work() as repository:
            known = await repository.lock_persons(sorted({psn_no, caller_psn_no or psn_no}))
            if psn_no not in known:
                raise RealNameMismatch
            if caller_psn_no is not None and caller_psn_no not in known:
                raise NotEntitled
            before = known[psn_no]
            after = persons.register(before, known.get(caller_psn_no or ""), now, today)
            if after is not before:
                await repository.save_persons([after])
            if after.version > before.version:
                await repository.outbox.add([events.person_verified(after)])
        return after

    async def view(self, psn_no: str, viewer: Viewer) -> tuple[Person, date]:
        """The person, and the day as of which to show them. Every view is in the access log, refused ones too.

        Raises:
            NotEntitled: a citizen asks about somebody else.
            PersonNotFound: there is no such person.
        """
        now, today = self._moment()
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

    async def record_enrolment(self, psn_no: str, enrolment: Enrolment) -> bool:
        """Record what holds from a day on; whether it changed anything.

        Raises:
            PersonNotFound: there is no such person.
        """
        now, _ = self._moment()
        async with self._work() as repository:
            before = await _locked(repository, psn_no)
            after = persons.record_enrolment(before, enrolment)
            if after is not before:
                await repository.save_persons([after])
                await repository.outbox.add([events.enrolment_changed(after, now)])
        return after is not before

    async def record_death(self, psn_no: str, died_on: date) -> bool:
        """Record a death; whether it changed anything.

        Raises:
            PersonNotFound: there is no such person.
            InvalidFields: the day is in the future, or before birth.
        """
        now, today = self._moment()
        async with self._work() as repository:
            before = await _locked(repository, psn_no)
            if not before.brdy <= died_on <= today:
                raise InvalidFields([FieldViolation("died_on", "must lie between birth and today")])
            after = persons.record_death(before, died_on)
            if after is not before:
                await repository.save_persons([after])
                await repository.outbox.add([events.person_died(after, now)])
        return after is not before

    async def file_remote_care(self, psn_no: str, admdvs: str, valid_from: date, valid_to: date | None) -> RemoteFiling:
        """File care elsewhere; filing the same again gives the same filing.

        Raises:
            PersonNotFound: there is no such person.
        """
        async with self._work() as repository:
            await _locked(repository, psn_no)
            return await repository.file_remote_care(RemoteFiling(uuid7(), psn_no, admdvs, valid_from, valid_to))

    async def issue_voucher(self, psn_no: str, caller_psn_no: str | None, lifetime: timedelta) -> tuple[str, datetime]:
        """A new e-voucher's token, which is kept nowhere, and the moment until which it can be used.

        Raises:
            NotEntitled: the caller is neither the person nor registered them as a minor.
            PersonNotFound: the person is not registered.
        """
        now, today = self._moment()
        token, expires_at = new_token(), now + lifetime
        async with self._work() as repository:
            person = await repository.person(psn_no)
            if not _entitled(caller_psn_no, psn_no, person, today):
                raise NotEntitled
            if person is None or person.registration is None:
                raise PersonNotFound("register this person first")
            await repository.add_voucher(token, Voucher(psn_no, expires_at), now - KEEP_VOUCHERS)
        return token, expires_at

    def _moment(self) -> tuple[datetime, date]:
        now = self._clock.now()
        return now, shanghai_date(now)


class InstitutionService:
    """Designated institutions."""

    def __init__(self, work: Work[Repository], clock: Clock) -> None:
        self._work = work
        self._clock = clock

    async def register(self, stated: Institution) -> bool:
        """Keep the institution as stated; whether anything changed."""
        now = self._clock.now()
        async with self._work() as repository:
            before = await repository.lock_institution(stated.fixmedins_code)
            after = institutions.register(before, stated)
            if after is not before:
                await repository.save_institution(after)
                await repository.outbox.add([events.institution_changed(after, now)])
        return after is not before

    async def get(self, fixmedins_code: str) -> Institution:
        """The institution.

        Raises:
            InstitutionNotFound: there is no such institution.
        """
        async with self._work() as repository:
            institution = await repository.institution(fixmedins_code)
        if institution is None:
            raise InstitutionNotFound
        return institution


async def _locked(repository: Repository, psn_no: str) -> Person:
    person = (await repository.lock_persons([psn_no])).get(psn_no)
    if person is None:
        raise PersonNotFound
    return person


def _refused_view(person: Person | None, psn_no: str, viewer: Viewer, today: date) -> IdentityRefusal | None:
    if viewer.psn_no is not None and not _entitled(viewer.psn_no, psn_no, person, today):
        return NotEntitled()
    return PersonNotFound() if person is None else None


def _entitled(caller_psn_no: str | None, psn_no: str, person: Person | None, today: date) -> bool:
    # Asked before it is told whether there is such a person: strangers learn nothing from the answer.
    if person is None:
        return caller_psn_no == psn_no
    return persons.may_act_for(caller_psn_no, person, today)
