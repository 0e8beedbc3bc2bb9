"""Messages on PostgreSQL, with title and body encrypted."""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from asyncpg import Record

from notify.domain.kinds import Kind
from notify.domain.notices import Category, Worded
from notify.postgres.rows import Rows
from notify.repository.messages import Arrival, Cursor, NewMessage, StoredMessage

# Who reads from another process is woken when this commits; it costs no statement of its own.
_ADD = """
WITH kept AS (
    INSERT INTO message (message_id, psn_no, category, title_ct, body_ct, occurred_at, event_id, kind, language)
    SELECT m.message_id, m.psn_no, m.category, m.title_ct, m.body_ct, m.occurred_at, m.event_id, m.kind, m.language
    FROM unnest((SELECT $1::kept_message[]))
         WITH ORDINALITY AS m (message_id, psn_no, category, title_ct, body_ct, occurred_at, event_id, kind, language,
                               place)
    ORDER BY m.place
    ON CONFLICT (event_id, psn_no) DO NOTHING
    RETURNING message_id
)
SELECT message_id, told.* FROM kept, (SELECT pg_notify('message', $2)) AS told
"""
_SHOWN = "message_id, position, psn_no, category, title_ct, body_ct, occurred_at, event_id, kind, language, read_at"
_LIST = f"""
SELECT {_SHOWN}
FROM message
WHERE psn_no = $1
  AND ($2::timestamptz IS NULL OR (occurred_at, position) < ($2::timestamptz, $3::bigint))
ORDER BY occurred_at DESC, position DESC
LIMIT $4
"""  # noqa: S608 - the names of columns
_READ = """
UPDATE message SET read_at = $3 WHERE psn_no = $1 AND message_id = ANY($2::uuid[]) AND read_at IS NULL
"""
# These two look at all that a person ever got, in the index alone; a table of years would be read in random places.
UNREAD = "SELECT count(*) FROM (SELECT FROM message WHERE psn_no = $1 AND read_at IS NULL LIMIT $2) AS unread"
ARRIVED = f"""
WITH late AS (SELECT psn_no, occurred_at, position FROM message WHERE psn_no = $1 AND created_at >= $2)
SELECT {_SHOWN}, created_at
FROM late JOIN message USING (psn_no, occurred_at, position)
WHERE message_id <> ALL($3::uuid[])
ORDER BY position
LIMIT $4
"""  # noqa: S608 - the names of columns
MOST_NOTIFIED_CHARACTERS = 7000
"""What PostgreSQL takes, less a margin."""


class PostgresMessages(Rows):
    """See `notify.repository.messages`."""

    async def add_messages(self, messages: Sequence[NewMessage]) -> set[UUID]:
        """See the protocol."""
        if not messages:
            return set()
        sealed = self._keyring.encrypt_records([_texts(message) for message in messages])
        added = [_row(message, *texts) for message, texts in zip(messages, sealed, strict=True)]
        rows = await self._raw.fetch(_ADD, added, _notified(messages))
        return {row["message_id"] for row in rows}

    async def newest_messages(self, psn_no: str, limit: int, before: Cursor | None = None) -> list[StoredMessage]:
        """See the protocol."""
        occurred_at, position = (before.occurred_at, before.position) if before else (None, None)
        rows = await self._raw.fetch(_LIST, psn_no, occurred_at, position, limit)
        return [self._stored(row) for row in rows]

    async def mark_read(self, psn_no: str, message_ids: Collection[UUID], now: datetime) -> None:
        """See the protocol."""
        await self._raw.execute(_READ, psn_no, list(message_ids), now)

    async def count_unread(self, psn_no: str, most: int) -> int:
        """See the protocol."""
        return int(await self._raw.fetchval(UNREAD, psn_no, most))

    async def arrived(self, psn_no: str, since: datetime, but_not: Collection[UUID], limit: int) -> list[Arrival]:
        """See the protocol."""
        rows = await self._raw.fetch(ARRIVED, psn_no, since, list(but_not), limit)
        return [Arrival(self._stored(row), row["created_at"]) for row in rows]

    async def database_time(self) -> datetime:
        """See the protocol."""
        now: datetime = await self._raw.fetchval("SELECT clock_timestamp()")
        return now

    def _opened(self, column: str, row: Record) -> str:
        context = text_context(column, row["message_id"], row["psn_no"])
        return self._keyring.decrypt(row[f"{column}_ct"], context).decode()

    def _stored(self, row: Record) -> StoredMessage:
        notice = Worded(row["psn_no"], Category(row["category"]), self._opened("title", row), self._opened("body", row))
        kind = Kind(row["kind"]) if row["kind"] else None
        message = NewMessage(
            row["message_id"], row["event_id"], row["occurred_at"], notice, kind, language=row["language"]
        )
        return StoredMessage(message, row["position"], row["read_at"])


def _row(message: NewMessage, title: bytes, body: bytes) -> tuple[object, ...]:
    """As the database's type kept_message has it."""
    notice = message.notice
    return (
        *(message.message_id, notice.addressee, notice.category.value),
        *(title, body, message.occurred_at, message.event_id),
        *(message.kind.value if message.kind else None, message.language),
    )


def _notified(messages: Sequence[NewMessage]) -> str:
    """Who has got a message; empty where there is no room for all of them, which means anybody may have."""
    told = " ".join({message.notice.addressee for message in messages})
    return told if len(told) <= MOST_NOTIFIED_CHARACTERS else ""


def _texts(message: NewMessage) -> list[tuple[bytes, bytes]]:
    return [
        (text.encode(), text_context(column, message.message_id, message.notice.addressee))
        for column, text in (("title", message.notice.title), ("body", message.notice.body))
    ]


def text_context(column: str, message_id: UUID, psn_no: str) -> bytes:
    """What a sealed title or body is bound to."""
    # A ciphertext that is copied to another row, column or person does not open there.
    return f"message.{column} {message_id} {psn_no}".encode()
