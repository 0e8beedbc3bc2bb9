"""What people do with their contacts and choices: through the contract's messages, on a repository in memory."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from structlog.testing import capture_logs

from gongji.notify.v1 import contact_pb2 as pb
from gongji.notify.v1 import notice_pb2
from kit.auth import Assertion, CallContext, Deadline, Principal, enter, uncovered
from kit.clock import FixedClock
from kit.db import LeavesTrace
from kit.errors import InvalidFields, Refusal
from kit.grpc_server import methods_of
from kit.testing import MemoryWork, eventually
from notify.access import ACCESS, CONTACT_SERVICE
from notify.channels.port import UndeliveredError
from notify.contacts.codec import channel_to_proto, kind_to_proto
from notify.contacts.codes import ContactCodes
from notify.contacts.preferences import PreferenceService
from notify.contacts.service import ContactService, CountedCodeWrong
from notify.contacts.servicer import ContactServicer
from notify.domain.channels import OUTSIDE, Channel
from notify.domain.contacts import (
    CODE_LIFETIME,
    COUNTED_WITHIN,
    MOST_TRIES,
    CodeBounds,
    CodeInvalid,
    ContactNotFound,
    TooManyCodes,
)
from notify.domain.kinds import REQUIRED, Kind
from notify.domain.preferences import NoticeRequired
from notify.memory import MemoryRepository
from notify.testing import AT, TEXTS, Postbox

LATER = datetime(2100, 1, 1, tzinfo=UTC)
PHONE, OTHER_PHONE = "13800000001", "13800000002"
SMS, EMAIL = notice_pb2.CHANNEL_SMS, notice_pb2.CHANNEL_EMAIL
WRITES = ["AddContact", "VerifyContact", "RemoveContact", "SetPreference", "SetSettings"]
READS = ["ListContacts", "GetPreferences"]


def called_by(subject: str = "psn:1001", role: str = "citizen") -> None:
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
        called_by(f"psn:{psn_no}")
        request = pb.AddContactRequest(psn_no=psn_no, channel=channel, address=address)  # type: ignore[arg-type]
        return await self.servicer.AddContact(request, None)

    async def sent_code(self) -> str:
        """The code that went out last."""
        await self.codes.send_waiting()
        (code,) = re.findall(r"(?<!\d)\d{6}(?!\d)", self.postbox.sent[-1].body)
        return str(code)

    async def verify(self, contact_id: str, code: str, psn_no: str = "1001") -> pb.Contact:
        called_by(f"psn:{psn_no}")
        request = pb.VerifyContactRequest(psn_no=psn_no, contact_id=contact_id, code=code)
        return (await self.servicer.VerifyContact(request, None)).contact

    async def verified(self, address: str = PHONE, channel: int = SMS, psn_no: str = "1001") -> pb.Contact:
        added = await self.add(address, channel, psn_no)
        return await self.verify(added.contact.contact_id, await self.sent_code(), psn_no)

    async def remove(self, contact_id: str, psn_no: str = "1001") -> None:
        called_by(f"psn:{psn_no}")
        await self.servicer.RemoveContact(pb.RemoveContactRequest(psn_no=psn_no, contact_id=contact_id), None)

    async def listed(self, psn_no: str = "1001") -> list[pb.Contact]:
        called_by(f"psn:{psn_no}")
        return list((await self.servicer.ListContacts(pb.ListContactsRequest(psn_no=psn_no), None)).contacts)

    async def preferences(self) -> pb.GetPreferencesResponse:
        called_by()
        return await self.servicer.GetPreferences(pb.GetPreferencesRequest(psn_no="1001"), None)

    async def prefer(self, kind: Kind, channel: Channel, *, is_wanted: bool) -> pb.Preference:
        called_by()
        request = pb.SetPreferenceRequest(
            psn_no="1001", kind=kind_to_proto(kind), channel=channel_to_proto(channel), is_wanted=is_wanted
        )
        return (await self.servicer.SetPreference(request, None)).preference

    async def settle(self, **change: object) -> pb.PersonSettings:
        called_by()
        request = pb.SetSettingsRequest(psn_no="1001", **change)  # type: ignore[arg-type]
        return (await self.servicer.SetSettings(request, None)).settings


def another(code: str) -> str:
    return f"{(int(code) + 1) % 1_000_000:06}"


async def test_a_contact_is_verified_by_the_code_that_went_there() -> None:
    desk = Desk()
    added = await desk.add("+86 138 0000 0001")
    assert added.contact.state == pb.CONTACT_STATE_UNVERIFIED
    assert added.contact.masked_address == "*******0001"
    assert added.code_expires_at.ToDatetime(tzinfo=UTC) == AT + CODE_LIFETIME
    contact = await desk.verify(added.contact.contact_id, await desk.sent_code())
    assert (contact.contact_id, contact.state) == (added.contact.contact_id, pb.CONTACT_STATE_VERIFIED)
    assert contact.verified_at.ToDatetime(tzinfo=UTC) == AT
    assert await desk.listed() == [contact]


async def test_a_telephone_gets_the_short_form_and_its_parameters() -> None:
    desk = Desk()
    await desk.add()
    code = await desk.sent_code()
    (outgoing,) = desk.postbox.sent
    assert (outgoing.channel, outgoing.address) == (Channel.SMS, PHONE)
    assert outgoing.body == (
        f"【家庭共济】您的联系方式验证码为{code}，2025年6月10日10:10前有效。请勿告知任何人；如非本人操作，请不予理会。"
    )
    assert dict(outgoing.params) == {"purpose": "联系方式", "code": code, "until": "2025年6月10日10:10"}


async def test_a_mailbox_gets_a_letter_in_the_language_of_its_owner() -> None:
    desk = Desk()
    await desk.settle(language="en")
    await desk.add("zhang@Example.com", EMAIL)
    code = await desk.sent_code()
    (outgoing,) = desk.postbox.sent
    assert (outgoing.channel, outgoing.address, outgoing.language) == (Channel.EMAIL, "zhang@example.com", "en")
    assert outgoing.title == "Verification code of family mutual aid"
    assert f"Your code for confirming a contact is {code}." in outgoing.body


async def test_no_answer_and_no_log_has_an_address_or_a_code() -> None:
    desk = Desk()
    with capture_logs() as lines:
        added = await desk.add()
        code = await desk.sent_code()
        contact = await desk.verify(added.contact.contact_id, code)
        everything = f"{lines}{added}{contact}{await desk.listed()}{desk.postbox.sent}"
    assert PHONE not in everything
    assert code not in everything
    assert [(line["outcome"], line["channel"], line["psn_no"]) for line in lines] == [("SENT", "SMS", "1001")]


async def test_a_wrong_code_is_counted_and_the_fifth_ends_it() -> None:
    desk = Desk()
    contact_id = (await desk.add()).contact.contact_id
    code = await desk.sent_code()
    for left in range(MOST_TRIES - 1, -1, -1):
        with pytest.raises(CountedCodeWrong) as caught:
            await desk.verify(contact_id, another(code))
        assert caught.value.metadata == {"tries_left": str(left)}
        assert isinstance(caught.value, LeavesTrace)
    with pytest.raises(CodeInvalid):
        await desk.verify(contact_id, code)


async def test_a_code_that_ran_out_is_no_longer_taken() -> None:
    desk = Desk()
    contact_id = (await desk.add()).contact.contact_id
    code = await desk.sent_code()
    desk.clock.advance(CODE_LIFETIME)
    with pytest.raises(CodeInvalid):
        await desk.verify(contact_id, code)


async def test_the_code_before_is_good_for_nothing_once_a_newer_one_is_on_its_way() -> None:
    desk = Desk()
    first = await desk.add()
    old = await desk.sent_code()
    again = await desk.add()
    assert again.contact.contact_id == first.contact.contact_id
    new = await desk.sent_code()
    if old != new:
        with pytest.raises(CountedCodeWrong):
            await desk.verify(first.contact.contact_id, old)
    assert (await desk.verify(first.contact.contact_id, new)).state == pb.CONTACT_STATE_VERIFIED


async def test_the_code_of_one_contact_verifies_no_other() -> None:
    desk = Desk()
    phone = await desk.add()
    code = await desk.sent_code()
    mail = await desk.add("a@example.com", EMAIL)
    if await desk.sent_code() != code:
        with pytest.raises(CountedCodeWrong):
            await desk.verify(mail.contact.contact_id, code)
    assert (await desk.verify(phone.contact.contact_id, code)).state == pb.CONTACT_STATE_VERIFIED


async def test_a_code_is_good_once() -> None:
    desk = Desk()
    contact_id = (await desk.add()).contact.contact_id
    code = await desk.sent_code()
    await desk.verify(contact_id, code)
    with pytest.raises(CodeInvalid):
        await desk.verify(contact_id, code)


async def test_the_verified_address_again_needs_no_code() -> None:
    desk = Desk()
    contact = await desk.verified()
    again = await desk.add()
    assert (again.contact, again.HasField("code_expires_at")) == (contact, False)
    assert await desk.codes.send_waiting() == 0


async def test_another_telephone_takes_the_place_of_the_one_before_only_when_it_is_verified() -> None:
    desk = Desk()
    before = await desk.verified()
    after = await desk.add(OTHER_PHONE)
    assert [one.contact_id for one in await desk.listed()] == [before.contact_id, after.contact.contact_id]
    await desk.verify(after.contact.contact_id, await desk.sent_code())
    assert [one.contact_id for one in await desk.listed()] == [after.contact.contact_id]


async def test_a_typing_error_is_put_right_by_adding_again_and_its_code_is_dropped() -> None:
    desk = Desk()
    wrong = await desk.add("13800000009")
    right = await desk.add(PHONE)
    assert [one.contact_id for one in await desk.listed()] == [right.contact.contact_id]
    await desk.codes.send_waiting()
    assert [one.address for one in desk.postbox.sent] == [PHONE]
    with pytest.raises(ContactNotFound):
        await desk.verify(wrong.contact.contact_id, "123456")


async def test_a_removed_contact_is_gone_and_stays_gone() -> None:
    desk = Desk()
    contact = await desk.verified()
    await desk.remove(contact.contact_id)
    assert await desk.listed() == []
    assert PHONE not in str(desk.repository.contacts)
    with pytest.raises(ContactNotFound):
        await desk.remove(contact.contact_id)


async def test_of_somebody_elses_contact_nothing_is_known() -> None:
    desk = Desk()
    added = await desk.add()
    code = await desk.sent_code()
    with pytest.raises(ContactNotFound):
        await desk.verify(added.contact.contact_id, code, psn_no="1002")
    with pytest.raises(ContactNotFound):
        await desk.remove(added.contact.contact_id, psn_no="1002")
    with pytest.raises(ContactNotFound):
        await desk.remove(str(uuid4()))
    assert await desk.listed("1002") == []
    assert (await desk.verify(added.contact.contact_id, code)).state == pb.CONTACT_STATE_VERIFIED


async def test_a_family_may_share_a_telephone() -> None:
    desk = Desk()
    await desk.verified(psn_no="1001")
    await desk.verified(psn_no="1002")
    assert len(await desk.listed("1001")) == len(await desk.listed("1002")) == 1


async def test_a_person_has_so_many_codes_in_a_day_whatever_the_addresses() -> None:
    desk = Desk(bounds=CodeBounds(to_person=3, to_address=10))
    for number in range(3):
        await desk.add(f"1380000000{number}")
    desk.clock.advance(timedelta(hours=1))
    with pytest.raises(TooManyCodes) as caught:
        await desk.add("a@example.com", EMAIL)
    assert caught.value.metadata == {"retry_after_seconds": str(23 * 3600)}
    assert len(await desk.listed()) == 1
    await desk.add(psn_no="1002")
    desk.clock.advance(COUNTED_WITHIN - timedelta(hours=1))
    await desk.add("a@example.com", EMAIL)


async def test_an_address_has_so_many_codes_in_a_day_whoever_asks() -> None:
    desk = Desk(bounds=CodeBounds(to_person=10, to_address=2))
    await desk.add("Zhang@example.com", EMAIL, "1001")
    await desk.add("zhang@example.com", EMAIL, "1002")
    with pytest.raises(TooManyCodes):
        await desk.add("ZHANG@example.com", EMAIL, "1003")
    await desk.add("li@example.com", EMAIL, "1003")


async def test_a_code_that_ran_out_before_it_was_taken_is_not_sent() -> None:
    desk = Desk()
    await desk.add()
    desk.clock.advance(CODE_LIFETIME)
    with capture_logs() as lines:
        assert await desk.codes.send_waiting() == 1
    assert desk.postbox.sent == []
    assert [line["outcome"] for line in lines] == ["STALE"]


async def test_a_code_that_was_not_taken_is_not_tried_again_and_holds_up_no_other() -> None:
    desk = Desk()
    await desk.add()
    desk.postbox.failure = UndeliveredError("the gateway is away", is_final=False)
    with capture_logs() as lines:
        await desk.codes.send_waiting()
    assert {line.get("outcome") for line in lines} == {None, "UNDELIVERED"}
    assert PHONE not in str(lines)
    desk.postbox.failure = None
    assert await desk.codes.send_waiting() == 0
    await desk.add()
    assert await desk.sent_code()


async def test_the_sender_goes_on_after_a_failure_and_sends_what_still_waits() -> None:
    desk = Desk()
    work = MemoryWork(desk.repository)
    work.fail_next_commit(ZeroDivisionError())
    codes = ContactCodes(work, desk.postbox, TEXTS, desk.clock, looks_every_seconds=0.01)
    await desk.add()
    running = asyncio.create_task(codes.run())
    await eventually(lambda: bool(desk.postbox.sent))
    running.cancel()
    assert work.rollbacks == 1


async def test_a_code_has_a_key_against_doubles_of_its_own() -> None:
    desk = Desk()
    await desk.add()
    await desk.sent_code()
    await desk.add()
    await desk.sent_code()
    assert len({one.delivery_id for one in desk.postbox.sent}) == 2


@pytest.mark.parametrize(
    ("channel", "address"),
    [(SMS, "a@example.com"), (EMAIL, PHONE), (notice_pb2.CHANNEL_PUSH, "short"), (notice_pb2.CHANNEL_FEISHU, "a/../b")],
)
async def test_an_address_of_another_channel_is_named_and_not_repeated(channel: int, address: str) -> None:
    desk = Desk()
    with pytest.raises(InvalidFields) as caught:
        await desk.add(address, channel)
    assert [one.field for one in caught.value.violations] == ["address"]
    assert address not in str(caught.value)
    assert await desk.listed() == []


async def test_a_channel_that_reaches_nobody_here_is_refused_and_told_beforehand() -> None:
    desk = Desk(usable=frozenset({Channel.EMAIL}))
    with pytest.raises(InvalidFields) as caught:
        await desk.add()
    assert [one.field for one in caught.value.violations] == ["channel"]
    assert list((await desk.preferences()).channels) == [EMAIL]
    await desk.add("a@example.com", EMAIL)


async def test_everything_is_wanted_until_it_is_switched_off() -> None:
    shown = (await Desk().preferences()).preferences
    assert len(shown) == len(Kind) * len(Channel)
    assert all(one.is_wanted for one in shown)
    fixed = {one.kind for one in shown if one.is_fixed}
    assert fixed == {kind_to_proto(kind) for kind in REQUIRED}
    assert {one.channel for one in shown if one.is_fixed} == {notice_pb2.CHANNEL_INBOX}


async def test_a_choice_is_kept_and_can_be_taken_back() -> None:
    desk = Desk()
    off = await desk.prefer(Kind.CREDIT, Channel.SMS, is_wanted=False)
    assert not off.is_wanted
    assert [one for one in (await desk.preferences()).preferences if not one.is_wanted] == [off]
    await desk.prefer(Kind.CREDIT, Channel.SMS, is_wanted=True)
    assert all(one.is_wanted for one in (await desk.preferences()).preferences)


@pytest.mark.parametrize("kind", sorted(REQUIRED, key=str))
async def test_nobody_switches_off_what_the_rules_require_in_the_inbox(kind: Kind) -> None:
    desk = Desk()
    with pytest.raises(NoticeRequired):
        await desk.prefer(kind, Channel.INBOX, is_wanted=False)
    assert (await desk.prefer(kind, Channel.INBOX, is_wanted=True)).is_fixed
    assert not (await desk.prefer(kind, Channel.SMS, is_wanted=False)).is_wanted


async def test_at_first_a_person_reads_chinese_and_sleeps_from_ten_to_eight() -> None:
    answer = await Desk().preferences()
    assert answer.settings.language == "zh-CN"
    assert (answer.settings.quiet_hours.from_minute, answer.settings.quiet_hours.until_minute) == (22 * 60, 8 * 60)
    assert list(answer.languages) == ["en", "zh-CN"]


async def test_language_and_quiet_hours_are_changed_apart() -> None:
    desk = Desk()
    await desk.settle(language="en")
    settled = await desk.settle(quiet_hours=pb.QuietHours(from_minute=1439, until_minute=0))
    assert (settled.language, settled.quiet_hours.from_minute, settled.quiet_hours.until_minute) == ("en", 1439, 0)
    settled = await desk.settle(language="zh-CN")
    assert (settled.language, settled.quiet_hours.from_minute) == ("zh-CN", 1439)
    settled = await desk.settle(no_quiet_hours=True)
    assert not settled.HasField("quiet_hours")
    assert await desk.settle() == settled
    assert (await desk.preferences()).settings == settled


async def test_a_language_without_texts_is_refused() -> None:
    desk = Desk()
    with pytest.raises(InvalidFields, match="en, zh-CN"):
        await desk.settle(language="fr")
    assert (await desk.preferences()).settings.language == "zh-CN"


def test_every_method_is_in_the_access_table() -> None:
    assert uncovered(methods_of(CONTACT_SERVICE), ACCESS) == set()
    assert {path.rsplit("/", 1)[1] for path in methods_of(CONTACT_SERVICE)} == {*WRITES, *READS}


@pytest.mark.parametrize("method", [*WRITES, *READS])
@pytest.mark.parametrize("role", ["handler", "decider", "operator", "auditor"])
def test_clerks_change_nothing_and_only_auditors_look(method: str, role: str) -> None:
    access = ACCESS[f"/{CONTACT_SERVICE}/{method}"]
    clerk = Assertion("clerk:wang", frozenset({role}), None, "issuer", "jti", LATER)
    if role == "auditor" and method in READS:
        access.check(Principal("service", "portal"), clerk)
        return
    with pytest.raises(Refusal, match="may not call"):
        access.check(Principal("service", "portal"), clerk)


@pytest.mark.parametrize("method", [*WRITES, *READS])
@pytest.mark.parametrize(
    "principal",
    [Principal("institution", "H65270100001"), Principal("service", "operator"), Principal("service", "settlement")],
)
def test_nobody_but_people_through_the_portal_may_call(method: str, principal: Principal) -> None:
    with pytest.raises(Refusal):
        ACCESS[f"/{CONTACT_SERVICE}/{method}"].check(principal, None)


REQUESTS: dict[str, Callable[[], object]] = {
    "AddContact": lambda: pb.AddContactRequest(psn_no="1001", channel=SMS, address=PHONE),
    "VerifyContact": lambda: pb.VerifyContactRequest(psn_no="1001", contact_id=str(uuid4()), code="123456"),
    "RemoveContact": lambda: pb.RemoveContactRequest(psn_no="1001", contact_id=str(uuid4())),
    "SetPreference": lambda: pb.SetPreferenceRequest(
        psn_no="1001", kind=notice_pb2.NOTICE_KIND_LIMIT, channel=SMS, is_wanted=False
    ),
    "SetSettings": lambda: pb.SetSettingsRequest(psn_no="1001", language="en"),
    "ListContacts": lambda: pb.ListContactsRequest(psn_no="1001"),
    "GetPreferences": lambda: pb.GetPreferencesRequest(psn_no="1001"),
}


@pytest.mark.parametrize("method", [*WRITES, *READS])
async def test_a_stranger_reaches_nothing_of_a_persons(method: str) -> None:
    desk = Desk()
    called_by("psn:1002")
    with pytest.raises(Refusal) as caught:
        await getattr(desk.servicer, method)(REQUESTS[method](), None)
    assert caught.value.reason == "FORBIDDEN"
    assert "1001" not in str(caught.value)
    assert not any((desk.repository.contacts, desk.repository.preferences, desk.repository.settings))


@pytest.mark.parametrize("method", READS)
async def test_an_auditor_looks_and_leaves_a_trace(method: str) -> None:
    desk = Desk()
    called_by("clerk:zhao", "auditor")
    with capture_logs() as lines:
        await getattr(desk.servicer, method)(REQUESTS[method](), None)
    assert [(line["subject"], line["psn_no"]) for line in lines] == [("clerk:zhao", "1001")]


@pytest.mark.parametrize("method", WRITES)
async def test_an_auditor_writes_nothing_even_where_the_table_would_let_them(method: str) -> None:
    desk = Desk()
    called_by("clerk:zhao", "auditor")
    with pytest.raises(Refusal):
        await getattr(desk.servicer, method)(REQUESTS[method](), None)
