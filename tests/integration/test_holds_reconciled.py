"""What settlement knows nothing of, as after a restore, and binding holds or counts, is given up by reconciling."""

import asyncio
from datetime import timedelta
from uuid import uuid4

from support.books import audit, books_are_clean, reconcile
from support.families import Families
from support.holds import Settlement

from gongji.binding.v1 import authorization_pb2
from gongji_local.cases.script import Relation
from gongji_local.client import Connections
from gongji_local.stack import Stack
from kit.clock import SystemClock
from kit.ids import uuid7

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


async def test_what_binding_captured_for_a_forgotten_settlement_is_given_back(
    families: Families, connections: Connections, stack: Stack
) -> None:
    family = await families.make({"father": 10_000}, Relation("father", "child", {"year": 5_000}))
    since = SystemClock().now() - timedelta(seconds=1)
    kept = await family.settle("child", 1_000)
    await family.quiet()
    forgotten = str(uuid7())
    binding = Settlement(connections, family)
    await binding.authorize(HELD_FEN, forgotten)
    captured = binding.outcome(authorization_pb2.OUTCOME_STATE_CAPTURED, forgotten, HELD_FEN)
    await binding.authorize(1, released := str(uuid4()), [captured])
    assert (await family.use("father", "child"))["YEAR"] == (1_000 + HELD_FEN, 1)

    told = await reconcile(stack, since)
    assert "given back: 1, 1 of them unknown here" in told
    assert (await family.use("father", "child"))["YEAR"] == (1_000, 0)
    assert kept.split.acct_mulaid_pay == 1_000
    for spent in (forgotten, released):
        assert (await binding.authorize(1, spent)).refusal
    assert "given back: 0, 0 of them unknown here" in await reconcile(stack, since)
    await books_are_clean(stack)
