"""Suspended institutions: refused at the door, whatever they call.

The list is in memory, since it is asked for every call. Every replica reads it again from what identity's events have
told, whichever replica took them in.
"""

import asyncio
from collections.abc import Collection
from typing import Final, Protocol

from kit.auth import Principal
from kit.errors import Refusal
from kit.observability import get_logger

EVERY_SECONDS: Final = 0.5
"""How long a replica may answer a suspended institution after the event was taken in."""

_log = get_logger()


class SuspendedReader(Protocol):
    """Reads who is suspended now."""

    async def __call__(self) -> Collection[str]:
        """Their fixmedins_codes."""
        ...


class SuspendedInstitutions:
    """A `kit.auth.Denylist`.

    Args:
        read: where the list comes from.
        every_seconds: how often it is read again.
    """

    def __init__(self, read: SuspendedReader, every_seconds: float = EVERY_SECONDS) -> None:
        self._read = read
        self._every_seconds = every_seconds
        self._codes: frozenset[str] = frozenset()

    def __call__(self, principal: Principal, serial_number: int) -> Refusal | None:
        """The refusal of a suspended institution."""
        del serial_number
        if principal.kind == "institution" and principal.name in self._codes:
            return Refusal("INSTITUTION_SUSPENDED", "this institution is suspended")
        return None

    async def refresh(self) -> None:
        """Read the list once; before it serves, a process does."""
        self._codes = frozenset(await self._read())

    async def run(self) -> None:
        """Read it again and again until cancelled. While the database is away, the last list stands."""
        while True:
            await asyncio.sleep(self._every_seconds)
            try:
                await self.refresh()
            except Exception as error:  # noqa: BLE001 - the database may be away; the next round tries again
                _log.warning("suspended institutions could not be read", error=type(error).__name__)
