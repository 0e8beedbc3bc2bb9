"""Loss of enrolment (参保关系终止或转出): when a payer or a beneficiary no longer is what a relation needs (R1, R3).

Only a statement that says so ends a relation. A suspended standing or arrears decline payments and pass (R8), and an
enrolment that merely runs out ends nothing, because renewals come late.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

from binding.domain.persons import EMPLOYEE, INSURANCE_ENDED, Enrolment, Person
from binding.domain.relations import EndCause, Relation


@dataclass(frozen=True, slots=True)
class LossRules:
    """What a region takes for a loss; defaults are the reference region's."""

    ends_relations: bool = True
    """Whether a loss ends relations at all."""
    account_region_prefix: str = "6527"
    """Where a payer's account is (R1)."""
    insured_region_prefix: str = "65"
    """Where a beneficiary is insured (R3)."""
    ended_statuses: frozenset[int] = frozenset({INSURANCE_ENDED})
    """The psn_insu_stas that end an enrolment for good."""

    def loses_payer(self, stated: Enrolment) -> bool:
        """Whether a statement says that this is no 310 member of the account region any more."""
        moved = not stated.insuplc_admdvs.startswith(self.account_region_prefix)
        return self.ends_relations and (stated.insutype != EMPLOYEE or moved or self._ended(stated))

    def loses_beneficiary(self, stated: Enrolment) -> bool:
        """Whether a statement says that this is not insured in the region any more."""
        moved = not stated.insuplc_admdvs.startswith(self.insured_region_prefix)
        return self.ends_relations and (moved or self._ended(stated))

    def loses_anybody(self, stated: Enrolment) -> bool:
        """Whether a statement may end any relation of its person."""
        return self.loses_payer(stated) or self.loses_beneficiary(stated)

    def _ended(self, stated: Enrolment) -> bool:
        return stated.psn_insu_stas in self.ended_statuses


class Loss(NamedTuple):
    """Why a relation cannot go on, and from which day."""

    cause: EndCause
    since: date


def loss_of(relation: Relation, day: date, persons: Mapping[str, Person], rules: LossRules) -> Loss | None:
    """The loss that ends a relation by a day, the payer's first; None when there is none."""
    payer = _statement(persons, relation.payer_psn_no, day)
    if payer is not None and rules.loses_payer(payer):
        return _loss(EndCause.PAYER_ENROLMENT_LOST, relation, payer)
    beneficiary = _statement(persons, relation.beneficiary_psn_no, day)
    if beneficiary is not None and rules.loses_beneficiary(beneficiary):
        return _loss(EndCause.BENEFICIARY_ENROLMENT_LOST, relation, beneficiary)
    return None


def _statement(persons: Mapping[str, Person], psn_no: str, day: date) -> Enrolment | None:
    person = persons.get(psn_no)
    return person.statement_on(day) if person else None


def _loss(cause: EndCause, relation: Relation, stated: Enrolment) -> Loss:
    # Nothing ends before it began, however far back a correction reaches.
    return Loss(cause, max(stated.valid_from, relation.valid_from))
