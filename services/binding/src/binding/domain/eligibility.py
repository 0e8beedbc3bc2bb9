"""Who may be bound to whom (R1–R4). Judged when an application is handed in, and again when it is approved."""

from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from binding.domain.applications import Application, ProofKind
from binding.domain.errors import Refused, StateForbids
from binding.domain.persons import EMPLOYEE, NORMAL, RESIDENT, Person, age_on
from binding.domain.relations import Relation, Relationship

_BIRTH_PROOFS = frozenset({ProofKind.BIRTH_CERTIFICATE, ProofKind.HOUSEHOLD_REGISTER})
PROOFS_OF = {
    Relationship.CHILD: _BIRTH_PROOFS,
    Relationship.PARENT: _BIRTH_PROOFS,
    Relationship.SPOUSE: frozenset({ProofKind.MARRIAGE_CERTIFICATE, ProofKind.HOUSEHOLD_REGISTER}),
}
"""One proof of these kinds shows the relationship."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What a region sets differently; defaults are the reference region's."""

    account_region_prefix: str = "6527"
    """Where the payer's account is (R1)."""
    insured_region_prefix: str = "65"
    """Where both are insured (R3)."""
    adult_age_years: int = 18
    """From this age on the beneficiary consents (R4)."""


class PayerNotEligible(Refused):
    """The payer is not a 310 member in normal standing of the account region (R1)."""

    reason = "PAYER_NOT_ELIGIBLE"


class BeneficiaryNotEligible(Refused):
    """The beneficiary is not insured in Xinjiang (R3)."""

    reason = "BENEFICIARY_NOT_ELIGIBLE"


class RelationshipNotAllowed(Refused):
    """Both are one person, or the relationship cannot be (R2, R4)."""

    reason = "RELATIONSHIP_NOT_ALLOWED"


class RelationExists(Refused):
    """A pending application or a living relation of this pair exists."""

    reason = "RELATION_EXISTS"


class ProofMissing(Refused):
    """No proof of a kind that shows the relationship."""

    reason = "PROOF_MISSING"


class ConsentMissing(Refused):
    """The adult beneficiary has not consented (R4)."""

    reason = "CONSENT_MISSING"


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What an application is judged by, besides itself."""

    payer: Person | None
    beneficiary: Person | None
    relations: tuple[Relation, ...]
    """Relations of the beneficiary."""
    pending_application_id: UUID | None
    """Another application of the pair that waits for a decision."""
    day: date
    """Today, Asia/Shanghai."""


def is_minor(person: Person | None, day: date, policy: Policy) -> bool:
    """Whether a person is known to be under age on a day (R4)."""
    return person is not None and person.brdy is not None and age_on(person.brdy, day) < policy.adult_age_years


def refuse_self(payer_psn_no: str, beneficiary_psn_no: str) -> None:
    """Raises RelationshipNotAllowed when both are one person (R2)."""
    if payer_psn_no == beneficiary_psn_no:
        raise RelationshipNotAllowed("payer and beneficiary are the same person")


def refuse_ineligible(application: Application, circumstances: Circumstances, policy: Policy) -> None:
    """Raises the first reason why this application cannot become a relation today; returns when it can."""
    refuse_self(application.payer_psn_no, application.beneficiary_psn_no)
    _refuse_payer(circumstances.payer, circumstances.day, policy)
    _refuse_beneficiary(circumstances.beneficiary, circumstances.day, policy)
    _refuse_minor_of_others(application, circumstances, policy)
    _refuse_second(application, circumstances)
    _refuse_unproven(application)
    _refuse_without_consent(application, circumstances, policy)
    _refuse_over(application, circumstances.day)


def _refuse_payer(payer: Person | None, day: date, policy: Policy) -> None:
    enrolment = payer.enrolment_on(day) if payer is not None and payer.died_on is None else None
    if enrolment is None:
        raise PayerNotEligible("the payer is not insured (R1)", {"rule": "R1"})
    if enrolment.insutype != EMPLOYEE or enrolment.psn_insu_stas != NORMAL:
        raise PayerNotEligible("the payer is no 310 member in normal standing (R1)", {"rule": "R1"})
    if not enrolment.insuplc_admdvs.startswith(policy.account_region_prefix):
        raise PayerNotEligible("the payer's account is not of this region (R1)", {"rule": "R1"})


def _refuse_beneficiary(beneficiary: Person | None, day: date, policy: Policy) -> None:
    alive = beneficiary is not None and beneficiary.died_on is None
    enrolment = beneficiary.enrolment_on(day) if beneficiary is not None and alive else None
    if enrolment is None or enrolment.psn_insu_stas != NORMAL or enrolment.insutype not in {EMPLOYEE, RESIDENT}:
        raise BeneficiaryNotEligible("the beneficiary is not normally insured (R3)", {"rule": "R3"})
    if not enrolment.insuplc_admdvs.startswith(policy.insured_region_prefix):
        raise BeneficiaryNotEligible("the beneficiary is insured elsewhere (R3)", {"rule": "R3"})
    if beneficiary is None or beneficiary.brdy is None:
        raise BeneficiaryNotEligible("the beneficiary has not registered yet (R4)", {"rule": "R4"})


def _refuse_minor_of_others(application: Application, circumstances: Circumstances, policy: Policy) -> None:
    minor = is_minor(circumstances.beneficiary, circumstances.day, policy)
    if minor and application.relationship is not Relationship.CHILD:
        raise RelationshipNotAllowed("for a minor, a parent applies (R4)", {"rule": "R4"})


def _refuse_second(application: Application, circumstances: Circumstances) -> None:
    if circumstances.pending_application_id not in {None, application.application_id}:
        raise RelationExists("an application of this pair is waiting for its decision")
    for relation in circumstances.relations:
        if relation.payer_psn_no == application.payer_psn_no and relation.living_on(circumstances.day):
            raise RelationExists(
                "this pair has a relation; unbind it first", {"relation_id": str(relation.relation_id)}
            )


def _refuse_unproven(application: Application) -> None:
    kinds = PROOFS_OF[application.relationship]
    if not any(proof.kind in kinds for proof in application.proofs):
        raise ProofMissing(
            "no proof shows this relationship; upload one of the kinds named", {"kinds": ",".join(sorted(kinds))}
        )


def _refuse_without_consent(application: Application, circumstances: Circumstances, policy: Policy) -> None:
    minor = is_minor(circumstances.beneficiary, circumstances.day, policy)
    if not minor and application.consented_at is None:
        raise ConsentMissing("the beneficiary is of age and has to consent (R4)", {"rule": "R4"})


def _refuse_over(application: Application, day: date) -> None:
    if application.valid_from is None and application.valid_to < day:
        raise StateForbids(
            "the validity asked for is over; apply again", {"valid_to": application.valid_to.isoformat()}
        )


def relation_of(application: Application, relation_id: UUID, priority: int, at: datetime, day: date) -> Relation:
    """The relation that an approval makes; dates that were asked for are kept, also those before the approval."""
    return Relation(
        relation_id=relation_id,
        application_id=application.application_id,
        payer_psn_no=application.payer_psn_no,
        beneficiary_psn_no=application.beneficiary_psn_no,
        relationship=application.relationship,
        priority=application.priority or priority,
        limits=application.limits,
        valid_from=application.valid_from or day,
        valid_to=application.valid_to,
        approved_at=at,
    )
