"""Contacts and their codes on PostgreSQL; addresses, and codes that wait, are encrypted."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from asyncpg import Record

from kit.db import Database
from notify.domain.channels import Channel
from notify.domain.contacts import Contact, ContactCode, ContactState
from notify.domain.planning import DEFAULT_LANGUAGE
from notify.postgres.rows import Rows
from notify.repository.contacts import SentCodes, TakenCodes, WaitingCode
from notify.repository.opening import Unopened

KEEP: Final = timedelta(days=2)
"""How long codes are kept, longer than they are counted; by the database's own time."""

# What is not there yet cannot be locked by its row. In one order, so that two never wait in a circle.
_LOCK: Final = "SELECT pg_advisory_xact_lock(key) FROM unnest($1::bigint[]) AS key"
_LIST: Final = """
SELECT contact_id, psn_no, channel, address_ct, state, created_at, verified_at
FROM contact_point WHERE psn_no = $1 AND state <> 'REMOVED' ORDER BY created_at, contact_id
"""
# Removed ones come first: one verified and one waiting for each person and channel is all that the indexes take.
_SAVE: Final = """
INSERT INTO contact_point (contact_id, psn_no, channel, address_ct, address_index, state, created_at, verified_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (contact_id) DO UPDATE SET
    state = excluded.state, verified_at = excluded.verified_at,
    address_ct = CASE WHEN excluded.state = 'REMOVED' THEN NULL ELSE contact_point.address_ct END,
    address_index = CASE WHEN excluded.state = 'REMOVED' THEN NULL ELSE contact_point.address_index END
"""
_ADDRESSES: Final = """
SELECT contact_id, psn_no, channel, address_ct FROM contact_point
WHERE contact_id = ANY ($1::uuid[]) AND state = 'VERIFIED'
"""
_REPLACE_CODES: Final = """
UPDATE contact_code SET is_open = false, code_ct = NULL WHERE contact_id = $1 AND is_open
"""
_ADD_CODE: Final = """
INSERT INTO contact_code
    (code_id, contact_id, psn_no, address_index, code_index, code_ct, created_at, expires_at, wrong_tries, is_open)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
"""
_NEWEST_CODE: Final = """
SELECT code_id, contact_id, psn_no, code_index, created_at, expires_at, wrong_tries, is_open
FROM contact_code WHERE contact_id = $1 ORDER BY recorded_at DESC, code_id DESC LIMIT 1 FOR UPDATE
"""
_SAVE_CODE: Final = "UPDATE contact_code SET wrong_tries = $2, is_open = $3 WHERE code_id = $1"
_SENT: Final = """
SELECT created_at, psn_no = $1 AS is_to_person, address_index = $2 AS is_to_address
FROM contact_code WHERE (psn_no = $1 OR address_index = $2) AND created_at > $3 AND created_at < $4
"""
# The code is wiped where it is taken: whoever takes it sends it, or nobody ever does.
_TAKE: Final = """
WITH taken AS (
    SELECT w.code_id, w.code_ct FROM contact_code AS w JOIN contact_point AS t USING (contact_id)
    WHERE w.code_ct IS NOT NULL AND t.channel <> ALL ($2::text[])
    ORDER BY w.recorded_at LIMIT $1 FOR UPDATE OF w SKIP LOCKED
)
UPDATE contact_code AS c SET code_ct = NULL
FROM taken, contact_point AS p
WHERE c.code_id = taken.code_id AND p.contact_id = c.contact_id
RETURNING c.code_id, c.contact_id, c.psn_no, p.channel, p.address_ct, taken.code_ct, c.expires_at, c.recorded_at,
    (SELECT s.language FROM person_setting AS s WHERE s.psn_no = c.psn_no) AS language
"""
_GIVE_BACK: Final = "UPDATE contact_code SET code_ct = $2 WHERE code_id = $1 AND is_open"
_FORGET: Final = """
DELETE FROM contact_code WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM contact_code WHERE recorded_at < clock_timestamp() - $1::interval LIMIT $2 FOR UPDATE SKIP LOCKED
))
"""


