"""Contacts and the codes that verify them, in one transaction."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from notify.domain.channels import Channel
from notify.domain.contacts import Contact, ContactCode
from notify.repository.opening import Unopened


@dataclass(frozen=True, slots=True)
class WaitingCode:
    """A code that nobody has sent yet."""

    code_id: UUID
    psn_no: str
    channel: Channel
    address: str = field(repr=False)
    code: str = field(repr=False)
    expires_at: datetime
    language: str
    """The person's."""


@dataclass(frozen=True, slots=True)
class TakenCodes:
    """Codes that were taken to be sent."""

    codes: tuple[WaitingCode, ...]
    unopened: tuple[UUID, ...] = ()
    """code_id of those that could not be opened, and are gone now."""


@dataclass(frozen=True, slots=True)
class SentCodes:
    """Times of codes, in any order."""

    to_person: tuple[datetime, ...]
    to_address: tuple[datetime, ...]


class ContactRows(Protocol):
    """Contacts that are not removed, and codes."""

    def code_index(self, code_id: UUID, code: str) -> bytes:
        """The keyed hash that a code is kept as."""
        ...

    async def lock_contacts(self, psn_no: str, address: str = "") -> None:
        """Let nobody else change the person's contacts, or send codes to the address, until the transaction ends."""
        ...

    async def contacts_of(self, psn_no: str) -> list[Contact]:
        """A person's, oldest first."""
        ...

    async def save_contacts(self, contacts: Sequence[Contact]) -> None:
        """Keep new ones, and state and time of those that are there; of a removed one the address goes."""
        ...

    async def addresses(self, contact_ids: Collection[UUID]) -> dict[UUID, str | Unopened]:
        """The addresses of those of these contacts that are verified now, as far as they can be opened."""
        ...

    async def add_code(self, code: ContactCode, contact: Contact, text: str) -> None:
        """Keep a code, to be sent; the contact's earlier ones are open no longer, and are not sent any more."""
        ...

    async def newest_code(self, contact_id: UUID) -> ContactCode | None:
        """The code that was made last for a contact."""
        ...

    async def save_code(self, code: ContactCode) -> None:
        """Keep tries and use of a code."""
        ...

    async def codes_sent_to(self, psn_no: str, address: str, around: datetime, within: timedelta) -> SentCodes:
        """When codes were made for the person, and by anybody for the address, less than `within` from a moment."""
        ...

    async def give_back_code(self, code: WaitingCode) -> None:
        """Let a code that was taken and not tried wait again, unless a newer one took its place."""
        ...

    async def take_codes(self, limit: int, but_not: Collection[Channel] = ()) -> TakenCodes:
        """At most `limit` codes that wait to be sent, but none of these channels, oldest first; nobody else gets them.

        Those whose contact was removed are dropped.
        """
        ...
