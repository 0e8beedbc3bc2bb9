"""Requests that are answered once: the same again gets the same answer, another body under its id is refused.

Every method whose request has the field `request_id` is served through `Once` (`kit.grpc_server`): in one transaction
the id is claimed, the servicer's method runs, and its answer is kept, sealed. So either all of it happened or nothing.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Protocol, cast
from uuid import UUID

from google.protobuf.message import Message

from kit.auth import CallContext
from kit.crypto import KeyRing
from kit.db import Database, LeavesTrace
from kit.errors import Refusal
from kit.reencrypt import SealedTable

FIELD = "request_id"
"""The request's field that the caller chooses, a UUID."""
KEEP = timedelta(days=30)
"""How long an answer is kept for repeats; a request that comes back later is a new one."""

SCHEMA = """
-- Requests that were answered, by whom they were made. body_index is a keyed hash, answer_ct a ciphertext.
CREATE TABLE request (
    caller     text        NOT NULL,
    request_id uuid        NOT NULL,
    method     text        NOT NULL,
    body_index bytea       NOT NULL,
    answer_ct  bytea,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (caller, request_id)
);
COMMENT ON COLUMN request.answer_ct IS 'null only inside of the transaction that makes the answer';
CREATE INDEX request_age ON request (created_at);
"""
"""For a migration of a service; frozen. A later change is a new constant and a new migration."""

# If another transaction has claimed the same id, this waits for its outcome.
_CLAIM = """
INSERT INTO request (caller, request_id, method, body_index) VALUES ($1, $2, $3, $4)
ON CONFLICT DO NOTHING RETURNING true
"""
_KEPT = "SELECT method, body_index, answer_ct FROM request WHERE caller = $1 AND request_id = $2"
_KEEP = "UPDATE request SET answer_ct = $3 WHERE caller = $1 AND request_id = $2"
_UNCLAIM = "DELETE FROM request WHERE caller = $1 AND request_id = $2"
_FORGET = """
DELETE FROM request WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM request WHERE created_at < clock_timestamp() - $1::interval LIMIT $2 FOR UPDATE SKIP LOCKED
))
"""

Answer = Callable[[], Awaitable[bytes]]


class Once(Protocol):
    """Answers each request once."""

    async def __call__(self, call: CallContext, request: Message, answer: Answer) -> bytes:
        """The answer that was kept, or what `answer` makes now, which is kept unless it raises.

        Raises:
            Refusal: `REQUEST_ID_REUSED`, the id was used for another method or body.
        """
        ...


@dataclass(frozen=True, slots=True)
class _Key:
    caller: str
    request_id: UUID
    method: str
    body: bytes
    """Everything but the id, in one form."""

    @property
    def context(self) -> bytes:
        """What the kept answer is bound to."""
        return _context(self.caller, self.request_id)


def _context(caller: str, request_id: UUID) -> bytes:
    return f"request.answer {caller} {request_id}".encode()


SEALED: Final = SealedTable(
    "request",
    ("caller", "request_id"),
    {"answer_ct": lambda row: _context(row["caller"], row["request_id"])},
)
"""For the command that seals anew."""


def _key_of(call: CallContext, request: Message) -> _Key:
    body = type(request)()
    body.CopyFrom(request)
    body.ClearField(cast("Any", FIELD))
    caller = f"{call.principal} {call.assertion.subject}" if call.assertion else str(call.principal)
    request_id = UUID(getattr(request, FIELD))
    return _Key(caller, request_id, call.method, body.SerializeToString(deterministic=True))


def _reused() -> Refusal:
    return Refusal("REQUEST_ID_REUSED", "this request_id was used for another request; take a new one")


class PostgresOnce:
    """`Once` on the service's own database."""

    def __init__(self, database: Database, keyring: KeyRing) -> None:
        self._database = database
        self._keyring = keyring

    async def __call__(self, call: CallContext, request: Message, answer: Answer) -> bytes:
        """See `Once`."""
        key = _key_of(call, request)
        async with self._database.shared() as transaction:
            index = self._keyring.blind_index(key.body.hex(), f"request {key.method}")
            raw = transaction.raw
            if not await raw.fetchval(_CLAIM, key.caller, key.request_id, key.method, index):
                return self._again(key, index, await raw.fetchrow(_KEPT, key.caller, key.request_id))
            try:
                made = await answer()
            except LeavesTrace:
                await raw.execute(_UNCLAIM, key.caller, key.request_id)
                raise
            await raw.execute(_KEEP, key.caller, key.request_id, self._keyring.encrypt(made, key.context))
        return made

    def _again(self, key: _Key, index: bytes, kept: Any) -> bytes:
        if kept is None:  # forgotten between the two statements
            raise Refusal("UNAVAILABLE", "the record of this request is just being removed; send the same again")
        if kept["method"] != key.method or kept["body_index"] != index:
            raise _reused()
        return self._keyring.decrypt(kept["answer_ct"], key.context)

    async def forget(self, limit: int, keep: timedelta = KEEP) -> int:
        """Remove at most `limit` records that are older than `keep`; how many there were."""
        async with self._database.transaction() as transaction:
            status: str = await transaction.raw.execute(_FORGET, keep, limit)
        return int(status.removeprefix("DELETE "))


class MemoryOnce:
    """`Once` in memory, for unit tests: the same answers; what the method writes is its own unit of work."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, UUID], tuple[str, bytes, bytes]] = {}

    async def __call__(self, call: CallContext, request: Message, answer: Answer) -> bytes:
        """See `Once`."""
        key = _key_of(call, request)
        kept = self._kept.get((key.caller, key.request_id))
        if kept is None:
            made = await answer()
            self._kept[key.caller, key.request_id] = (key.method, key.body, made)
            return made
        if kept[:2] != (key.method, key.body):
            raise _reused()
        return kept[2]
