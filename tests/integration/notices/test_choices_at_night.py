"""What a payer chose holds when money moves: language, quiet hours, and what is not wanted by telephone."""

import asyncio
from datetime import datetime, timedelta, timezone
from pathlib import Path

from support.families import Families, Family
from support.http_servers import answers
from support.reached import reaching
from support.telephones import with_a_telephone

from gongji.notify.v1 import contact_pb2 as pb
from gongji.notify.v1 import notice_pb2
from gongji_local.client import Portal
from gongji_local.clock import wait_until
from gongji_local.stack import Stack
from kit.testing import eventually

SHANGHAI = timezone(timedelta(hours=8))
PATIENCE_SECONDS = 60.0
POLICY = {"timeout_seconds": 1.0, "breaker_rest_seconds": 0.5, "breaker_failures": 2.0}


async def came(stack: Stack, tel: str, words: str) -> bool:
    """Whether a message with these words comes to a telephone."""

    def is_there() -> bool:
        return any(words in one.text for one in stack.sms() if one.tel == tel)

    return await asyncio.to_thread(wait_until, is_there, PATIENCE_SECONDS)


def texts(stack: Stack, tel: str) -> str:
    return "\n".join(one.text for one in stack.sms() if one.tel == tel)


async def english_with_a_telephone(stack: Stack, family: Family) -> tuple[Portal, str]:
    """The father's portal, and his verified telephone; he reads English."""
    father = family.world.portal("father")
    await father.call(father.contacts.SetSettings, pb.SetSettingsRequest(psn_no=father.psn_no, language="en"))
    _, tel = await with_a_telephone(stack, family)
    assert "confirming a contact" in texts(stack, tel)
    return father, tel


async def test_a_debit_is_told_at_night_and_everything_else_in_the_morning(stack: Stack, families: Families) -> None:
    family = await families.make({"father": 100_000})
    father, tel = await english_with_a_telephone(stack, family)
    today = stack.now().astimezone(SHANGHAI).date()
    stack.move_clock(datetime(today.year, today.month, today.day, 23, 30, tzinfo=SHANGHAI))
    operator = family.world.operator
    await operator.freeze_account(family.psn_no("father"), "核查")
    await operator.unfreeze_account(family.psn_no("father"), "核查完毕")
    await family.settle("child", 12_345)
    # The account's notices are older than the debit's, and on the same key: they were planned when it comes.
    assert await came(stack, tel, "¥123.45")
    assert "frozen" not in texts(stack, tel)
    newest = (await father.messages())[0]
    assert (newest.language, "¥123.45" in newest.body, newest.title.isascii()) == ("en", True, True)
    stack.move_clock(stack.now() + timedelta(hours=8, minutes=40))  # within five minutes of eight
    assert await came(stack, tel, "frozen")


def next_evening(stack: Stack) -> datetime:
    """Ten minutes before the quiet hours, ahead of the stack's clock."""
    now = stack.now().astimezone(SHANGHAI)
    evening = now.replace(hour=21, minute=50, second=0, microsecond=0)
    return evening if evening > now else evening + timedelta(days=1)


async def test_what_no_gateway_took_before_the_night_is_told_in_the_morning(
    stack: Stack, families: Families, tmp_path: Path
) -> None:
    family = await families.make({"father": 100_000})
    await english_with_a_telephone(stack, family)
    async with reaching(stack, tmp_path, POLICY, {}) as reached:
        gateway, evening = reached.gateway, next_evening(stack)

        def taken(template: str) -> bool:
            return any(one["template_id"] == template for one in gateway.messages.values())

        def tried(template: str) -> bool:
            return any(f'"{template}"' in str(one.body) for one in gateway.received)

        stack.move_clock(evening)
        usual, gateway.usual = gateway.usual, answers(503)
        await family.world.operator.freeze_account(family.psn_no("father"), "核查")
        await family.world.operator.unfreeze_account(family.psn_no("father"), "核查完毕")
        await eventually(lambda: tried("account-frozen"))
        stack.move_clock(evening + timedelta(hours=2))
        await family.settle("child", 12_345)
        await eventually(lambda: tried("debit-family"))
        gateway.usual = usual
        await eventually(lambda: taken("debit-family"))
        assert not taken("account-frozen")
        stack.move_clock(evening + timedelta(hours=10, minutes=20))
        await eventually(lambda: taken("account-frozen"))


async def test_what_is_switched_off_by_telephone_is_in_the_inbox_alone(stack: Stack, families: Families) -> None:
    family = await families.make({"father": 100_000})
    father, tel = await english_with_a_telephone(stack, family)
    choosing = pb.SetPreferenceRequest(
        psn_no=father.psn_no, kind=notice_pb2.NOTICE_KIND_DEBIT, channel=notice_pb2.CHANNEL_SMS, is_wanted=False
    )
    await father.call(father.contacts.SetPreference, choosing)
    await family.settle("child", 11_100)
    choosing.is_wanted, choosing.request_id = True, ""
    await family.quiet()
    await father.call(father.contacts.SetPreference, choosing)
    await family.settle("child", 22_200)
    assert await came(stack, tel, "¥222.00")
    assert "¥111.00" not in texts(stack, tel)
    bodies = "\n".join(one.body for one in await father.messages())
    assert "¥111.00" in bodies
    assert "¥222.00" in bodies


async def test_a_removed_telephone_hears_nothing_any_more(stack: Stack, families: Families) -> None:
    family = await families.make({"father": 100_000})
    father, tel = await english_with_a_telephone(stack, family)
    await family.settle("child", 11_100)
    assert await came(stack, tel, "¥111.00")
    (contact,) = (
        await father.call(father.contacts.ListContacts, pb.ListContactsRequest(psn_no=father.psn_no))
    ).contacts
    removing = pb.RemoveContactRequest(psn_no=father.psn_no, contact_id=contact.contact_id)
    await father.call(father.contacts.RemoveContact, removing)
    await family.settle("child", 22_200)
    await family.quiet()
    assert any("¥222.00" in one.body for one in await father.messages())
    assert "¥222.00" not in texts(stack, tel)
