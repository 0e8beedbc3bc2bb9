"""What people chose, in one transaction."""

from collections.abc import Collection
from typing import Protocol

from notify.domain.planning import QuietHours, Recipient
from notify.domain.preferences import Preference


class PreferenceRows(Protocol):
    """Preferences and settings, with the verified contacts as far as planning needs them."""

    async def people(self, psn_nos: Collection[str]) -> dict[str, Recipient]:
        """How these persons want to be told, by psn_no, in one read; who never said anything is not in it."""
        ...

    async def save_preference(self, psn_no: str, preference: Preference) -> None:
        """Keep what a person chose for one kind and channel."""
        ...

    async def save_settings(self, psn_no: str, language: str, quiet: QuietHours | None) -> None:
        """Keep a person's language and quiet hours."""
        ...
