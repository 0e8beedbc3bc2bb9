"""Adding, verifying and removing contacts; one transaction each."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from kit.clock import Clock
from kit.db import LeavesTrace, Work
from kit.ids import uuid7
from notify.domain import contacts
from notify.domain.channels import Channel
from notify.domain.contacts import (
    CODE_LIFETIME,
    COUNTED_WITHIN,
    CodeBounds,
    CodeWrong,
    Contact,
    ContactCode,
    ContactState,
    new_code,
    require_bound,
)
from notify.repository import Repository


class CountedCodeWrong(CodeWrong, LeavesTrace):
    """Refused, and counted."""


@dataclass(frozen=True, slots=True)
class Added:
    """A contact, and the code that is on its way to it."""

    contact: Contact
    code_expires_at: datetime | None
    """None for a contact that is verified already: no code is sent."""


class ContactService:
    """What people do with their contacts."""

    def __init__(self, work: Work[Repository], clock: Clock, bounds: CodeBounds) -> None:
        self._work = work
        self._clock = clock
        self._bounds = bounds

    async def add(self, psn_no: str, channel: Channel, address: str) -> Added:
        """Have a code sent to an address, given in its one form.

        Raises:
            TooManyCodes: as many as allowed went to the person, or to the address.
        """
        now = self._clock.now()
        wanted = Contact(uuid7(), psn_no, channel, address, ContactState.UNVERIFIED, now)
        async with self._work() as repository:
            await repository.lock_contacts(psn_no, address)
            change = contacts.add(await repository.contacts_of(psn_no), wanted)
            if change.contact.state is ContactState.VERIFIED:
                return Added(change.contact, None)
            await self._require_bounds(repository, change.contact, now)
            await repository.save_contacts([*change.removed, change.contact])
            return Added(change.contact, await _make_code(repository, change.contact, now))

    async def _require_bounds(self, repository: Repository, contact: Contact, now: datetime) -> None:
        sent = await repository.codes_sent_to(contact.psn_no, contact.address, now, COUNTED_WITHIN)
        require_bound(sent.to_person, self._bounds.to_person, now)
        require_bound(sent.to_address, self._bounds.to_address, now)

    async def verify(self, psn_no: str, contact_id: UUID, shown: str) -> Contact:
        """The contact, from now on used; the one of its channel before is removed.

        Raises:
            ContactNotFound: the person has none such.
            CodeInvalid: no code can be shown for it.
            CountedCodeWrong: it is another code.
        """
        now = self._clock.now()
        async with self._work() as repository:
            await repository.lock_contacts(psn_no)
            change = contacts.verify(await repository.contacts_of(psn_no), contact_id, now)
            await _use_code(repository, contact_id, shown, now)
            await repository.save_contacts([*change.removed, change.contact])
            return change.contact

    async def remove(self, psn_no: str, contact_id: UUID) -> None:
        """Remove a contact; what was to go there does not.

        Raises:
            ContactNotFound: the person has none such, or no longer.
        """
        async with self._work() as repository:
            await repository.lock_contacts(psn_no)
            contact = contacts.find(await repository.contacts_of(psn_no), contact_id)
            await repository.save_contacts([contact.removed()])

    async def listed(self, psn_no: str) -> Sequence[Contact]:
        """A person's contacts, oldest first, without those that were removed."""
        async with self._work() as repository:
            return await repository.contacts_of(psn_no)


async def _make_code(repository: Repository, contact: Contact, now: datetime) -> datetime:
    code_id, text = uuid7(), new_code()
    # Whole seconds, as the answer and the message state them.
    expires_at = now.replace(microsecond=0) + CODE_LIFETIME
    index = repository.code_index(code_id, text)
    code = ContactCode(code_id, contact.contact_id, contact.psn_no, index, now, expires_at)
    await repository.add_code(code, contact, text)
    return expires_at


async def _use_code(repository: Repository, contact_id: UUID, shown: str, now: datetime) -> None:
    code = await repository.newest_code(contact_id)
    index = repository.code_index(code.code_id, shown) if code else b""
    try:
        await repository.save_code(contacts.use(code, index, now))
    except CodeWrong as wrong:
        await repository.save_code(wrong.after)
        raise CountedCodeWrong(wrong.after) from None
