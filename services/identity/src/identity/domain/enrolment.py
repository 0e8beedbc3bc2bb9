"""What insurance a person holds, day by day (参保), with everything that was ever recorded kept."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum


class InsuranceType(StrEnum):
    """insutype."""

    EMPLOYEE = "310"
    RESIDENT = "390"


class InsuranceStatus(StrEnum):
    """psn_insu_stas."""

    NOT_INSURED = "0"
    NORMAL = "1"
    SUSPENDED = "2"
    INVALID = "3"
    ENDED = "4"


@dataclass(frozen=True, slots=True)
class Enrolment:
    """One statement: what holds from a day on, up to and including a day if that is known."""

    insutype: InsuranceType
    insuplc_admdvs: str
    psn_insu_stas: InsuranceStatus
    arrears: bool
    valid_from: date
    valid_to: date | None = None


def in_force(recorded: Sequence[Enrolment], day: date) -> Enrolment | None:
    """The enrolment of that day, of statements in the order in which they were recorded.

    Each statement replaces whatever earlier ones said from its first day on. So a day belongs to the last recorded of
    those that had begun, and to nobody if that one had ended.
    """
    stated = _last_begun(recorded, day)
    ended = stated is not None and stated.valid_to is not None and stated.valid_to < day
    return None if ended else stated


def changes(recorded: Sequence[Enrolment], new: Enrolment) -> bool:
    """Whether recording `new` would change what is said of its first day, or of any later one."""
    from_then_on = _in_force_from(recorded, new.valid_from)
    return not from_then_on or any(not _same(stated, new) for stated in from_then_on)


def is_known(recorded: Sequence[Enrolment], row: Enrolment) -> bool:
    """Whether the row's first day already is as the row says: then a register's row brings nothing new.

    Weaker than `changes` on purpose: a file that is loaded again must not undo what was recorded for later days.
    """
    stated = _last_begun(recorded, row.valid_from)
    return stated is not None and _same(stated, row)


def _last_begun(recorded: Sequence[Enrolment], day: date) -> Enrolment | None:
    return next((one for one in reversed(recorded) if one.valid_from <= day), None)


def _in_force_from(recorded: Sequence[Enrolment], day: date) -> list[Enrolment]:
    """The statements that any day from `day` on belongs to, the latest first; none if `day` itself has none."""
    found: list[Enrolment] = []
    for one in reversed(recorded):
        if not found or one.valid_from < found[-1].valid_from:
            found.append(one)
        if one.valid_from <= day:
            return found
    return []


def _same(stated: Enrolment, new: Enrolment) -> bool:
    return replace(stated, valid_from=new.valid_from) == new
