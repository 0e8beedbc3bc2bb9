"""What people do with their contacts and choices: through the contract's messages, on a repository in memory."""

import asyncio
from datetime import UTC, timedelta
from uuid import uuid4

import pytest
from structlog.testing import capture_logs

from gongji.notify.v1 import contact_pb2 as pb
from gongji.notify.v1 import notice_pb2
from kit.db import LeavesTrace
from kit.errors import InvalidFields
from kit.testing import MemoryWork, eventually
from notify.channels.guarded import LeftAloneError
from notify.channels.port import Accepted, Outgoing, UndeliveredError
from notify.contacts.codes import ContactCodes
from notify.contacts.service import CountedCodeWrong
from notify.domain.channels import Channel
from notify.domain.contacts import (
    CODE_LIFETIME,
    COUNTED_WITHIN,
    MOST_TRIES,
    CodeBounds,
    CodeInvalid,
    ContactNotFound,
    TooManyCodes,
)
from notify.rendering import Texts
from notify.testing import AT, TEXTS, Postbox
from notify.testing_contacts import EMAIL, OTHER_PHONE, PHONE, SMS, Desk


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


async def test_a_gateway_that_has_chinese_alone_gets_a_code_in_chinese_whatever_its_owner_reads() -> None:
    desk = Desk()
    texts = Texts(gateways={Channel.SMS: {"verification-code": {"zh-CN": "SMS_100"}}})
    desk.codes = ContactCodes(MemoryWork(desk.repository), desk.postbox, texts, desk.clock)
    await desk.settle(language="en")
    await desk.verified()
    (outgoing,) = desk.postbox.sent
    assert (outgoing.language, outgoing.params["purpose"]) == ("zh-CN", "联系方式")


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


async def test_a_code_that_was_not_even_tried_waits_until_its_channel_is_left_alone_no_more() -> None:
    desk = Desk(bounds=CodeBounds(to_person=1, to_address=1))
    await desk.add()
    desk.postbox.failure = LeftAloneError("resting", is_final=False, retry_after_seconds=1e-9)
    with capture_logs() as lines:
        assert [await desk.codes.send_waiting() for _ in range(3)] == [1, 1, 1]
    assert lines == []
    desk.postbox.failure = None
    assert await desk.sent_code()
    assert await desk.codes.send_waiting() == 0


async def test_while_a_channel_is_left_alone_its_codes_hold_up_no_others() -> None:
    desk = Desk()
    await desk.add()
    desk.postbox.failure = LeftAloneError("resting", is_final=False, retry_after_seconds=30.0)
    assert await desk.codes.send_waiting() == 1
    desk.postbox.failure = None
    await desk.add("a@example.com", EMAIL, psn_no="1002")
    assert await desk.codes.send_waiting() == 1
    assert [one.address for one in desk.postbox.sent] == ["a@example.com"]


async def test_a_code_that_waited_for_its_channel_until_it_ran_out_is_not_sent() -> None:
    desk = Desk()
    await desk.add()
    desk.postbox.failure = LeftAloneError("resting", is_final=False, retry_after_seconds=1e-9)
    await desk.codes.send_waiting()
    desk.postbox.failure = None
    desk.clock.advance(CODE_LIFETIME)
    await desk.codes.send_waiting()
    assert desk.postbox.sent == []


class Held(Postbox):
    """Answers nobody until it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.answers = asyncio.Event()

    async def send(self, outgoing: Outgoing) -> Accepted:
        self.asked += 1
        await self.answers.wait()
        return await super().send(outgoing)


async def test_a_code_that_was_taken_is_still_sent_when_the_process_stops() -> None:
    postbox = Held()
    desk = Desk(postbox=postbox)
    await desk.add()
    running = asyncio.create_task(desk.codes.run())
    await eventually(lambda: postbox.asked == 1)
    running.cancel()
    asyncio.get_running_loop().call_later(0.05, postbox.answers.set)
    with pytest.raises(asyncio.CancelledError):
        await running
    assert len(postbox.sent) == 1


async def test_a_fault_of_an_adapter_costs_one_code() -> None:
    desk = Desk()
    await desk.add()
    desk.postbox.failure = ZeroDivisionError(PHONE)  # type: ignore[assignment]
    with capture_logs() as lines:
        await desk.codes.send_waiting()
    assert "UNDELIVERED" in str(lines)
    assert PHONE not in str(lines)


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
