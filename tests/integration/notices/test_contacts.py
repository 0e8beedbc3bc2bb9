"""A person adds a telephone and a mailbox, shows the codes that came there, and chooses what is told where."""

import asyncio
import uuid
from dataclasses import replace
from datetime import date, timedelta

from support.newcomers import refusal, wrong

from gongji.identity.v1 import person_pb2
from gongji.notify.v1 import contact_pb2 as pb
from gongji.notify.v1 import notice_pb2
from gongji_local.client import Connections, Portal
from gongji_local.client.persons import Insured, insured
from gongji_local.clock import wait_until
from gongji_local.sms import Message
from gongji_local.stack import Stack

SMS, EMAIL = notice_pb2.CHANNEL_SMS, notice_pb2.CHANNEL_EMAIL


def somebody() -> Insured:
    """Whom nobody else in these scenarios is, with a number that could be a mobile's."""
    person = insured("巴图", date(1985, 3, 2), person_pb2.INSURANCE_TYPE_EMPLOYEE)
    return replace(person, tel=f"19{person.tel[2:]}")


def adding(person: Insured, address: str, channel: notice_pb2.Channel.ValueType = SMS) -> pb.AddContactRequest:
    return pb.AddContactRequest(request_id=str(uuid.uuid4()), psn_no=person.psn_no, channel=channel, address=address)


async def sent(stack: Stack, address: str, count: int = 1) -> list[Message]:
    """The messages to an address, newest first, once there are so many."""

    def messages() -> list[Message]:
        return [one for one in stack.sms() if one.tel == address]

    assert await asyncio.to_thread(wait_until, lambda: len(messages()) >= count, 30.0)
    return messages()


async def shown(portal: Portal, contact_id: str, code: str) -> pb.Contact:
    request = pb.VerifyContactRequest(psn_no=portal.psn_no, contact_id=contact_id, code=code)
    return (await portal.call(portal.contacts.VerifyContact, request)).contact


async def test_a_telephone_is_verified_by_the_code_that_comes_there_and_is_removed_again(
    stack: Stack, connections: Connections
) -> None:
    person = somebody()
    portal = Portal(connections, person.psn_no)
    added = await portal.call(portal.contacts.AddContact, adding(person, f"+86 {person.tel}"))
    (message,) = await sent(stack, person.tel)
    assert added.contact.masked_address == f"*******{person.tel[-4:]}"
    # A wrong code is counted although it is refused: what the refusal wrote is kept.
    for left in ("4", "3"):
        refused = await refusal(shown(portal, added.contact.contact_id, wrong(message.code)))
        assert refused == ("CODE_WRONG", {"tries_left": left})
    contact = await shown(portal, added.contact.contact_id, message.code)
    assert contact.state == pb.CONTACT_STATE_VERIFIED
    listed = await portal.call(portal.contacts.ListContacts, pb.ListContactsRequest(psn_no=person.psn_no))
    assert list(listed.contacts) == [contact]
    removing = pb.RemoveContactRequest(psn_no=person.psn_no, contact_id=contact.contact_id)
    await portal.call(portal.contacts.RemoveContact, removing)
    listed = await portal.call(portal.contacts.ListContacts, pb.ListContactsRequest(psn_no=person.psn_no))
    assert list(listed.contacts) == []


async def test_asking_again_under_the_same_request_id_sends_one_code(stack: Stack, connections: Connections) -> None:
    person = somebody()
    portal = Portal(connections, person.psn_no)
    request = adding(person, f"{person.psn_no}@example.com", EMAIL)
    first = await portal.call(portal.contacts.AddContact, request)
    assert await portal.call(portal.contacts.AddContact, request) == first
    # Codes go out in the order in which they were asked for: when this one is there, so would be a second of the other.
    await portal.call(portal.contacts.AddContact, adding(person, person.tel))
    await sent(stack, person.tel)
    assert len(await sent(stack, request.address)) == 1


