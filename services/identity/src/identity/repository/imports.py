"""Imports of the register in one transaction."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from identity.domain.certificate import Certificate
from identity.domain.enrolment import Enrolment
from identity.domain.person import Person
from identity.domain.register import RegisterRow
from identity.domain.register_import import Batch, RefusedRow
from identity.vault import SealedCertificate, SealedPerson


class StatedRow(NamedTuple):
    """A row and the index by which one finds whether the register has it so already."""

    row: RegisterRow
    stated_index: bytes


class SealedRow(NamedTuple):
    """A row of somebody who was not in the register, sealed ahead of the transaction."""

    row: RegisterRow
    person: SealedPerson
    certificate: SealedCertificate

    def seals(self, person: Person) -> bool:
        """Whether the person came about from this row alone, so that it can be kept as sealed here."""
        row = self.row
        identity = (person.name, person.certificates, person.brdy, person.tel, person.card_sn)
        return identity == (row.name, (row.certificate,), row.brdy, row.tel, row.card_sn)


class ImportRows(Protocol):
    """Imports, and what of persons only an import needs."""

    async def lock_batch(self, batch_id: str) -> Batch | None:
        """The batch, kept from changing until the transaction ends."""
        ...

    async def batch(self, batch_id: str) -> Batch | None:
        """The batch, unlocked."""
        ...

    async def batches(self, before: int | None, limit: int) -> Sequence[tuple[int, Batch]]:
        """Batches by their place, the newest first, those before a place if one is given."""
        ...

    async def save_batch(self, batch: Batch) -> None:
        """Keep the batch, which is new or locked, as it is now."""
        ...

    async def keep_chunk(
        self, batch_id: str, first_row: int, fingerprints: bytes, refused: Sequence[RefusedRow]
    ) -> None:
        """Record that rows of a kept batch, from this number on, were taken: their fingerprints, and the refused."""
        ...

    async def fingerprints(self, batch_id: str, first_row: int, count: int) -> bytes:
        """The fingerprints of rows that have been taken, one after another."""
        ...

    async def refused_rows(self, batch_id: str, first_row: int, end: int | None, limit: int) -> Sequence[RefusedRow]:
        """The first refused rows from this number on, before `end` if it is given."""
        ...

    async def existing(self, psn_nos: Sequence[str]) -> frozenset[str]:
        """Those of these that are in the register, unlocked."""
        ...

    async def on_record(self, rows: Sequence[StatedRow]) -> Mapping[int, Sequence[Enrolment]]:
        """By place in `rows`, the enrolments of those who are in the register exactly as the row says but for those.

        Nothing is locked or decrypted.
        """
        ...

    async def lock_stated_persons(self, stated: Mapping[str, StatedRow | None]) -> Mapping[str, Person]:
        """Those of these persons, by psn_no, that exist, locked.

        Of some a row is given: whoever is still on record as it says is told by it, and nothing is decrypted.
        """
        ...

    async def holders(self, indexes: Mapping[Certificate, bytes]) -> Mapping[Certificate, str]:
        """psn_no by certificate, for those on record; each is given with its number_index."""
        ...

    async def add_persons(self, persons: Sequence[Person], sealed: Mapping[str, SealedRow]) -> None:
        """Keep persons who are not in the register; of some, by psn_no, it has been sealed what is to be."""
        ...

    async def add_enrolments(self, persons: Sequence[tuple[Person, Person]]) -> None:
        """Keep what came to locked persons, each as before and as now, who differ in enrolments and version alone."""
        ...
