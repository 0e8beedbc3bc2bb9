"""Registration after the real-name check and, of an adult, with a one-time code."""

from identity import events
from identity.domain import person as persons
from identity.domain.attempts import AttemptKind
from identity.domain.certificate import Certificate
from identity.domain.person import Person
from identity.domain.refusals import NotEntitled
from identity.domain.verification import needs_code
from identity.repository import RECOGNISED, Operation, Repository
from identity.service.attempts import Evidence, Gate, Registrant, Step
from identity.service.people import moment
from identity.service.real_names import RealNameCheck
from identity.service.verifications import ShownCode, use_code
from kit.clock import Clock
from kit.db import Work


class RegistrationService:
    """Registers persons whom the register of insured persons confirms."""

    def __init__(
        self, work: Work[Repository], real_names: RealNameCheck, gate: Gate, clock: Clock, *, code_required: bool
    ) -> None:
        self._work = work
        self._real_names = real_names
        self._gate = gate
        self._clock = clock
        self._code_required = code_required

    async def register(self, name: str, certificate: Certificate, shown: ShownCode | None, by: Registrant) -> Person:
        """The person whom name and certificate belong to, registered.

        Args:
            name: as in the certificate.
            certificate: whose number is looked up.
            shown: the code that an adult was sent; None if there is none.
            by: who asks.

        Raises:
            CertificateInvalid, LockedOut, CountedMismatch, RegistryUnavailable: see `RealNameCheck`.
            NotEntitled, Deceased: see `identity.domain.person.register`.
            CodeRequired, LockedOut, VerificationInvalid, CountedWrongCode: see `use_code`.
        """
        now, today = moment(self._clock)
        step = Step(Operation.REGISTER_PERSON, by, now)
        psn_no = await self._real_names.psn_no_of(name, certificate, step)
        async with self._work() as repository:
            await self._gate.check(repository, AttemptKind.WRONG_CODE, psn_no, step)
            known = await repository.lock_persons(sorted({psn_no, by.psn_no or psn_no}))
            if by.psn_no is not None and by.psn_no not in known:
                raise NotEntitled
            before = known[psn_no]
            after = persons.register(before, known.get(by.psn_no or ""), now, today)
            if shown is not None or (self._code_required and needs_code(before, by.psn_no, today)):
                await use_code(repository, self._gate, before, shown, step)
            await _keep(repository, before, after)
            means = Evidence.REAL_NAME if shown is None else Evidence.CODE
            await repository.log_access(step.access(means, RECOGNISED, psn_no))
        return after


async def _keep(repository: Repository, before: Person, after: Person) -> None:
    if after is not before:
        await repository.save_persons([after])
    if after.version > before.version:
        await repository.outbox.add([events.person_verified(after)])
