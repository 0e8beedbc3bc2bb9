"""Imports on PostgreSQL: a whole chunk in few statements, new persons by COPY."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

from identity.domain.certificate import Certificate
from identity.domain.enrolment import Enrolment
from identity.domain.person import Person
from identity.domain.register_import import FINGERPRINT_BYTES, Batch, RefusedRow
from identity.postgres.enrolments import enrolment_of
from identity.postgres.persons import PostgresPersons, insured_row, statements
from identity.postgres.rows import columns
from identity.repository.imports import SealedRow, StatedRow
from identity.vault import SealedCertificate, SealedPerson

_BATCH: Final = """
SELECT batch_id, started_by, started_at, updated_at, content_sha256, next_row, changed_count, unchanged_count,
       refused_count, complete
FROM insured_import WHERE batch_id = $1
"""
_BATCHES: Final = """
SELECT id, batch_id, started_by, started_at, updated_at, content_sha256, next_row, changed_count, unchanged_count,
       refused_count, complete
FROM insured_import WHERE $1::bigint IS NULL OR id < $1 ORDER BY id DESC LIMIT $2
"""
_SAVE_BATCH: Final = """
INSERT INTO insured_import (batch_id, started_by, started_at, updated_at, content_sha256, next_row, changed_count,
                            unchanged_count, refused_count, complete)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT (batch_id) DO UPDATE SET updated_at = excluded.updated_at, content_sha256 = excluded.content_sha256,
    next_row = excluded.next_row, changed_count = excluded.changed_count, unchanged_count = excluded.unchanged_count,
    refused_count = excluded.refused_count, complete = excluded.complete
"""
_KEEP_CHUNK: Final = """
INSERT INTO insured_import_chunk (batch_id, first_row, row_count, fingerprints) VALUES ($1, $2, $3, $4)
"""
_KEEP_REFUSED: Final = """
INSERT INTO insured_import_refused (batch_id, row_number, description)
SELECT $1, refused.* FROM unnest($2::bigint[], $3::text[]) AS refused
"""
_CHUNKS: Final = """
SELECT first_row, fingerprints FROM insured_import_chunk
WHERE batch_id = $1 AND first_row < $3 AND first_row + row_count > $2 ORDER BY first_row
"""
_REFUSED: Final = """
SELECT row_number, description FROM insured_import_refused
WHERE batch_id = $1 AND row_number >= $2 AND ($3::bigint IS NULL OR row_number < $3) ORDER BY row_number LIMIT $4
"""
_EXISTING: Final = "SELECT psn_no FROM insured WHERE psn_no = ANY($1::text[])"
_HOLDERS: Final = "SELECT number_index, psn_no FROM insured_certificate WHERE number_index = ANY($1::bytea[])"
# Only those come back whose row is on record as it is: the others are looked at one by one, under their locks.
_ON_RECORD: Final = """
SELECT r.place, e.insutype, e.insuplc_admdvs, e.psn_insu_stas, e.arrears, e.valid_from, e.valid_to
FROM unnest($1::text[], $2::text[], $3::bytea[]) WITH ORDINALITY AS r (psn_no, psn_cert_type, stated_index, place)
JOIN insured_certificate AS c
  ON c.psn_no = r.psn_no AND c.psn_cert_type = r.psn_cert_type AND c.stated_index = r.stated_index
