"""Suspended institutions, by the projection of what identity's events have told; `kit.suspended` refuses them."""

from collections.abc import Collection
from typing import Final

from kit.db import Database

_SUSPENDED: Final = "SELECT fixmedins_code FROM institution_fact WHERE suspended"


class StoredSuspensions:
    """Who is suspended by the projection of identity's events."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def __call__(self) -> Collection[str]:
        """See `kit.suspended.SuspendedReader`."""
        async with self._database.transaction() as transaction:
            rows = await transaction.raw.fetch(_SUSPENDED)
        return [row["fixmedins_code"] for row in rows]