class PostgresContacts(Rows):
    """See `notify.repository.contacts`."""

    def code_index(self, code_id: UUID, code: str) -> bytes:
        """See the protocol."""
        return self._keyring.blind_index(f"{code_id} {code}", "contact code")

    async def lock_contacts(self, psn_no: str, address: str = "") -> None:
        """See the protocol."""
        indexes = [self._keyring.blind_index(psn_no, "contact person")]
        indexes += [self._address_index(address)] if address else []
        await self._raw.execute(_LOCK, sorted(int.from_bytes(index[:8], signed=True) for index in indexes))

    async def contacts_of(self, psn_no: str) -> list[Contact]:
        """See the protocol."""
        return [self._contact(row) for row in await self._raw.fetch(_LIST, psn_no)]

    async def save_contacts(self, contacts: Sequence[Contact]) -> None:
        """See the protocol."""
        removed_first = sorted(contacts, key=lambda one: one.state is not ContactState.REMOVED)
        await self._raw.executemany(_SAVE, [self._row(one) for one in removed_first])

    async def addresses(self, contact_ids: Collection[UUID]) -> dict[UUID, str | Unopened]:
        """See the protocol."""
        rows = await self._raw.fetch(_ADDRESSES, list(contact_ids))
        return {row["contact_id"]: self._opened_address(row) for row in rows}

    async def add_code(self, code: ContactCode, contact: Contact, text: str) -> None:
        """See the protocol."""
        await self._raw.execute(_REPLACE_CODES, code.contact_id)
        sealed = self._keyring.encrypt(text.encode(), code_context(code.code_id, code.psn_no))
        await self._raw.execute(
            _ADD_CODE,
            *(code.code_id, code.contact_id, code.psn_no, self._address_index(contact.address), code.code_index),
            *(sealed, code.created_at, code.expires_at, code.wrong_tries, code.is_open),
        )

    async def newest_code(self, contact_id: UUID) -> ContactCode | None:
        """See the protocol."""
        row = await self._raw.fetchrow(_NEWEST_CODE, contact_id)
        return ContactCode(**dict(row)) if row else None

    async def save_code(self, code: ContactCode) -> None:
        """See the protocol."""
        await self._raw.execute(_SAVE_CODE, code.code_id, code.wrong_tries, code.is_open)

    async def codes_sent_to(self, psn_no: str, address: str, around: datetime, within: timedelta) -> SentCodes:
        """See the protocol."""
        rows = await self._raw.fetch(_SENT, psn_no, self._address_index(address), around - within, around + within)
        return SentCodes(
            tuple(row["created_at"] for row in rows if row["is_to_person"]),
            tuple(row["created_at"] for row in rows if row["is_to_address"]),
        )

    async def give_back_code(self, code: WaitingCode) -> None:
        """See the protocol."""
        sealed = self._keyring.encrypt(code.code.encode(), code_context(code.code_id, code.psn_no))
        await self._raw.execute(_GIVE_BACK, code.code_id, sealed)

    async def take_codes(self, limit: int, but_not: Collection[Channel] = ()) -> TakenCodes:
        """See the protocol."""
        rows = await self._raw.fetch(_TAKE, limit, [channel.value for channel in but_not])
        kept = sorted((row for row in rows if row["address_ct"] is not None), key=lambda row: row["recorded_at"])
        opened = {row["code_id"]: self._waiting(row) for row in kept}
        return TakenCodes(
            tuple(one for one in opened.values() if one is not None),
            tuple(code_id for code_id, one in opened.items() if one is None),
        )

    def _address_index(self, address: str) -> bytes:
        # Mailboxes that differ in their capitals alone are one mailbox nearly everywhere.
        return self._keyring.blind_index(address.lower(), "contact address")

    def _row(self, contact: Contact) -> tuple[object, ...]:
        is_removed = contact.state is ContactState.REMOVED
        context = address_context(contact.contact_id, contact.psn_no, contact.channel)
        return (
            *(contact.contact_id, contact.psn_no, contact.channel.value),
            None if is_removed else self._keyring.encrypt(contact.address.encode(), context),
            None if is_removed else self._address_index(contact.address),
            *(contact.state.value, contact.created_at, contact.verified_at),
        )

    def _contact(self, row: Record) -> Contact:
        return Contact(
            row["contact_id"],
            row["psn_no"],
            Channel(row["channel"]),
            self._address(row),
            ContactState(row["state"]),
            row["created_at"],
            row["verified_at"],
        )

    def _address(self, row: Record) -> str:
        context = address_context(row["contact_id"], row["psn_no"], Channel(row["channel"]))
        return self._keyring.decrypt(row["address_ct"], context).decode()

    def _opened_address(self, row: Record) -> str | Unopened:
        context = address_context(row["contact_id"], row["psn_no"], Channel(row["channel"]))
        opened = self._open(row["address_ct"], context)
        return opened if isinstance(opened, Unopened) else opened.decode()

    def _waiting(self, row: Record) -> WaitingCode | None:
        code = self._open(row["code_ct"], code_context(row["code_id"], row["psn_no"]))
        address = self._opened_address(row)
        if isinstance(code, Unopened) or isinstance(address, Unopened):
            return None
        return WaitingCode(
            row["code_id"],
            row["psn_no"],
            Channel(row["channel"]),
            address,
            code.decode(),
            row["expires_at"],
            row["language"] or DEFAULT_LANGUAGE,
        )


class SentCodesKept:
    """What is kept of codes; goes when its time is over."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def forget(self, limit: int, keep: timedelta = KEEP) -> int:
        """Remove at most `limit` that were made longer ago than `keep`; how many there were."""
        async with self._database.transaction() as transaction:
            status: str = await transaction.raw.execute(_FORGET, keep, limit)
        return int(status.removeprefix("DELETE "))


def address_context(contact_id: UUID, psn_no: str, channel: Channel) -> bytes:
    """What a sealed address is bound to."""
    # An address that is copied to another row, person or channel does not open there.
    return f"contact_point.address {contact_id} {psn_no} {channel.value}".encode()


def code_context(code_id: UUID, psn_no: str) -> bytes:
    """What a sealed code is bound to."""
    return f"contact_code.code {code_id} {psn_no}".encode()
