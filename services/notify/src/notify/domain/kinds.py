"""What a notice is about, as far as people choose what reaches them; R15 says what they are told in any case."""

from enum import Enum
from typing import Final


class Kind(Enum):
    """What a notice is about."""

    DEBIT = "DEBIT"
    """Money left the account: a settlement or a premium."""
    REFUND = "REFUND"
    """Money came back to it."""
    CREDIT = "CREDIT"
    """A contribution or interest came in."""
    ACCOUNT = "ACCOUNT"
    """The account was frozen, released, closed or paid out."""
    APPLICATION = "APPLICATION"
    """A step of an application."""
    RELATION = "RELATION"
    """A relation began, changed, was suspended, ended or will end soon."""
    LIMIT = "LIMIT"
    """A limit is nearly used."""


REQUIRED: Final = frozenset({Kind.DEBIT, Kind.REFUND, Kind.ACCOUNT, Kind.APPLICATION, Kind.RELATION})
"""What people are told in any case (R15): these cannot be switched off in the inbox."""
