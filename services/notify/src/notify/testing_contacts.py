"""A desk for tests of contacts and choices: the servicer with a postbox, a clock and a repository in memory."""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime

from gongji.notify.v1 import contact_pb2 as pb
from gongji.notify.v1 import notice_pb2
from kit.auth import Assertion, CallContext, Deadline, Principal, enter
from kit.clock import FixedClock
from kit.testing import MemoryWork
from notify.contacts.codec import channel_to_proto, kind_to_proto
from notify.contacts.codes import ContactCodes
from notify.contacts.preferences import PreferenceService
from notify.contacts.service import ContactService
from notify.contacts.servicer import ContactServicer
from notify.domain.channels import OUTSIDE, Channel
from notify.domain.contacts import (
    CodeBounds,
)
from notify.domain.kinds import Kind
from notify.memory import MemoryRepository
from notify.testing import AT, TEXTS, Postbox

LATER = datetime(2100, 1, 1, tzinfo=UTC)
PHONE, OTHER_PHONE = "13800000001", "13800000002"
SMS, EMAIL = notice_pb2.CHANNEL_SMS, notice_pb2.CHANNEL_EMAIL


def called_by(subject: str = "psn:1001", role: str = "citizen") -> None:
    """Let the running task serve a call made for this person or clerk, through the portal."""
    psn_no = subject.removeprefix("psn:") if subject.startswith("psn:") else None
    assertion = Assertion(subject, frozenset({role}), psn_no, "issuer", "jti", LATER)
    enter(CallContext("/method", Principal("service", "portal"), assertion, "request", Deadline(5)))


@dataclass
class Desk:
    """The service with a postbox and a clock that a test moves."""

    repository: MemoryRepository = field(default_factory=MemoryRepository)
    postbox: Postbox = field(default_factory=Postbox)
    clock: FixedClock = field(default_factory=lambda: FixedClock(AT))
    bounds: CodeBounds = field(default_factory=CodeBounds)
    usable: frozenset[Channel] = OUTSIDE

    def __post_init__(self) -> None:
        work = MemoryWork(self.repository)
        self.codes = ContactCodes(work, self.postbox, TEXTS, self.clock)
        preferences = PreferenceService(work, ("zh-CN", "en"))
        self.servicer = ContactServicer(ContactService(work, self.clock, self.bounds), preferences, self.usable)

    async def add(self, address: str = PHONE, channel: int = SMS, psn_no: str = "1001") -> pb.AddContactResponse:
        """A code to an address, asked for by the person."""
        called_by(f"psn:{psn_no}")
        request = pb.AddContactRequest(psn_no=psn_no, channel=channel, address=address)  # type: ignore[arg-type]
        return await self.servicer.AddContact(request, None)

    async def sent_code(self) -> str:
        """The code that went out last."""
        await self.codes.send_waiting()
        (code,) = re.findall(r"(?<!\d)\d{6}(?!\d)", self.postbox.sent[-1].body)
        return str(code)

    async def verify(self, contact_id: str, code: str, psn_no: str = "1001") -> pb.Contact:
        """The contact, by the code that the person shows."""
        called_by(f"psn:{psn_no}")
        request = pb.VerifyContactRequest(psn_no=psn_no, contact_id=contact_id, code=code)
        return (await self.servicer.VerifyContact(request, None)).contact

    async def verified(self, address: str = PHONE, channel: int = SMS, psn_no: str = "1001") -> pb.Contact:
        """A contact of the person's, verified by the code that went there."""
        added = await self.add(address, channel, psn_no)
        return await self.verify(added.contact.contact_id, await self.sent_code(), psn_no)

    async def remove(self, contact_id: str, psn_no: str = "1001") -> None:
        """Remove a contact for the person."""
        called_by(f"psn:{psn_no}")
        await self.servicer.RemoveContact(pb.RemoveContactRequest(psn_no=psn_no, contact_id=contact_id), None)

    async def listed(self, psn_no: str = "1001") -> list[pb.Contact]:
        """The person's contacts, as they see them."""
        called_by(f"psn:{psn_no}")
        return list((await self.servicer.ListContacts(pb.ListContactsRequest(psn_no=psn_no), None)).contacts)

    async def preferences(self) -> pb.GetPreferencesResponse:
        """What person 1001 chose."""
        called_by()
        return await self.servicer.GetPreferences(pb.GetPreferencesRequest(psn_no="1001"), None)

    async def prefer(self, kind: Kind, channel: Channel, *, is_wanted: bool) -> pb.Preference:
        """What person 1001 chooses for one kind and channel."""
        called_by()
        request = pb.SetPreferenceRequest(
            psn_no="1001", kind=kind_to_proto(kind), channel=channel_to_proto(channel), is_wanted=is_wanted
        )
        return (await self.servicer.SetPreference(request, None)).preference

    async def settle(self, **change: object) -> pb.PersonSettings:
        """The settings of person 1001 after this change."""
        called_by()
        request = pb.SetSettingsRequest(psn_no="1001", **change)  # type: ignore[arg-type]
        return (await self.servicer.SetSettings(request, None)).settings
