"""A debit reaches the payer's mailbox, which a code verified, through a mail server that refuses it for a while."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from support.deliveries import deliveries_of
from support.families import Families, Family
from support.mail_servers import MailServer, receiving
from support.reached import notify_again

from gongji.notify.v1 import contact_pb2, delivery_pb2, notice_pb2
from gongji_local.client import Caller, Connections, Portal
from gongji_local.stack import Stack
from kit.testing import eventually

QUEUED = delivery_pb2.DELIVERY_STATE_QUEUED
POLICY = {"timeout_seconds": 2.0, "first_wait_seconds": 600.0, "breaker_rest_seconds": 0.5}


@pytest.fixture
async def family(families: Families) -> Family:
    """Registered while codes are still written into files."""
    return await families.make({"father": 100_000})


@pytest.fixture
async def mail(stack: Stack, tmp_path: Path, family: Family) -> AsyncIterator[MailServer]:
    """The server that notify sends mail by."""
    del family
    async with receiving(MailServer()) as server:
        adapter = {"adapter": "smtp", "host": "127.0.0.1", "port": server.port, "security": "none"}
        channel = adapter | {"sender": "家庭共济 <no-reply@example.cn>", "policy": POLICY}
        file = tmp_path / "channels.json"
        await asyncio.to_thread(file.write_text, json.dumps({"EMAIL": channel}))
        await notify_again(stack, {"GONGJI_CHANNELS_FILE": str(file)})
        try:
            yield server
        finally:
            await notify_again(stack, {})


def letters(mail: MailServer, address: str) -> list[str]:
    """What a mailbox got: subject and text of each."""
    own = [one for one in mail.mails if address in str(one["To"])]
    return [f"{one['Subject']}\n{one.get_content()}" for one in own]


async def with_a_mailbox(father: Portal, mail: MailServer, address: str) -> None:
    adding = contact_pb2.AddContactRequest(psn_no=father.psn_no, channel=notice_pb2.CHANNEL_EMAIL, address=address)
    added = await father.call(father.contacts.AddContact, adding)
    await eventually(lambda: len(letters(mail, address)) == 1)
    (code,) = re.findall(r"(?<!\d)\d{6}(?!\d)", letters(mail, address)[0])
    verifying = contact_pb2.VerifyContactRequest(psn_no=father.psn_no, contact_id=added.contact.contact_id, code=code)
    await father.call(father.contacts.VerifyContact, verifying)


async def test_a_debit_reaches_the_mailbox_once_though_it_was_full_at_first(
    stack: Stack, family: Family, mail: MailServer, connections: Connections
) -> None:
    operator = Caller(connections, title="operator", principal="service/operator")
    father = family.world.portal("father")
    address = f"p{father.psn_no}@example.com"
    await with_a_mailbox(father, mail, address)
    mail.at_rcpt.append("452 mailbox full")
    await family.settle("child", 12_345)

    async def refused() -> bool:
        found = await deliveries_of(operator, father.psn_no)
        return [(one.state, one.attempts, bool(one.last_error)) for one in found] == [(QUEUED, 1, True)]

    await eventually(refused)
    assert not mail.at_rcpt
    assert len(letters(mail, address)) == 1
    stack.move_clock(stack.now() + timedelta(hours=1))
    await eventually(lambda: len(letters(mail, address)) == 2)
    told = (await father.messages())[0]
    subject, _, text = letters(mail, address)[1].partition("\n")
    assert subject == told.title
    assert "¥123.45" in told.body
    assert "¥123.45" in text
