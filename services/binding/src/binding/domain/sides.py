"""The two sides of a relation."""

from enum import StrEnum


class Side(StrEnum):
    """A party of a relation."""

    PAYER = "PAYER"
    BENEFICIARY = "BENEFICIARY"
