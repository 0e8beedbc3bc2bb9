"""The real-name check with its bounds: whom name and certificate belong to, or one more failed attempt."""

from identity.domain.attempts import AttemptKind
from identity.domain.certificate import Certificate, birth_date_in
from identity.domain.refusals import RealNameMismatch
from identity.registry import RealNameRegistry
from identity.repository import Repository
from identity.service.attempts import CountedMismatch, Gate, Step
from kit.clock import shanghai_date
from kit.db import Work


class RealNameCheck:
    """Asks the register, for somebody who has not asked too often."""

    def __init__(self, work: Work[Repository], registry: RealNameRegistry, gate: Gate) -> None:
        self._work = work
        self._registry = registry
        self._gate = gate

    async def psn_no_of(self, name: str, certificate: Certificate, step: Step) -> str:
        """psn_no of the one person in the register of insured persons with this name and certificate.

        An unknown number and a wrong name take the same way, in the same time. The bound is looked at before the
        register is asked, and again after it: many who ask at once hear no more answers than one after another would.

        Raises:
            CertificateInvalid: the number is wrong in itself.
            LockedOut: too many mismatches, about this certificate or by this caller.
            CountedMismatch: there is nobody.
            RegistryUnavailable: the register gave no answer; nothing is counted.
        """
        birth_date_in(certificate, shanghai_date(step.now))
        subject = f"certificate {certificate.type} {certificate.number}"
        async with self._work() as repository:
            await self._gate.check(repository, AttemptKind.MISMATCH, subject, step)
        psn_no = await self._registry.psn_no_of(name, certificate)
        async with self._work() as repository:
            await self._gate.check(repository, AttemptKind.MISMATCH, subject, step)
            if psn_no is not None and await repository.person(psn_no) is not None:
                return psn_no
            kind = AttemptKind.MISMATCH
            await self._gate.count_failure(repository, kind, subject, step, RealNameMismatch())
            raise CountedMismatch
