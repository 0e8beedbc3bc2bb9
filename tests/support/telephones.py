"""Payers with a verified telephone, in a stack whose messages go into files."""

import asyncio

from gongji.notify.v1 import contact_pb2, notice_pb2
from gongji_local.client import Portal
from gongji_local.clock import wait_until
from gongji_local.stack import Stack
from support.families import Family

PATIENCE_SECONDS = 60.0


async def with_a_telephone(stack: Stack, family: Family, name: str = "father") -> tuple[Portal, str]:
    """A member's portal, and the telephone that the member has verified."""
    portal, tel = family.world.portal(name), f"19{family.world.persons[name].tel[2:]}"
    adding = contact_pb2.AddContactRequest(psn_no=portal.psn_no, channel=notice_pb2.CHANNEL_SMS, address=tel)
    added = await portal.call(portal.contacts.AddContact, adding)
    code = await asyncio.to_thread(_code, stack, tel)
    verifying = contact_pb2.VerifyContactRequest(psn_no=portal.psn_no, contact_id=added.contact.contact_id, code=code)
    await portal.call(portal.contacts.VerifyContact, verifying)
    return portal, tel


def _code(stack: Stack, tel: str) -> str:
    """The code in the only message that came to a telephone."""
    assert wait_until(lambda: any(one.tel == tel for one in stack.sms()), PATIENCE_SECONDS)
    (message,) = [one for one in stack.sms() if one.tel == tel]
    return message.code