JOIN enrolment AS e ON e.psn_no = r.psn_no
ORDER BY r.place, e.position
"""
_SAVE_VERSIONS: Final = """
UPDATE insured SET version = now.version FROM unnest($1::text[], $2::bigint[]) AS now (psn_no, version)
WHERE insured.psn_no = now.psn_no
"""
_INSURED: Final = ("psn_no", "name_ct", "brdy", "tel_ct", "card_sn_ct", "died_on", "version")
_CERTIFICATE: Final = (
    *("psn_no", "psn_cert_type", "number_ct", "number_index", "real_name_index", "card_index"),
    "stated_index",
)
_ENROLMENT: Final = (
    *("psn_no", "position", "insutype", "insuplc_admdvs", "psn_insu_stas", "arrears"),
    *("valid_from", "valid_to"),
)


class PostgresImports(PostgresPersons):
    """See `identity.repository.imports`."""

    async def lock_batch(self, batch_id: str) -> Batch | None:
        """See the protocol."""
        row = await self._raw.fetchrow(f"{_BATCH} FOR UPDATE", batch_id)
        return Batch(**dict(row)) if row else None

    async def batch(self, batch_id: str) -> Batch | None:
        """See the protocol."""
        row = await self._raw.fetchrow(_BATCH, batch_id)
        return Batch(**dict(row)) if row else None

    async def batches(self, before: int | None, limit: int) -> Sequence[tuple[int, Batch]]:
        """See the protocol."""
        rows = [dict(row) for row in await self._raw.fetch(_BATCHES, before, limit)]
        return [(row.pop("id"), Batch(**row)) for row in rows]

    async def save_batch(self, batch: Batch) -> None:
        """See the protocol."""
        await self._raw.execute(
            _SAVE_BATCH,
            batch.batch_id,
            batch.started_by,
            batch.started_at,
            batch.updated_at,
            batch.content_sha256,
            batch.next_row,
            batch.changed_count,
            batch.unchanged_count,
            batch.refused_count,
            batch.complete,
        )

    async def keep_chunk(
        self, batch_id: str, first_row: int, fingerprints: bytes, refused: Sequence[RefusedRow]
    ) -> None:
        """See the protocol."""
        row_count = len(fingerprints) // FINGERPRINT_BYTES
        await self._raw.execute(_KEEP_CHUNK, batch_id, first_row, row_count, fingerprints)
        if refused:
            numbers = [one.row_number for one in refused]
            await self._raw.execute(_KEEP_REFUSED, batch_id, numbers, [one.description for one in refused])

    async def fingerprints(self, batch_id: str, first_row: int, count: int) -> bytes:
        """See the protocol."""
        chunks = await self._raw.fetch(_CHUNKS, batch_id, first_row, first_row + count)
        if not chunks:
            return b""
        skipped = (first_row - chunks[0]["first_row"]) * FINGERPRINT_BYTES
        joined = b"".join(chunk["fingerprints"] for chunk in chunks)
        return joined[skipped : skipped + count * FINGERPRINT_BYTES]

    async def refused_rows(self, batch_id: str, first_row: int, end: int | None, limit: int) -> Sequence[RefusedRow]:
        """See the protocol."""
        rows = await self._raw.fetch(_REFUSED, batch_id, first_row, end, limit)
        return [RefusedRow(row["row_number"], row["description"]) for row in rows]

    async def existing(self, psn_nos: Sequence[str]) -> frozenset[str]:
        """See the protocol."""
        return frozenset(row["psn_no"] for row in await self._raw.fetch(_EXISTING, list(psn_nos)))

    async def on_record(self, rows: Sequence[StatedRow]) -> Mapping[int, Sequence[Enrolment]]:
        """See the protocol."""
        found: defaultdict[int, list[Enrolment]] = defaultdict(list)
        records = await self._raw.fetch(
            _ON_RECORD,
            [one.row.psn_no for one in rows],
            [one.row.certificate.type for one in rows],
            [one.stated_index for one in rows],
        )
        for record in records:
            found[record["place"] - 1].append(enrolment_of(record))
        return found

    async def holders(self, indexes: Mapping[Certificate, bytes]) -> Mapping[Certificate, str]:
        """See the protocol."""
        rows = await self._raw.fetch(_HOLDERS, list(indexes.values()))
        found = {row["number_index"]: row["psn_no"] for row in rows}
        return {certificate: found[index] for certificate, index in indexes.items() if index in found} if found else {}

    async def add_persons(self, persons: Sequence[Person], sealed: Mapping[str, SealedRow]) -> None:
        """See the protocol. Nobody else creates persons meanwhile: the import's lock is held."""
        insured: list[tuple[object, ...]] = []
        certificates: list[SealedCertificate] = []
        for person in persons:
            encrypted, rows = self._columns_of(person, sealed.get(person.psn_no))
            insured.append(insured_row(person, encrypted))
            certificates += rows
        enrolments = [row for person in persons for row in statements(person)]
        await self._raw.copy_records_to_table("insured", columns=_INSURED, records=insured)
        await self._raw.copy_records_to_table("insured_certificate", columns=_CERTIFICATE, records=certificates)
        await self._raw.copy_records_to_table("enrolment", columns=_ENROLMENT, records=enrolments)

    async def lock_stated_persons(self, stated: Mapping[str, StatedRow | None]) -> Mapping[str, Person]:
        """See the protocol."""
        return await self._locked(list(stated), {psn_no: one for psn_no, one in stated.items() if one is not None})

    async def add_enrolments(self, persons: Sequence[tuple[Person, Person]]) -> None:
        """See the protocol."""
        versions = [(after.psn_no, after.version) for _, after in persons]
        await self._raw.execute(_SAVE_VERSIONS, *columns(versions, 2))
        added = [row for before, after in persons for row in statements(after, len(before.enrolments))]
        await self._raw.copy_records_to_table("enrolment", columns=_ENROLMENT, records=added)

    def _columns_of(self, person: Person, ahead: SealedRow | None) -> tuple[SealedPerson, Sequence[SealedCertificate]]:
        if ahead is not None and ahead.seals(person):
            return ahead.person, [ahead.certificate]
        return self._vault.seal(person)
