"""Who may be bound to whom (R1–R4). Judged when an application is handed in, and again when it is approved."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from uuid import UUID

from binding.domain.ages import GENERATION_YEARS, years_lacking
from binding.domain.applications import Application, ProofKind
from binding.domain.errors import Refused, StateForbids
from binding.domain.persons import EMPLOYEE, NORMAL, RESIDENT, Person, age_on
from binding.domain.relations import Relation, Relationship

_BIRTH_PROOFS = frozenset({ProofKind.BIRTH_CERTIFICATE, ProofKind.HOUSEHOLD_REGISTER})
_REGISTER = frozenset({ProofKind.HOUSEHOLD_REGISTER})
PROOFS_OF: Mapping[Relationship, frozenset[ProofKind]] = MappingProxyType(
    {
        Relationship.CHILD: _BIRTH_PROOFS,
        Relationship.PARENT: _BIRTH_PROOFS,  # the birth certificate is the payer's
        Relationship.SPOUSE: frozenset({ProofKind.MARRIAGE_CERTIFICATE, ProofKind.HOUSEHOLD_REGISTER}),
        Relationship.SIBLING: _REGISTER,
        Relationship.GRANDPARENT: _REGISTER,
        Relationship.GRANDCHILD: _REGISTER,
    }
)
"""One proof of these kinds shows the relationship, unless the region sets other kinds."""
WIDER_KIN = frozenset({Relationship.SIBLING, Relationship.GRANDPARENT, Relationship.GRANDCHILD})


@dataclass(frozen=True, slots=True)
class Policy:
    """What a region sets differently; defaults are the reference region's."""

    account_region_prefix: str = "6527"
    """Where the payer's account is (R1)."""
    insured_region_prefix: str = "65"
    """Where both are insured (R3)."""
    adult_age_years: int = 18
    """From this age on the beneficiary consents (R4)."""
    proofs_of: Mapping[Relationship, frozenset[ProofKind]] = field(default_factory=lambda: PROOFS_OF)
    """The kinds of proof of which one shows the relationship."""
    wider_kin: bool = False
    """Whether siblings, grandparents and grandchildren are allowed (R2)."""
    generation_years: int = GENERATION_YEARS
    """A parent is at least so many years older than the child."""
    max_relations_of_payer: int = 10
    max_relations_of_beneficiary: int = 10
    draft_life: timedelta = timedelta(days=30)
    """How long a draft, or a returned application, waits to be handed in."""


class PayerNotEligible(Refused):
    """The payer is not a 310 member in normal standing of the account region (R1)."""

    reason = "PAYER_NOT_ELIGIBLE"


class BeneficiaryNotEligible(Refused):
    """The beneficiary is not insured in Xinjiang (R3)."""

    reason = "BENEFICIARY_NOT_ELIGIBLE"


class Forbids(StrEnum):
    """Which rule a relationship breaks: `cause` in the metadata of RELATIONSHIP_NOT_ALLOWED."""

    SELF = "SELF"
    WIDER_KIN = "WIDER_KIN"
    IN_LAW = "IN_LAW"
    MINOR = "MINOR"


class RelationshipNotAllowed(Refused):
    """Both are one person, or the relationship is not one that mutual aid allows (R2, R4)."""

    reason = "RELATIONSHIP_NOT_ALLOWED"

    def __init__(self, cause: Forbids, message: str) -> None:
        super().__init__(message, {"cause": cause, "rule": "R4" if cause is Forbids.MINOR else "R2"})


class AgeImpossible(Refused):
    """Of parent and child, the parent is not old enough (R2)."""

    reason = "AGE_IMPOSSIBLE"


class TooManyRelations(Refused):
    """The payer pays for, or the beneficiary has, as many as the region allows."""

    reason = "TOO_MANY_RELATIONS"


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
    on_record: tuple[Relation, ...] = ()
    """Relations of either person, as payer or beneficiary, ended ones too: what is known of their families."""


def is_minor(person: Person | None, day: date, policy: Policy) -> bool:
    """Whether a person is known to be under age on a day (R4)."""
    return person is not None and person.brdy is not None and age_on(person.brdy, day) < policy.adult_age_years


def refuse_self(payer_psn_no: str, beneficiary_psn_no: str) -> None:
    """Raises RelationshipNotAllowed when both are one person (R2)."""
    if payer_psn_no == beneficiary_psn_no:
        raise RelationshipNotAllowed(Forbids.SELF, "payer and beneficiary are the same person (R2)")


