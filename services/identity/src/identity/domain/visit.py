"""A visit: what is known of patient and institution today, and what a settlement would be refused for (R8)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from identity.domain.enrolment import Enrolment, InsuranceStatus
from identity.domain.institution import Institution, InstitutionType
from identity.domain.person import Person
from identity.domain.refusals import VoucherInvalid
from identity.domain.remote_care import RemoteFiling, covers

AUDIENCE = "settlement"
"""The one service that accepts a visit credential."""


class Finding(StrEnum):
    """What stands against a settlement, in the vocabulary's order."""

    INSTITUTION_NOT_DESIGNATED = "INSTITUTION_NOT_DESIGNATED"
    INSTITUTION_NO_REMOTE_SETTLEMENT = "INSTITUTION_NO_REMOTE_SETTLEMENT"
    REMOTE_CARE_UNFILED = "REMOTE_CARE_UNFILED"
    DECEASED = "DECEASED"
    NOT_INSURED = "NOT_INSURED"


@dataclass(frozen=True, slots=True)
class Voucher:
    """An e-voucher (医保电子凭证) as it is kept: without the token."""

    psn_no: str
    expires_at: datetime
    fixmedins_code: str | None = None
    """The institution that identified it first; None until then."""


@dataclass(frozen=True, slots=True)
class Visit:
    """The facts of one identification."""

    jti: UUID
    """Of the credential."""
    person: Person
    institution: Institution
    enrolment: Enrolment | None
    """In force today."""
    filings: tuple[RemoteFiling, ...]
    """Of care elsewhere, in force today."""
    designated: bool
    issued_at: datetime
    expires_at: datetime
    inpatient: bool = False
    """Whether the credential is good for a stay, and then for inpatient bills only."""

    @property
    def filed_admdvs(self) -> Sequence[str]:
        """Regions of the filings in force today, sorted."""
        return sorted({filing.admdvs for filing in self.filings})

    @property
    def deceased(self) -> bool:
        """Whether the patient has died."""
        return self.person.died_on is not None


@dataclass(frozen=True, slots=True)
class CredentialLifetimes:
    """How long credentials live."""

    visit: timedelta
    inpatient: timedelta
    """For a stay: a patient is identified at admission and settles at discharge."""

    def of(self, *, inpatient: bool) -> timedelta:
        """The lifetime of a credential."""
        return self.inpatient if inpatient else self.visit


def may_admit(institution: Institution) -> bool:
    """Whether there can be an inpatient stay at this institution."""
    return institution.fixmedins_type is InstitutionType.MEDICAL


def findings(visit: Visit, home_prefix: str) -> Sequence[Finding]:
    """Everything that a settlement of this visit would be refused for, in the vocabulary's order.

    Args:
        visit: the facts.
        home_prefix: how region codes at home begin; care there needs no filing (R3, R8).
    """
    remote = not visit.institution.admdvs.startswith(home_prefix)
    filed = any(covers(region, visit.institution.admdvs) for region in visit.filed_admdvs)
    insured = visit.enrolment is not None and visit.enrolment.psn_insu_stas is InsuranceStatus.NORMAL
    stands_against = {
        Finding.INSTITUTION_NOT_DESIGNATED: not visit.designated,
        Finding.INSTITUTION_NO_REMOTE_SETTLEMENT: remote and not visit.institution.remote_settlement,
        Finding.REMOTE_CARE_UNFILED: remote and not filed,
        Finding.DECEASED: visit.deceased,
        Finding.NOT_INSURED: not insured,
    }
    return [finding for finding in Finding if stands_against[finding]]


def show_voucher(voucher: Voucher | None, fixmedins_code: str, now: datetime) -> Voucher:
    """The voucher after it was shown at an institution, to which its first showing binds it.

    Raises:
        VoucherInvalid: unknown, run out, or bound to another institution.
    """
    if voucher is None or now >= voucher.expires_at or voucher.fixmedins_code not in {None, fixmedins_code}:
        raise VoucherInvalid
    return Voucher(voucher.psn_no, voucher.expires_at, fixmedins_code)
