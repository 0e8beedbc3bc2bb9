"""Identification at an institution: who the patient is, and the credential that the HIS settles with."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from identity.domain.certificate import Certificate, CertificateType, birth_date_in
from identity.domain.institution import Institution, designated_on
from identity.domain.refusals import (
    ForbiddenInstitution,
    IdentityRefusal,
    InstitutionNotDesignated,
    InstitutionSuspended,
    PersonNotFound,
    RealNameMismatch,
)
from identity.domain.remote_care import in_force
from identity.domain.visit import CredentialLifetimes, Finding, Visit, findings, may_admit, show_voucher
from identity.repository import RECOGNISED, Access, Operation, Repository
from kit.clock import Clock, shanghai_date
from kit.db import Work
from kit.errors import FieldViolation, InvalidFields
from kit.ids import uuid7


class VisitCertificateType(StrEnum):
    """mdtrt_cert_type."""

    E_VOUCHER = "01"
    IDENTITY_CARD = "02"
    SOCIAL_SECURITY_CARD = "03"


VISIT, STAY = "门诊就医购药", "住院"
"""Why a patient is identified, as the access log tells it: a credential of a stay is good for days."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What the patient shows, and where."""

    caller_code: str
    """fixmedins_code of the institution whose certificate the call came with."""
    fixmedins_code: str
    """The one that the request names."""
    mdtrt_cert_type: VisitCertificateType
    number: str = field(repr=False)
    """The voucher's token, or the number on the card."""
    name: str = field(repr=False)
    card_sn: str = field(repr=False)
    request_id: str
    inpatient: bool = False
    """Whether the patient is admitted."""


@dataclass(frozen=True, slots=True)
class Identified:
    """Who it is, and what the institution gets."""

    visit: Visit
    credential: str = field(repr=False)
    findings: Sequence[Finding]


class CredentialSigner(Protocol):
    """Makes a visit's facts into a token that settlement believes."""

    def __call__(self, visit: Visit) -> str:
        """The visit credential."""
        ...


class VisitService:
    """Recognises patients.

    Args:
        work: units of work.
        sign: makes credentials.
        clock: what today is, and when credentials run out.
        lifetimes: how long they live.
        home_prefix: how region codes at home begin.
    """

    def __init__(
        self,
        work: Work[Repository],
        sign: CredentialSigner,
        clock: Clock,
        *,
        lifetimes: CredentialLifetimes,
        home_prefix: str,
    ) -> None:
        self._work = work
        self._sign = sign
        self._clock = clock
        self._lifetimes = lifetimes
        self._home_prefix = home_prefix

    async def identify(self, shown: Shown) -> Identified:
        """Who the patient is, with a credential for the calling institution. Bad facts are reported, not refused.

        Raises:
            ForbiddenInstitution: the request names another institution than the caller.
            InstitutionNotDesignated: the institution was never registered.
            InstitutionSuspended: it is suspended.
            InvalidFields: a retail pharmacy says that the patient is admitted.
            CertificateInvalid, RealNameMismatch, VoucherInvalid: nobody was recognised.
        """
        now = self._clock.now()
        outcome: Visit | IdentityRefusal
        async with self._work() as repository:
            try:
                outcome = await self._visit(repository, shown, now)
            except IdentityRefusal as refusal:
                outcome = refusal
            # In the same transaction and also when refused: nobody is asked about without a trace.
            await repository.log_access(_access(shown, outcome, now))
        if isinstance(outcome, IdentityRefusal):
            raise outcome
        return Identified(outcome, self._sign(outcome), findings(outcome, self._home_prefix))

    async def _visit(self, repository: Repository, shown: Shown, now: datetime) -> Visit:
        institution = await _institution(repository, shown)
        psn_no = await _RECOGNISE[shown.mdtrt_cert_type](repository, shown, now)
        person = await repository.person(psn_no)
        if person is None:
            raise PersonNotFound
        today = shanghai_date(now)
        return Visit(
            jti=uuid7(),
            person=person,
            institution=institution,
            enrolment=person.enrolment_on(today),
            filings=in_force(await repository.filings(psn_no), today),
            designated=designated_on(institution, today),
            issued_at=now,
            expires_at=now + self._lifetimes.of(inpatient=shown.inpatient),
            inpatient=shown.inpatient,
        )


async def _institution(repository: Repository, shown: Shown) -> Institution:
    if shown.fixmedins_code != shown.caller_code:
        raise ForbiddenInstitution
    institution = await repository.institution(shown.fixmedins_code)
    if institution is None:
        raise InstitutionNotDesignated
    if institution.suspended:
        raise InstitutionSuspended
    if shown.inpatient and not may_admit(institution):
        raise InvalidFields([FieldViolation("inpatient", "nobody is admitted at a retail pharmacy")])
    return institution


async def _by_voucher(repository: Repository, shown: Shown, now: datetime) -> str:
    before = await repository.lock_voucher(shown.number)
    after = show_voucher(before, shown.fixmedins_code, now)
    if after != before:
        await repository.bind_voucher(shown.number, shown.fixmedins_code)
    return after.psn_no


async def _by_identity_card(repository: Repository, shown: Shown, now: datetime) -> str:
    certificate = Certificate(CertificateType.IDENTITY_CARD, shown.number)
    birth_date_in(certificate, shanghai_date(now))
    return _recognised(await repository.psn_no_by_name(shown.name, certificate))


async def _by_social_security_card(repository: Repository, shown: Shown, _now: datetime) -> str:
    return _recognised(await repository.psn_no_by_card(shown.number, shown.card_sn))


def _recognised(psn_no: str | None) -> str:
    if psn_no is None:
        raise RealNameMismatch
    return psn_no


_RECOGNISE = {
    VisitCertificateType.E_VOUCHER: _by_voucher,
    VisitCertificateType.IDENTITY_CARD: _by_identity_card,
    VisitCertificateType.SOCIAL_SECURITY_CARD: _by_social_security_card,
}


def _access(shown: Shown, outcome: Visit | IdentityRefusal, now: datetime) -> Access:
    caller = f"institution/{shown.caller_code}"
    told = outcome.reason if isinstance(outcome, IdentityRefusal) else RECOGNISED
    line = Access(now, caller, Operation.IDENTIFY, shown.mdtrt_cert_type, told, shown.request_id)
    line = line.because(STAY if shown.inpatient else VISIT)
    if isinstance(outcome, IdentityRefusal):
        return line
    return replace(line, psn_no=outcome.person.psn_no, jti=outcome.jti)
