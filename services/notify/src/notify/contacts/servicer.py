"""ContactService: from requests to the use cases."""

from collections.abc import Collection
from typing import Any, Final

from gongji.notify.v1 import contact_pb2, contact_pb2_grpc
from kit.auth import require_assertion
from kit.errors import Refusal
from kit.observability import get_logger
from kit.timestamps import timestamp
from notify.contacts import codec
from notify.contacts.preferences import PreferenceService
from notify.contacts.service import ContactService
from notify.domain.channels import Channel
from notify.domain.preferences import Preference, preferences_of

AUDITOR: Final = "auditor"


class ContactServicer(contact_pb2_grpc.ContactServiceServicer):
    """See the contract."""

    def __init__(self, contacts: ContactService, preferences: PreferenceService, usable: Collection[Channel]) -> None:
        self._contacts = contacts
        self._preferences = preferences
        self._usable = usable
        self._log = get_logger()

    async def AddContact(  # noqa: N802 - the contract's name
        self, request: contact_pb2.AddContactRequest, context: Any
    ) -> contact_pb2.AddContactResponse:
        """See the contract."""
        del context
        _require_own(request.psn_no)
        channel = codec.usable_channel_of(request.channel, self._usable)
        added = await self._contacts.add(request.psn_no, channel, codec.address_of(channel, request.address))
        return contact_pb2.AddContactResponse(
            contact=codec.contact_to_proto(added.contact),
            code_expires_at=timestamp(added.code_expires_at) if added.code_expires_at else None,
        )

    async def VerifyContact(  # noqa: N802 - the contract's name
        self, request: contact_pb2.VerifyContactRequest, context: Any
    ) -> contact_pb2.VerifyContactResponse:
        """See the contract."""
        del context
        _require_own(request.psn_no)
        contact_id = codec.contact_id_of(request.contact_id)
        contact = await self._contacts.verify(request.psn_no, contact_id, request.code)
        return contact_pb2.VerifyContactResponse(contact=codec.contact_to_proto(contact))

    async def ListContacts(  # noqa: N802 - the contract's name
        self, request: contact_pb2.ListContactsRequest, context: Any
    ) -> contact_pb2.ListContactsResponse:
        """See the contract."""
        del context
        self._require_reader(request.psn_no, "contacts")
        contacts = await self._contacts.listed(request.psn_no)
        return contact_pb2.ListContactsResponse(contacts=map(codec.contact_to_proto, contacts))

    async def RemoveContact(  # noqa: N802 - the contract's name
        self, request: contact_pb2.RemoveContactRequest, context: Any
    ) -> contact_pb2.RemoveContactResponse:
        """See the contract."""
        del context
        _require_own(request.psn_no)
        await self._contacts.remove(request.psn_no, codec.contact_id_of(request.contact_id))
        return contact_pb2.RemoveContactResponse()

    async def GetPreferences(  # noqa: N802 - the contract's name
        self, request: contact_pb2.GetPreferencesRequest, context: Any
    ) -> contact_pb2.GetPreferencesResponse:
        """See the contract."""
        del context
        self._require_reader(request.psn_no, "preferences")
        told = await self._preferences.read(request.psn_no)
        return contact_pb2.GetPreferencesResponse(
            preferences=map(codec.preference_to_proto, preferences_of(told)),
            settings=codec.settings_to_proto(told),
            languages=sorted(self._preferences.languages),
            channels=sorted(map(codec.channel_to_proto, self._usable)),
        )

    async def SetPreference(  # noqa: N802 - the contract's name
        self, request: contact_pb2.SetPreferenceRequest, context: Any
    ) -> contact_pb2.SetPreferenceResponse:
        """See the contract."""
        del context
        _require_own(request.psn_no)
        wanted = Preference(codec.kind_of(request.kind), codec.channel_of(request.channel), request.is_wanted)
        chosen = await self._preferences.prefer(request.psn_no, wanted)
        return contact_pb2.SetPreferenceResponse(preference=codec.preference_to_proto(chosen))

    async def SetSettings(  # noqa: N802 - the contract's name
        self, request: contact_pb2.SetSettingsRequest, context: Any
    ) -> contact_pb2.SetSettingsResponse:
        """See the contract."""
        del context
        _require_own(request.psn_no)
        change = codec.settings_change_of(request, self._preferences.languages)
        told = await self._preferences.change_settings(request.psn_no, change)
        return contact_pb2.SetSettingsResponse(settings=codec.settings_to_proto(told))

    def _require_reader(self, psn_no: str, what: str) -> None:
        reader = require_assertion()
        if reader.psn_no == psn_no:
            return
        if AUDITOR not in reader.roles:
            raise _not_yours(what)
        # Who looks into what is somebody else's leaves a trace.
        self._log.info(f"{what} read by an auditor", subject=reader.subject, psn_no=psn_no)


def _require_own(psn_no: str) -> None:
    if require_assertion().psn_no != psn_no:
        raise _not_yours("contacts and preferences")


def _not_yours(what: str) -> Refusal:
    return Refusal("FORBIDDEN", f"{what} are the person's own")
