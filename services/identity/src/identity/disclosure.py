"""To whom identity numbers and names are told whole; everybody else sees them masked.

One table, by principal and not by role: whoever is not in it, people at the portal included, gets `张*` and
`6527**********1234`. What was told to whom is in the access log.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from kit.auth import Principal


class Item(StrEnum):
    """What identifies a person."""

    NAME = "NAME"
    CERTIFICATE_NUMBER = "CERTIFICATE_NUMBER"


NOTHING: Final[frozenset[Item]] = frozenset()

DISCLOSED: Final[Mapping[Principal, frozenset[Item]]] = {
    # Keeps the register itself, and compares what we have with what it sent.
    Principal("service", "registry"): frozenset(Item),
}


def disclosed_to(principal: Principal) -> frozenset[Item]:
    """What this principal is told whole."""
    return DISCLOSED.get(principal, NOTHING)
