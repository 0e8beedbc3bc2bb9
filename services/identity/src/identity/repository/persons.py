"""Persons of the register in one transaction."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from identity.domain.certificate import Certificate
from identity.domain.person import Person


class PersonRows(Protocol):
    """Persons. Methods named `lock…` keep what they return from changing until the transaction ends."""

    async def lock_import(self) -> None:
        """Wait for an import under way elsewhere; persons are created only under this lock."""
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
