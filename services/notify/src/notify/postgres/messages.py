"""Messages on PostgreSQL, with title and body encrypted."""

from collections.abc import Sequence
from uuid import UUID

from asyncpg import Record

from notify.domain.notices import Category, Worded
from notify.postgres.rows import Rows
from notify.repository.messages import Cursor, NewMessage, StoredMessage

_ADD = """
INSERT INTO message (message_id, psn_no, category, title_ct, body_ct, occurred_at, event_id)
SELECT m.message_id, m.psn_no, m.category, m.title_ct, m.body_ct, m.occurred_at, m.event_id
FROM unnest((SELECT $1::new_message[]))
     WITH ORDINALITY AS m (message_id, psn_no, category, title_ct, body_ct, occurred_at, event_id, place)
ORDER BY m.place
ON CONFLICT (event_id, psn_no) DO NOTHING
RETURNING message_id
"""
_LIST = """
SELECT message_id, position, psn_no, category, title_ct, body_ct, occurred_at, event_id
FROM message
WHERE psn_no = $1
  AND ($2::timestamptz IS NULL OR (occurred_at, position) < ($2::timestamptz, $3::bigint))
ORDER BY occurred_at DESC, position DESC
LIMIT $4
"""


class PostgresMessages(Rows):
    """See `notify.repository.messages`."""

    async def add_messages(self, messages: Sequence[NewMessage]) -> set[UUID]:
        """See the protocol."""
        if not messages:
            return set()
        sealed = self._keyring.encrypt_records([_texts(message) for message in messages])
        added = [_row(message, *texts) for message, texts in zip(messages, sealed, strict=True)]
        rows = await self._raw.fetch(_ADD, added)
        return {row["message_id"] for row in rows}

    async def newest_messages(self, psn_no: str, limit: int, before: Cursor | None = None) -> list[StoredMessage]:
        """See the protocol."""
        occurred_at, position = (before.occurred_at, before.position) if before else (None, None)
        rows = await self._raw.fetch(_LIST, psn_no, occurred_at, position, limit)
        return [self._stored(row) for row in rows]

    def _opened(self, column: str, row: Record) -> str:
        context = _context(column, row["message_id"], row["psn_no"])
        return self._keyring.decrypt(row[f"{column}_ct"], context).decode()

    def _stored(self, row: Record) -> StoredMessage:
        notice = Worded(row["psn_no"], Category(row["category"]), self._opened("title", row), self._opened("body", row))
        message = NewMessage(row["message_id"], row["event_id"], row["occurred_at"], notice)
        return StoredMessage(message, row["position"])


def _row(message: NewMessage, title: bytes, body: bytes) -> tuple[object, ...]:
    """As the database's type new_message has it."""
    notice = message.notice
    return (
        *(message.message_id, notice.addressee, notice.category.value),
        *(title, body, message.occurred_at, message.event_id),
    )


def _texts(message: NewMessage) -> list[tuple[bytes, bytes]]:
    return [
        (text.encode(), _context(column, message.message_id, message.notice.addressee))
        for column, text in (("title", message.notice.title), ("body", message.notice.body))
    ]


def _context(column: str, message_id: UUID, psn_no: str) -> bytes:
    # A ciphertext that is copied to another row, column or person does not open there.
    return f"message.{column} {message_id} {psn_no}".encode()
