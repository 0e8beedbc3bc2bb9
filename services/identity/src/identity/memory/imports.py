"""Imports as dictionaries."""

from collections.abc import Mapping, Sequence

from identity.domain.certificate import Certificate
from identity.domain.enrolment import Enrolment
from identity.domain.person import Person, only_enrolled
from identity.domain.register_import import FINGERPRINT_BYTES, Batch, RefusedRow
from identity.memory.persons import MemoryPersons
from identity.repository.imports import SealedRow, StatedRow


class MemoryImports(MemoryPersons):
    """See `identity.repository.imports`."""

    def __init__(self) -> None:
        super().__init__()
        self.kept_batches: dict[str, Batch] = {}
        self.kept_fingerprints: dict[str, list[bytes]] = {}
        self.kept_refused: dict[str, list[RefusedRow]] = {}

    async def lock_batch(self, batch_id: str) -> Batch | None:
        """See the protocol."""
        return self.kept_batches.get(batch_id)

    async def batch(self, batch_id: str) -> Batch | None:
        """See the protocol."""
        return self.kept_batches.get(batch_id)

    async def batches(self, before: int | None, limit: int) -> Sequence[tuple[int, Batch]]:
        """See the protocol."""
        placed = list(enumerate(self.kept_batches.values(), start=1))
        return [one for one in reversed(placed) if before is None or one[0] < before][:limit]

    async def save_batch(self, batch: Batch) -> None:
        """See the protocol."""
        self.kept_batches[batch.batch_id] = batch

    async def keep_chunk(
        self, batch_id: str, first_row: int, fingerprints: bytes, refused: Sequence[RefusedRow]
    ) -> None:
        """See the protocol."""
        kept = self.kept_fingerprints.setdefault(batch_id, [])
        assert first_row == len(kept) + 1  # noqa: S101 - the real one has a primary key for it
        kept += [
            fingerprints[place : place + FINGERPRINT_BYTES] for place in range(0, len(fingerprints), FINGERPRINT_BYTES)
        ]
        self.kept_refused.setdefault(batch_id, []).extend(refused)

    async def fingerprints(self, batch_id: str, first_row: int, count: int) -> bytes:
        """See the protocol."""
        return b"".join(self.kept_fingerprints.get(batch_id, [])[first_row - 1 : first_row - 1 + count])

    async def refused_rows(self, batch_id: str, first_row: int, end: int | None, limit: int) -> Sequence[RefusedRow]:
        """See the protocol."""
        kept = sorted(self.kept_refused.get(batch_id, []), key=lambda one: one.row_number)
        return [one for one in kept if one.row_number >= first_row and (end is None or one.row_number < end)][:limit]

    async def existing(self, psn_nos: Sequence[str]) -> frozenset[str]:
        """See the protocol."""
        return frozenset(psn_nos) & frozenset(self.persons)

    async def on_record(self, rows: Sequence[StatedRow]) -> Mapping[int, Sequence[Enrolment]]:
        """See the protocol."""
        found = {}
        for place, one in enumerate(rows):
            person = self.persons.get(one.row.psn_no)
            if person is not None and person.enrolments and _says(person, one):
                found[place] = person.enrolments
        return found

    async def lock_stated_persons(self, stated: Mapping[str, StatedRow | None]) -> Mapping[str, Person]:
        """See the protocol."""
        return await self.lock_persons(list(stated))

    async def holders(self, indexes: Mapping[Certificate, bytes]) -> Mapping[Certificate, str]:
        """See the protocol."""
        return await self.owners(list(indexes))

    async def add_persons(self, persons: Sequence[Person], sealed: Mapping[str, SealedRow]) -> None:
        """See the protocol."""
        del sealed
        await self.save_persons(persons)

    async def add_enrolments(self, persons: Sequence[tuple[Person, Person]]) -> None:
        """See the protocol."""
        for before, after in persons:
            assert only_enrolled(before, after)  # noqa: S101 - the real one would keep nothing else
        await self.save_persons([after for _, after in persons])


def _says(person: Person, stated: StatedRow) -> bool:
    row = stated.row
    said = (row.name, row.brdy, row.tel, row.card_sn)
    return row.certificate in person.certificates and said == (person.name, person.brdy, person.tel, person.card_sn)
