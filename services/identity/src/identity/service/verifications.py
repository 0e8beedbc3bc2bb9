"""One-time codes: sending one, and using it once."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, Protocol
from uuid import UUID

from identity import events
from identity.domain import person as persons
from identity.domain.attempts import AttemptKind
from identity.domain.certificate import Certificate
from identity.domain.person import Person
from identity.domain.refusals import Deceased, PersonNotFound
from identity.domain.verification import (
    LIFETIME,
    CodeRequired,
    CodeWrong,
    PhoneMissing,
    Purpose,
    Verification,
    masked_tel,
    new_code,
    use,
)
from identity.repository import RECOGNISED, Operation, Repository
from identity.service.attempts import CountedWrongCode, Evidence, Gate, Registrant, Step
from identity.service.people import moment
from identity.service.real_names import RealNameCheck
from kit.clock import Clock
from kit.db import Work
from kit.ids import uuid7

KEEP: Final = timedelta(days=1)
"""How long a code that ran out is kept for questions; the next one to the same person forgets it."""


@dataclass(frozen=True, slots=True)
class ShownCode:
    """What somebody shows to prove that the telephone is at hand."""

    verification_id: UUID
    code: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Started:
    """A code is on its way."""

    verification: Verification
    masked_tel: str


class Sealer(Protocol):
    """Encrypts telephone and code for notify alone."""

    def __call__(self, verification: Verification, tel: str, code: str) -> bytes:
        """What the event carries."""
        ...


class VerificationService:
    """Sends codes to telephones on file."""

    def __init__(
        self, work: Work[Repository], real_names: RealNameCheck, gate: Gate, seal: Sealer, clock: Clock
    ) -> None:
        self._work = work
        self._real_names = real_names
        self._gate = gate
        self._seal = seal
        self._clock = clock

    async def start(self, name: str, certificate: Certificate, by: Registrant) -> Started:
        """Send a code to the adult whom name and certificate belong to.

        Raises:
            CertificateInvalid, LockedOut, CountedMismatch, RegistryUnavailable: see `RealNameCheck`.
            LockedOut: too many codes were sent, to this person or for this caller.
            NotEntitled, Deceased: this person does not register in person.
            PhoneMissing: there is no telephone to send it to.
        """
        now, today = moment(self._clock)
        step = Step(Operation.START_VERIFICATION, by, now)
        psn_no = await self._real_names.psn_no_of(name, certificate, step)
        async with self._work() as repository:
            await self._gate.check(repository, AttemptKind.CODE_SENT, psn_no, step)
            person = await repository.person(psn_no)
            if person is None:
                raise PersonNotFound
            persons.register(person, None, now, today)  # whether it can come to a registration at all
            if person.died_on is not None:
                raise Deceased
            if not person.tel:
                raise PhoneMissing
            return await self._send(repository, person, step)

    async def _send(self, repository: Repository, person: Person, step: Step) -> Started:
        verification_id, code = uuid7(), new_code()
        # Whole seconds, as the event states them.
        expires_at = step.now.replace(microsecond=0) + LIFETIME
        code_index = repository.code_index(verification_id, code)
        verification = Verification(
            verification_id, person.psn_no, Purpose.REGISTRATION, step.by.caller, code_index, expires_at
        )
        await repository.add_verification(verification, step.now - KEEP)
        await self._gate.count(repository, AttemptKind.CODE_SENT, person.psn_no, step)
        await repository.log_access(step.access(Evidence.CODE, RECOGNISED, person.psn_no))
        sealed = self._seal(verification, person.tel, code)
        await repository.outbox.add([events.verification_code_issued(verification, sealed, step.now)])
        return Started(verification, masked_tel(person.tel))


async def use_code(repository: Repository, gate: Gate, person: Person, shown: ShownCode | None, step: Step) -> None:
    """Use up the code that was shown, or count one more wrong one.

    Raises:
        CodeRequired: none was shown.
        LockedOut: too many wrong ones, for this person or by this caller.
        VerificationInvalid: the verification cannot be used, whatever the code.
        CountedWrongCode: it is another code.
    """
    if shown is None:
        raise CodeRequired
    before = await repository.lock_verification(shown.verification_id)
    code_index = repository.code_index(shown.verification_id, shown.code)
    try:
        after = use(
            before,
            code_index,
            step.now,
            purpose=Purpose.REGISTRATION,
            psn_no=person.psn_no,
            caller=step.by.caller,
        )
    except CodeWrong as wrong:
        await repository.save_verification(wrong.after)
        await gate.count_failure(repository, AttemptKind.WRONG_CODE, person.psn_no, step, wrong)
        raise CountedWrongCode(wrong.after) from None
    await repository.save_verification(after)
