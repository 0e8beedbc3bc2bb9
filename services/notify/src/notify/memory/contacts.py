"""Contacts and their codes as dictionaries."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from notify.domain.channels import Channel
from notify.domain.contacts import Contact, ContactCode, ContactState
from notify.memory.preferences import MemoryPreferences
from notify.repository.contacts import SentCodes, TakenCodes, WaitingCode
from notify.repository.opening import Unopened


class MemoryContacts(MemoryPreferences):
    """See `notify.repository.contacts`; one unit of work runs at a time anyway."""

    def __init__(self) -> None:
        super().__init__()
        self.codes: list[ContactCode] = []
        self.code_texts: dict[UUID, str] = {}
        self.addresses_of_codes: dict[UUID, str] = {}

    def code_index(self, code_id: UUID, code: str) -> bytes:
        """See the protocol."""
        return f"{code_id} {code}".encode()

    async def lock_contacts(self, psn_no: str, address: str = "") -> None:
        """See the protocol."""

    async def contacts_of(self, psn_no: str) -> list[Contact]:
        """See the protocol."""
        own = [one for one in self.contacts.values() if one.psn_no == psn_no and one.state is not ContactState.REMOVED]
        return sorted(own, key=lambda one: (one.created_at, one.contact_id))

    async def save_contacts(self, contacts: Sequence[Contact]) -> None:
        """See the protocol."""
        for one in contacts:
            self.contacts[one.contact_id] = one

    async def addresses(self, contact_ids: Collection[UUID]) -> dict[UUID, str | Unopened]:
        """See the protocol."""
        verified = {key: one for key, one in self.contacts.items() if one.state is ContactState.VERIFIED}
        return {key: verified[key].address for key in contact_ids if key in verified}

    async def add_code(self, code: ContactCode, contact: Contact, text: str) -> None:
        """See the protocol."""
        for place, one in enumerate(self.codes):
            if one.contact_id == code.contact_id:
                self.codes[place] = replace(one, is_open=False)
                self.code_texts.pop(one.code_id, None)
        self.codes.append(code)
        self.code_texts[code.code_id] = text
        self.addresses_of_codes[code.code_id] = contact.address.lower()

    async def newest_code(self, contact_id: UUID) -> ContactCode | None:
        """See the protocol."""
        return next((one for one in reversed(self.codes) if one.contact_id == contact_id), None)

    async def save_code(self, code: ContactCode) -> None:
        """See the protocol."""
        self.codes = [code if one.code_id == code.code_id else one for one in self.codes]

    async def codes_sent_to(self, psn_no: str, address: str, around: datetime, within: timedelta) -> SentCodes:
        """See the protocol."""
        near = [one for one in self.codes if abs(one.created_at - around) < within]
        return SentCodes(
            tuple(one.created_at for one in near if one.psn_no == psn_no),
            tuple(one.created_at for one in near if self.addresses_of_codes[one.code_id] == address.lower()),
        )

    async def give_back_code(self, code: WaitingCode) -> None:
        """See the protocol."""
        if any(one.code_id == code.code_id and one.is_open for one in self.codes):
            self.code_texts[code.code_id] = code.code

    async def take_codes(self, limit: int, but_not: Collection[Channel] = ()) -> TakenCodes:
        """See the protocol."""
        wanted = [one for one in self.codes if self.contacts[one.contact_id].channel not in but_not]
        waiting = [one for one in wanted if one.code_id in self.code_texts][:limit]
        texts = [self.code_texts.pop(one.code_id) for one in waiting]
        pairs = zip(waiting, texts, strict=True)
        taken = [self._waiting(code, self.contacts[code.contact_id], text) for code, text in pairs]
        return TakenCodes(tuple(one for one in taken if one.address))

    def _waiting(self, code: ContactCode, contact: Contact, text: str) -> WaitingCode:
        language = self.language_of(code.psn_no)
        return WaitingCode(code.code_id, code.psn_no, contact.channel, contact.address, text, code.expires_at, language)
