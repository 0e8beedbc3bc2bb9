"""Persons of the register in one transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from identity.domain.certificate import Certificate
from identity.domain.person import Person


@dataclass(frozen=True, slots=True)
class CorrectionMade:
    """That something on record of a person was corrected: which fields, by whom and why, and never what they said."""

    psn_no: str
    corrected_at: datetime
    corrected_by: str
    fields: tuple[str, ...]
    reason: str


class PersonRows(Protocol):
    """Persons. Methods named `lock…` keep what they return from changing until the transaction ends."""

    async def lock_import(self) -> None:
        """Wait for an import under way elsewhere; persons are created and numbers given only under this lock."""
        ...

    async def lock_persons(self, psn_nos: Sequence[str]) -> Mapping[str, Person]:
        """Those of these persons that exist."""
        ...

    async def person(self, psn_no: str) -> Person | None:
        """The person, unlocked."""
        ...

    async def save_persons(self, persons: Sequence[Person]) -> None:
        """Keep these persons, which are new or locked, as they are now."""
        ...

    async def owners(self, certificates: Sequence[Certificate]) -> Mapping[Certificate, str]:
        """psn_no by certificate, for those on record."""
        ...

    async def psn_no_by_name(self, name: str, certificate: Certificate) -> str | None:
        """Whom name and certificate belong to, both together; None without saying which is wrong."""
        ...

    async def psn_no_by_card(self, number: str, card_sn: str) -> str | None:
        """Whom a certificate's number and a social security card belong to, both together."""
        ...

    async def add_correction(self, made: CorrectionMade) -> None:
        """Append to what was corrected."""
        ...
