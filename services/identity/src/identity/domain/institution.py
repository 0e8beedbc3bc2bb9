"""Designated medical institutions and retail pharmacies (定点医药机构)."""

from dataclasses import dataclass
from datetime import date
from enum import StrEnum


class InstitutionType(StrEnum):
    """fixmedins_type."""

    MEDICAL = "1"
    PHARMACY = "2"


@dataclass(frozen=True, slots=True)
class Institution:
    """An institution as it is known."""

    fixmedins_code: str
    fixmedins_name: str
    fixmedins_type: InstitutionType
    admdvs: str
    designated_from: date | None = None
    """None: not designated."""
    designated_to: date | None = None
    """The last day; None: open-ended."""
    remote_settlement: bool = False
    suspended: bool = False


@dataclass(frozen=True, slots=True)
class KnownInstitution:
    """An institution and how many events told of it."""

    institution: Institution
    version: int


def designated_on(institution: Institution, day: date) -> bool:
    """Whether it may be settled with on that day (R8): designated, first and last day included, and not suspended."""
    begun = institution.designated_from is not None and institution.designated_from <= day
    ended = institution.designated_to is not None and institution.designated_to < day
    return begun and not ended and not institution.suspended


def register(known: KnownInstitution | None, stated: Institution) -> KnownInstitution:
    """What is known afterwards; the same object if nothing changes."""
    if known is not None and known.institution == stated:
        return known
    return KnownInstitution(stated, (known.version if known else 0) + 1)
