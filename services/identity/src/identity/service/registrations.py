"""Registration after the real-name check."""

from identity import events
from identity.domain import person as persons
from identity.domain.certificate import Certificate, birth_date_in
from identity.domain.person import Person
from identity.domain.refusals import NotEntitled, RealNameMismatch
from identity.registry import RealNameRegistry
from identity.repository import Repository
from identity.service.people import moment
from kit.clock import Clock
from kit.db import Work


class RegistrationService:
    """Registers persons whom the register of insured persons confirms."""

    def __init__(self, work: Work[Repository], registry: RealNameRegistry, clock: Clock) -> None:
        self._work = work
        self._registry = registry
        self._clock = clock

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
        now, today = moment(self._clock)
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
