"""A hold that settlement knows nothing of, as after a restore, is found by the audit and given up by reconciling."""

import asyncio
from uuid import uuid4

from support.books import audit, books_are_clean, reconcile
from support.families import Families
from support.holds import Settlement

from gongji_local.cases.script import Relation
from gongji_local.client import Connections
from gongji_local.stack import Stack

HELD_FEN = 3_000


async def test_a_hold_of_an_unknown_settlement_is_found_and_given_up(
    families: Families, connections: Connections, stack: Stack
) -> None:
    family = await families.make({"father": 10_000}, Relation("father", "child", {"year": 5_000}))
    await books_are_clean(stack)
    lost = str(uuid4())
    await Settlement(connections, family).authorize(HELD_FEN, lost)
    assert (await family.use("father", "child"))["YEAR"] == (0, HELD_FEN)

    audited = await audit(stack)
    assert audited.returncode == 1
    assert f"{lost}: held at binding, unknown here" in audited.stdout
    pending = await asyncio.to_thread(stack.run_command, "settlement", "pending")
    assert f"{lost}: held for" in pending.stdout

    assert "1 of them unknown here and given up" in await reconcile(stack)
    assert (await family.use("father", "child"))["YEAR"] == (0, 0)
    paid = await family.settle("child", 5_000)
    assert paid.split.acct_mulaid_pay == 5_000
    late = await Settlement(connections, family).authorize(1, lost)
    assert late.refusal
    await family.quiet()
    await books_are_clean(stack)
