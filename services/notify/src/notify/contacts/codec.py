"""ContactService's messages ⇄ domain."""

from collections.abc import Collection
from datetime import time
from typing import Final
from uuid import UUID

from gongji.notify.v1 import contact_pb2, notice_pb2
from kit.errors import FieldViolation, InvalidFields
from kit.timestamps import timestamp
from notify.contacts.preferences import KEPT, SettingsChange
from notify.domain.addresses import masked, normalised
from notify.domain.channels import Channel
from notify.domain.contacts import Contact, ContactState
from notify.domain.kinds import Kind
from notify.domain.planning import QuietHours, Recipient
from notify.domain.preferences import Preference

_HOUR_MINUTES: Final = 60
_STATES: Final = {
    ContactState.UNVERIFIED: contact_pb2.CONTACT_STATE_UNVERIFIED,
    ContactState.VERIFIED: contact_pb2.CONTACT_STATE_VERIFIED,
}
_WANTED: Final = {
    Channel.SMS: "must be a mobile number of the mainland, such as 13800000000",
    Channel.EMAIL: "must be a mailbox, such as name@example.com",
    Channel.PUSH: "must be a device's token, 16 to 512 letters, digits and . _ : / + = ~ -",
    Channel.WECOM: "must be a robot's TOKEN or TOKEN:SECRET",
    Channel.DINGTALK: "must be a robot's TOKEN or TOKEN:SECRET",
    Channel.FEISHU: "must be a robot's TOKEN or TOKEN:SECRET",
}


def channel_of(number: notice_pb2.Channel.ValueType) -> Channel:
    """The channel that the contract refused no number of."""
    return Channel[notice_pb2.Channel.Name(number).removeprefix("CHANNEL_")]


def usable_channel_of(number: notice_pb2.Channel.ValueType, usable: Collection[Channel]) -> Channel:
    """The channel that a contact is wanted of.

    Raises:
        InvalidFields: nobody is reached by it here.
    """
    channel = channel_of(number)
    if channel not in usable:
        raise InvalidFields([FieldViolation("channel", "is not used here; GetPreferences tells which channels are")])
    return channel


def kind_of(number: notice_pb2.NoticeKind.ValueType) -> Kind:
    """The kind that the contract refused no number of."""
    return Kind[notice_pb2.NoticeKind.Name(number).removeprefix("NOTICE_KIND_")]


def channel_to_proto(channel: Channel) -> notice_pb2.Channel.ValueType:
    """The channel's number."""
    return notice_pb2.Channel.Value(f"CHANNEL_{channel.value}")


def kind_to_proto(kind: Kind) -> notice_pb2.NoticeKind.ValueType:
    """The kind's number."""
    return notice_pb2.NoticeKind.Value(f"NOTICE_KIND_{kind.value}")


def address_of(channel: Channel, text: str) -> str:
    """The one form of an address.

    Raises:
        InvalidFields: it is none of this channel.
    """
    address = normalised(channel, text)
    if address is None:
        raise InvalidFields([FieldViolation("address", _WANTED[channel])])
    return address


def contact_to_proto(contact: Contact) -> contact_pb2.Contact:
    """A contact, its address masked."""
    return contact_pb2.Contact(
        contact_id=str(contact.contact_id),
        channel=channel_to_proto(contact.channel),
        masked_address=masked(contact.channel, contact.address),
        state=_STATES[contact.state],
        created_at=timestamp(contact.created_at),
        verified_at=timestamp(contact.verified_at) if contact.verified_at else None,
    )


def contact_id_of(text: str) -> UUID:
    """The id of a contact, which the contract holds to be a UUID."""
    return UUID(text)


def preference_to_proto(preference: Preference) -> contact_pb2.Preference:
    """A choice."""
    return contact_pb2.Preference(
        kind=kind_to_proto(preference.kind),
        channel=channel_to_proto(preference.channel),
        is_wanted=preference.is_wanted,
        is_fixed=preference.is_fixed,
    )


def settings_to_proto(told: Recipient) -> contact_pb2.PersonSettings:
    """A person's settings."""
    return contact_pb2.PersonSettings(language=told.language, quiet_hours=_quiet_to_proto(told.quiet))


def settings_change_of(request: contact_pb2.SetSettingsRequest, languages: Collection[str]) -> SettingsChange:
    """What becomes another.

    Raises:
        InvalidFields: there are no texts in the language.
    """
    if request.language and request.language not in languages:
        known = ", ".join(sorted(languages))
        raise InvalidFields([FieldViolation("language", f"must be one of those that there are texts in: {known}")])
    match request.WhichOneof("quiet"):
        case "quiet_hours":
            return SettingsChange(request.language or None, _quiet_of(request.quiet_hours))
        case "no_quiet_hours":
            return SettingsChange(request.language or None, None)
        case _:
            return SettingsChange(request.language or None, KEPT)


def _quiet_of(hours: contact_pb2.QuietHours) -> QuietHours:
    return QuietHours(_clock(hours.from_minute), _clock(hours.until_minute))


def _quiet_to_proto(quiet: QuietHours | None) -> contact_pb2.QuietHours | None:
    if quiet is None:
        return None
    return contact_pb2.QuietHours(from_minute=_minute(quiet.starts), until_minute=_minute(quiet.ends))


def _clock(minute: int) -> time:
    return time(*divmod(minute, _HOUR_MINUTES))


def _minute(clock: time) -> int:
    return clock.hour * _HOUR_MINUTES + clock.minute
