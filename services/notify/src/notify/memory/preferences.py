"""Preferences and settings as dictionaries."""

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from notify.domain.contacts import Contact, ContactState
from notify.domain.planning import DEFAULT_LANGUAGE, QuietHours, Recipient, Verified
from notify.domain.preferences import Preference

if TYPE_CHECKING:
    from uuid import UUID

    from notify.domain.channels import Channel
    from notify.domain.kinds import Kind


class MemoryPreferences:
    """See `notify.repository.preferences`."""

    def __init__(self) -> None:
        super().__init__()
        self.contacts: dict[UUID, Contact] = {}
        self.preferences: dict[tuple[str, Kind, Channel], bool] = {}
        self.settings: dict[str, tuple[str, QuietHours | None]] = {}

    async def people(self, psn_nos: Collection[str]) -> dict[str, Recipient]:
        """See the protocol."""
        found = (self._recipient(psn_no) for psn_no in psn_nos)
        return {one.psn_no: one for one in found if one.contacts or one.unwanted or one.psn_no in self.settings}

    def _recipient(self, psn_no: str) -> Recipient:
        contacts = {
            one.channel: Verified(one.contact_id, one.verified_at)
            for one in self.contacts.values()
            if one.psn_no == psn_no and one.state is ContactState.VERIFIED and one.verified_at is not None
        }
        unwanted = {key[1:] for key, is_wanted in self.preferences.items() if key[0] == psn_no and not is_wanted}
        more: dict[str, Any] = {}
        if psn_no in self.settings:
            more["language"], more["quiet"] = self.settings[psn_no]
        return Recipient(psn_no, contacts=contacts, unwanted=frozenset(unwanted), **more)

    def language_of(self, psn_no: str) -> str:
        """The person's."""
        return self.settings[psn_no][0] if psn_no in self.settings else DEFAULT_LANGUAGE

    async def save_preference(self, psn_no: str, preference: Preference) -> None:
        """See the protocol."""
        self.preferences[psn_no, preference.kind, preference.channel] = preference.is_wanted

    async def save_settings(self, psn_no: str, language: str, quiet: QuietHours | None) -> None:
        """See the protocol."""
        self.settings[psn_no] = (language, quiet)
