"""Relations in scenarios: asking for what the portal does not wrap, and waiting for what becomes due."""

from datetime import date, datetime

from gongji.binding.v1 import relation_pb2
from gongji_local.client import Portal
from kit.clock import SHANGHAI
from kit.testing import eventually
from support.families import Family

WAIT_SECONDS = 120.0
"""Until the scheduler has come by."""
POLL_SECONDS = 0.2


def morning(day: date) -> datetime:
    """Ten o'clock in Shanghai."""
    return datetime(day.year, day.month, day.day, 10, tzinfo=SHANGHAI)


async def titles(family: Family, name: str) -> list[str]:
    """The titles of what a member was told."""
    return [message.title for message in await family.world.portal(name).messages()]


async def told(family: Family, name: str, title: str, times: int = 1) -> None:
    """Wait until a member is told something, and see that they are told it so often and no more."""

    async def holds() -> bool:
        return (await titles(family, name)).count(title) >= times

    await eventually(holds, timeout_seconds=WAIT_SECONDS, poll_seconds=POLL_SECONDS, what=f"{name} is told {title}")
    await family.quiet()
    assert (await titles(family, name)).count(title) == times


async def relation(family: Family, payer: str, beneficiary: str) -> relation_pb2.Relation:
    """A relation as its payer sees it."""
    return await family.world.portal(payer).relation(family.relation_id(payer, beneficiary))


async def ended(family: Family, payer: str, beneficiary: str) -> relation_pb2.Relation:
    """Wait until a relation has ended; the relation."""

    async def holds() -> bool:
        return (await relation(family, payer, beneficiary)).state == relation_pb2.RELATION_STATE_ENDED

    await eventually(holds, timeout_seconds=WAIT_SECONDS, poll_seconds=POLL_SECONDS, what="the relation has ended")
    return await relation(family, payer, beneficiary)


async def order(portal: Portal, beneficiary_psn_no: str, payers: list[str]) -> list[str]:
    """Set the order of payers; the payers as they are placed then."""
    request = relation_pb2.OrderPayersRequest(beneficiary_psn_no=beneficiary_psn_no, payer_psn_nos=payers)
    placed = await portal.call(portal.relation_service.OrderPayers, request)
    return [place.payer_psn_no for place in placed.payers]
