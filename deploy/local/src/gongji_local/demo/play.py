"""The play: every step in order."""

import asyncio

from grpc import aio
from rich.console import Console

from gongji_local.client import Connections
from gongji_local.demo import balancing, joining, telling, visiting
from gongji_local.demo.cast import Cast, assembled
from gongji_local.demo.checks import from_rpc_error
from gongji_local.demo.narration import Narrator
from gongji_local.stack import Stack


def play(stack: Stack, console: Console) -> None:
    """Plays the main job on a running stack; the clock stays as it is.

    Raises:
        DemoFailedError: something that it showed was not as it has to be.
    """
    asyncio.run(_play(stack, Narrator(console)))


async def _play(stack: Stack, narrator: Narrator) -> None:
    async with Connections(stack, narrator.call) as connections:
        try:
            await _acts(assembled(stack, narrator, connections))
        except aio.AioRpcError as error:
            raise from_rpc_error(error, narrator.last_call) from error


async def _acts(cast: Cast) -> None:
    await joining.import_insured(cast)
    await joining.register_family(cast)
    application_id = await joining.apply(cast)
    relation_id = await joining.review(cast, application_id)
    await joining.contribute(cast)
    visit = await visiting.first_visit(cast)
    made, split = await visiting.preview(cast, visit)
    first = await visiting.settle(cast, visit, made, split)
    await telling.notice_of_debit(cast, first.answered)
    await visiting.repeat(cast, first)
    large = await visiting.settle_large(cast)
    reversed_ = await visiting.reverse(cast, large)
    await telling.notice_of_refund(cast, reversed_)
    entries = await balancing.statement(cast)
    await balancing.summary(cast, relation_id, first, large, entries)
    cast.narrator.names(
        {
            "FATHER": cast.father.psn_no,
            "CHILD": cast.child.psn_no,
            "HOSPITAL": first.settlement.fixmedins_code,
            "APPLICATION": application_id,
            "RELATION": relation_id,
            "MSGID": first.settlement.msgid,
        }
    )
