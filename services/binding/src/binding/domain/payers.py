"""The order of a beneficiary's payers, which the beneficiary's side sets (R5)."""

from collections.abc import Sequence
from datetime import date

from binding.domain.errors import Refused
from binding.domain.relations import Relation, Relationship, place


class PayersDiffer(Refused):
    """An order names all living payers, each once."""

    reason = "PAYERS_DIFFER"


def speaks_for_minor(psn_no: str | None, living: Sequence[Relation]) -> bool:
    """Whether this person is a parent of the minor beneficiary and one of the payers (R4)."""
    return any(it.payer_psn_no == psn_no and it.relationship is Relationship.CHILD for it in living)


def ordered(living: Sequence[Relation], payers: Sequence[str], day: date) -> list[Relation]:
    """The relations in the order of these payers, placed from 1 on.

    Raises:
        PayersDiffer: a living payer is missing or named twice, or somebody is named who is none.
    """
    by_payer = {relation.payer_psn_no: relation for relation in living}
    if len(payers) != len(by_payer) or set(payers) != by_payer.keys():
        raise PayersDiffer(
            "the order names all living payers, each once; list them and order those", {"living": str(len(by_payer))}
        )
    return [place(by_payer[psn_no], number, day) for number, psn_no in enumerate(payers, 1)]
