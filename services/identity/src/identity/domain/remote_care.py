"""Care elsewhere (异地就医) and its filing (备案)."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum
from uuid import UUID

_PROVINCE_WIDE = "0000"
_PROVINCE_DIGITS = 2
_CITY_DIGITS = 4


class RemoteCareKind(StrEnum):
    """For how long care elsewhere is filed."""

    TEMPORARY = "TEMPORARY"
    LONG_TERM = "LONG_TERM"


class RemoteCareLevel(StrEnum):
    """Where care is filed for."""

    PROVINCE = "PROVINCE"
    CITY = "CITY"


@dataclass(frozen=True, slots=True)
class RemoteFiling:
    """That a person may be treated elsewhere (异地就医备案); first and last day count."""

    filing_id: UUID
    psn_no: str
    admdvs: str
    """xx0000 covers the province, xxxx00 the city."""
    valid_from: date
    valid_to: date | None = None
    """None: open-ended."""
    kind: RemoteCareKind = RemoteCareKind.LONG_TERM
    cancelled_on: date | None = None
    """The day of the cancellation, from which on it counts no more; None: not cancelled."""

    @property
    def level(self) -> RemoteCareLevel:
        """Whether it covers a province or a city."""
        return RemoteCareLevel.PROVINCE if self.admdvs.endswith(_PROVINCE_WIDE) else RemoteCareLevel.CITY

    def holds_on(self, day: date) -> bool:
        """Whether it is in force on that day."""
        begun = self.valid_from <= day
        over = self.valid_to is not None and self.valid_to < day
        cancelled = self.cancelled_on is not None and self.cancelled_on <= day
        return begun and not over and not cancelled


def kind_of(stated: RemoteCareKind | None, valid_to: date | None) -> RemoteCareKind:
    """The kind of a filing for which none was stated: a last day makes it temporary."""
    if stated is not None:
        return stated
    return RemoteCareKind.LONG_TERM if valid_to is None else RemoteCareKind.TEMPORARY


def cancel(filing: RemoteFiling, today: date) -> RemoteFiling:
    """The filing cancelled as of today; the same object if it was cancelled before."""
    return filing if filing.cancelled_on is not None else replace(filing, cancelled_on=today)


def covers(filed_admdvs: str, admdvs: str) -> bool:
    """Whether a filing for one region covers an institution in another: a province all of it, a city all of it."""
    digits = _PROVINCE_DIGITS if filed_admdvs.endswith(_PROVINCE_WIDE) else _CITY_DIGITS
    return filed_admdvs[:digits] == admdvs[:digits]


def in_force(filings: Iterable[RemoteFiling], day: date) -> tuple[RemoteFiling, ...]:
    """The filings in force on that day."""
    return tuple(filing for filing in filings if filing.holds_on(day))
