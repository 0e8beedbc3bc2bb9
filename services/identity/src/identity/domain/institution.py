"""Designated medical institutions and retail pharmacies (定点医药机构)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum
from itertools import pairwise


class InstitutionType(StrEnum):
    """fixmedins_type."""

    MEDICAL = "1"
    PHARMACY = "2"


@dataclass(frozen=True, slots=True)
class Designation:
    """A period of designation (定点); first and last day count."""

    valid_from: date
    valid_to: date | None = None
    """None: open-ended."""

    def holds_on(self, day: date) -> bool:
        """Whether that day is in it."""
        return self.valid_from <= day and (self.valid_to is None or day <= self.valid_to)


@dataclass(frozen=True, slots=True)
class Institution:
    """An institution as it is known."""

    fixmedins_code: str
    fixmedins_name: str
    fixmedins_type: InstitutionType
    admdvs: str
    designations: tuple[Designation, ...] = ()
    """In order, without overlap; past ones stay, as history. Empty: never designated."""
    remote_settlement: bool = False
    suspended: bool = False


@dataclass(frozen=True, slots=True)
class KnownInstitution:
    """An institution and how many events told of it."""

    institution: Institution
    version: int
    suspended_by_operators: bool = False
    """Whether two operators suspended it, and not the machine feed."""


def first_disorder(designations: Sequence[Designation]) -> int | None:
    """The position of the first period that begins before the one ahead of it is over; None if there is none."""
    for position, (earlier, later) in enumerate(pairwise(designations), start=1):
        if earlier.valid_to is None or later.valid_from <= earlier.valid_to:
            return position
    return None


def designated_on(institution: Institution, day: date) -> bool:
    """Whether it may be settled with on that day (R8): designated, first and last day included, and not suspended."""
    return not institution.suspended and any(period.holds_on(day) for period in institution.designations)


def register(known: KnownInstitution | None, stated: Institution) -> KnownInstitution:
    """What is known once the machine feed has stated it; the same object if nothing changes.

    The feed states whole institutions, again and again: what two operators suspended it does not lift by the way.
    """
    held = known is not None and known.suspended_by_operators
    after = replace(stated, suspended=stated.suspended or held)
    if known is not None and known.institution == after:
        return known
    return KnownInstitution(after, version_of(known) + 1, held)


def change(known: KnownInstitution | None, proposed: Institution) -> KnownInstitution:
    """What is known once two operators have changed it: whom they suspend, only two let settle again."""
    by_the_feed = known is not None and known.institution.suspended and not known.suspended_by_operators
    return KnownInstitution(proposed, version_of(known) + 1, proposed.suspended and not by_the_feed)


def version_of(known: KnownInstitution | None) -> int:
    """How many events told of it; 0 for one that is not known."""
    return known.version if known else 0
