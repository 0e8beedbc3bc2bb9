"""Ages of a family (R2): a parent is older than the child by some years. Corrected birth dates are judged by it too."""

from binding.domain.persons import Person, age_on
from binding.domain.relations import Relationship

GENERATION_YEARS = 12
"""A parent is at least so many years older than the child, unless the region says otherwise."""
AGE_CONTRADICTS = "更正后的出生日期与亲属关系不符，待核查"
"""Why a relation is suspended whose parties cannot be what it says; families and operators read it."""
_GENERATIONS = {
    Relationship.CHILD: 1,
    Relationship.GRANDCHILD: 2,
    Relationship.PARENT: -1,
    Relationship.GRANDPARENT: -2,
}
"""How many generations younger than the payer the beneficiary is."""


def years_lacking(
    relationship: Relationship, payer: Person | None, beneficiary: Person | None, generation_years: int
) -> int | None:
    """How many years older one of the two would have to be, and is not; None where the ages fit, or are unknown.

    A child is younger than its parent by `generation_years` at least, a grandchild by twice that.
    """
    generations = _GENERATIONS.get(relationship, 0)
    if not generations or payer is None or beneficiary is None or payer.brdy is None or beneficiary.brdy is None:
        return None
    older, younger = (payer.brdy, beneficiary.brdy) if generations > 0 else (beneficiary.brdy, payer.brdy)
    least_years = abs(generations) * generation_years
    return least_years if age_on(older, younger) < least_years else None