def refuse_wider_kin(relationship: Relationship, policy: Policy) -> None:
    """Raises RelationshipNotAllowed for siblings, grandparents and grandchildren where they are switched off (R2)."""
    if relationship in WIDER_KIN and not policy.wider_kin:
        raise RelationshipNotAllowed(Forbids.WIDER_KIN, "only spouse, parents and children are allowed here (R2)")


def refuse_ineligible(application: Application, circumstances: Circumstances, policy: Policy) -> None:
    """Raises the first reason why this application cannot become a relation today; returns when it can."""
    refuse_self(application.payer_psn_no, application.beneficiary_psn_no)
    refuse_wider_kin(application.relationship, policy)
    _refuse_payer(circumstances.payer, circumstances.day, policy)
    _refuse_beneficiary(circumstances.beneficiary, circumstances.day, policy)
    _refuse_minor_of_others(application, circumstances, policy)
    _refuse_in_law(application, circumstances)
    _refuse_impossible_age(application, circumstances, policy)
    _refuse_second(application, circumstances)
    _refuse_too_many(application, circumstances, policy)
    _refuse_unproven(application, policy)
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
    if payer is None or payer.brdy is None:
        raise PayerNotEligible("the payer has not registered yet (R1)", {"rule": "R1"})


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
        raise RelationshipNotAllowed(Forbids.MINOR, "for a minor, a parent applies (R4)")


def _refuse_in_law(application: Application, circumstances: Circumstances) -> None:
    """A spouse's parent is no parent, and a child's spouse no child (R2), as far as relations on record tell.

    Ended ones tell as well: what they were approved for was proven, and a former spouse's parent is no parent either.
    """
    payer, beneficiary, known = application.payer_psn_no, application.beneficiary_psn_no, circumstances.on_record
    match application.relationship:
        case Relationship.PARENT:
            in_law = any(_is_parent(beneficiary, spouse, known) for spouse in _spouses(payer, known))
        case Relationship.CHILD:
            in_law = any(_is_parent(payer, spouse, known) for spouse in _spouses(beneficiary, known))
        case _:
            in_law = False
    if in_law:
        raise RelationshipNotAllowed(Forbids.IN_LAW, "a spouse's parents are not parents here (R2)")


def _spouses(psn_no: str, known: Sequence[Relation]) -> set[str]:
    pairs = [
        {relation.payer_psn_no, relation.beneficiary_psn_no}
        for relation in known
        if relation.relationship is Relationship.SPOUSE
    ]
    return {other for pair in pairs if psn_no in pair for other in pair - {psn_no}}


def _is_parent(parent: str, child: str, known: Sequence[Relation]) -> bool:
    stated = {(relation.payer_psn_no, relation.beneficiary_psn_no, relation.relationship) for relation in known}
    return (parent, child, Relationship.CHILD) in stated or (child, parent, Relationship.PARENT) in stated


def _refuse_impossible_age(application: Application, circumstances: Circumstances, policy: Policy) -> None:
    payer, beneficiary = circumstances.payer, circumstances.beneficiary
    least_years = years_lacking(application.relationship, payer, beneficiary, policy.generation_years)
    if least_years is not None:
        raise AgeImpossible(
            f"the older of the two is not {least_years} years older; check the relationship (R2)",
            {"least_years": str(least_years), "rule": "R2"},
        )


def _refuse_second(application: Application, circumstances: Circumstances) -> None:
    if circumstances.pending_application_id not in {None, application.application_id}:
        raise RelationExists("an application of this pair is waiting for its decision")
    for relation in circumstances.relations:
        if relation.payer_psn_no == application.payer_psn_no and relation.living_on(circumstances.day):
            raise RelationExists(
                "this pair has a relation; unbind it first", {"relation_id": str(relation.relation_id)}
            )


def _refuse_too_many(application: Application, circumstances: Circumstances, policy: Policy) -> None:
    living = [relation for relation in circumstances.on_record if relation.living_on(circumstances.day)]
    paid_for = sum(relation.payer_psn_no == application.payer_psn_no for relation in living)
    payers = sum(relation.beneficiary_psn_no == application.beneficiary_psn_no for relation in living)
    if paid_for >= policy.max_relations_of_payer:
        most = str(policy.max_relations_of_payer)
        raise TooManyRelations("the payer pays for as many as may be", {"side": "PAYER", "most": most})
    if payers >= policy.max_relations_of_beneficiary:
        most = str(policy.max_relations_of_beneficiary)
        raise TooManyRelations("the beneficiary has as many payers as may be", {"side": "BENEFICIARY", "most": most})


def _refuse_unproven(application: Application, policy: Policy) -> None:
    kinds = policy.proofs_of[application.relationship]
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
