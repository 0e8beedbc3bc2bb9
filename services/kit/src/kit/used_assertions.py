"""Assertions that were used: one is good for one writing call, whoever shows it again."""

from datetime import timedelta

from kit.auth import Assertion
from kit.db import Database
from kit.errors import Refusal

KEEP = timedelta(days=1)
"""Far longer than an assertion lives."""

SCHEMA = """
CREATE TABLE used_assertion (
    issuer  text        NOT NULL,
    jti     text        NOT NULL,
    used_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (issuer, jti)
);
CREATE INDEX used_assertion_age ON used_assertion (used_at);
"""
"""For a migration of a service; frozen. A later change is a new constant and a new migration."""

_USE = "INSERT INTO used_assertion (issuer, jti) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING true"
_FORGET = """
DELETE FROM used_assertion WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM used_assertion WHERE used_at < clock_timestamp() - $1::interval LIMIT $2 FOR UPDATE SKIP LOCKED
))
"""


class UsedAssertions:
    """The `use_once` of a server, on the service's own database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def __call__(self, method: str, assertion: Assertion) -> None:
        """Note that the assertion is used, in the transaction of the call's effect where there is one.

        So a call that was refused has not used it, and a repeat of a request is answered whichever it brings.

        Raises:
            Refusal: `UNAUTHENTICATED`, it was used before.
        """
        del method
        async with self._database.transaction() as transaction:
            first = await transaction.raw.fetchval(_USE, assertion.issuer, assertion.jti)
        if not first:
            raise Refusal("UNAUTHENTICATED", "this assertion was used for a writing call before; send a new one")

    async def forget(self, limit: int, keep: timedelta = KEEP) -> int:
        """Remove at most `limit` that were used longer ago than `keep`; how many there were."""
        async with self._database.transaction() as transaction:
            status: str = await transaction.raw.execute(_FORGET, keep, limit)
        return int(status.removeprefix("DELETE "))