async def test_asking_several_times_at_once_leaves_one_contact_and_codes_run_out(
    stack: Stack, connections: Connections
) -> None:
    person = somebody()
    portal = Portal(connections, person.psn_no)
    answers = await asyncio.gather(
        *(portal.call(portal.contacts.AddContact, adding(person, person.tel)) for _ in range(3))
    )
    assert len({one.contact.contact_id for one in answers}) == 1
    newest = (await sent(stack, person.tel))[0]
    stack.move_clock(stack.now() + timedelta(minutes=10))
    refused = await refusal(shown(portal, answers[0].contact.contact_id, newest.code))
    assert refused[0] == "VERIFICATION_INVALID"


async def test_nobody_reaches_the_contacts_and_choices_of_somebody_else(stack: Stack, connections: Connections) -> None:
    person, other = somebody(), somebody()
    portal, stranger = Portal(connections, person.psn_no), Portal(connections, other.psn_no)
    added = await portal.call(portal.contacts.AddContact, adding(person, person.tel))
    (message,) = await sent(stack, person.tel)
    contact_id = added.contact.contact_id
    stub, psn_no = stranger.contacts, person.psn_no
    verifying = pb.VerifyContactRequest(psn_no=psn_no, contact_id=contact_id, code=message.code)
    removing = pb.RemoveContactRequest(psn_no=psn_no, contact_id=contact_id)
    choosing = pb.SetPreferenceRequest(psn_no=psn_no, kind=notice_pb2.NOTICE_KIND_DEBIT, channel=SMS)
    for attempt in (
        stranger.call(stub.ListContacts, pb.ListContactsRequest(psn_no=psn_no)),
        stranger.call(stub.GetPreferences, pb.GetPreferencesRequest(psn_no=psn_no)),
        stranger.call(stub.AddContact, adding(person, other.tel)),
        stranger.call(stub.VerifyContact, verifying),
        stranger.call(stub.RemoveContact, removing),
        stranger.call(stub.SetPreference, choosing),
        stranger.call(stub.SetSettings, pb.SetSettingsRequest(psn_no=psn_no, language="zh-CN")),
    ):
        assert (await refusal(attempt))[0] == "FORBIDDEN"
    own = pb.VerifyContactRequest(psn_no=other.psn_no, contact_id=contact_id, code=message.code)
    assert (await refusal(stranger.call(stranger.contacts.VerifyContact, own)))[0] == "NOT_FOUND"
    assert (await shown(portal, contact_id, message.code)).state == pb.CONTACT_STATE_VERIFIED


async def test_choices_are_kept_but_what_the_rules_require_stays_in_the_inbox(connections: Connections) -> None:
    person = somebody()
    portal = Portal(connections, person.psn_no)
    off = pb.SetPreferenceRequest(psn_no=person.psn_no, kind=notice_pb2.NOTICE_KIND_DEBIT, channel=SMS)
    await portal.call(portal.contacts.SetPreference, off)
    in_inbox = pb.SetPreferenceRequest(
        psn_no=person.psn_no, kind=notice_pb2.NOTICE_KIND_DEBIT, channel=notice_pb2.CHANNEL_INBOX
    )
    assert (await refusal(portal.call(portal.contacts.SetPreference, in_inbox)))[0] == "NOTICE_REQUIRED"
    quiet = pb.QuietHours(from_minute=21 * 60, until_minute=7 * 60 + 30)
    await portal.call(portal.contacts.SetSettings, pb.SetSettingsRequest(psn_no=person.psn_no, quiet_hours=quiet))
    chosen = await portal.call(portal.contacts.GetPreferences, pb.GetPreferencesRequest(psn_no=person.psn_no))
    assert [(one.kind, one.channel) for one in chosen.preferences if not one.is_wanted] == [(off.kind, SMS)]
    assert chosen.settings == pb.PersonSettings(language="zh-CN", quiet_hours=quiet)


async def test_neither_address_nor_code_is_in_the_log(stack: Stack, connections: Connections) -> None:
    person = somebody()
    portal = Portal(connections, person.psn_no)
    added = await portal.call(portal.contacts.AddContact, adding(person, person.tel))
    (message,) = await sent(stack, person.tel)
    await shown(portal, added.contact.contact_id, message.code)
    log = await asyncio.to_thread((stack.folder.logs / "notify.log").read_text, encoding="utf-8")
    assert message.verification_id in log
    assert person.tel not in log
    assert all(message.code not in line for line in log.splitlines() if message.verification_id in line)
