"""Outcomes reach binding in every order and more than once, inline or by event: the counters end the same."""

import itertools
import uuid

import pytest
from google.protobuf.message import Message
from support.bus import publish, stored
from support.families import Families
from support.holds import Settlement

from gongji.binding.v1 import authorization_pb2
from gongji.common.v1 import reason_pb2
from gongji.settlement.events.v1 import settlement_events_pb2
from gongji_local.cases.script import Relation
from gongji_local.client import Connections
from gongji_local.stack import Stack

PAID_FEN = 4_000
COMPLETED, REVERSED = "completed", "reversed"


def event(settlement: Settlement, kind: str, authorization_id: str) -> Message:
    facts = settlement.facts(authorization_id, PAID_FEN)
    if kind == COMPLETED:
        return settlement_events_pb2.SettlementCompleted(settlement=facts, setl_time=settlement.now())
    return settlement_events_pb2.SettlementReversed(settlement=facts, reversed_at=settlement.now())


async def test_every_order_and_repetition_of_outcomes_ends_in_the_same_counters(
    families: Families, connections: Connections, stack: Stack
) -> None:
    family = await families.make({"father": 10_000}, Relation("father", "child", {"total": 10_000, "day": 10_000}))
    settlement = Settlement(connections, family)
    for order in set(itertools.permutations([COMPLETED, REVERSED, COMPLETED, REVERSED])):
        authorization_id = str(uuid.uuid4())
        granted = await settlement.authorize(PAID_FEN + 1_000, authorization_id)
        assert granted.grants[0].granted_fen == PAID_FEN + 1_000
        told = [stored(event(settlement, kind, authorization_id), authorization_id) for kind in order]
        await publish(stack.info.kafka_bootstrap, *told, *told)
        await family.quiet()
        use = await family.use("father", "child")
        assert set(use.values()) == {(0, 0)}, order


async def test_a_capture_that_comes_again_counts_once(
    families: Families, connections: Connections, stack: Stack
) -> None:
    family = await families.make({"father": 10_000})
    settlement, authorization_id = Settlement(connections, family), str(uuid.uuid4())
    await settlement.authorize(PAID_FEN + 1_000, authorization_id)
    captured = settlement.outcome(authorization_pb2.OUTCOME_STATE_CAPTURED, authorization_id, PAID_FEN)
    again = stored(event(settlement, COMPLETED, authorization_id), authorization_id)
    await publish(stack.info.kafka_bootstrap, again, again)
    await settlement.authorize(1, outcomes=[captured, captured])
    await family.quiet()
    assert (await family.use("father", "child"))["YEAR"] == (PAID_FEN, 1)


async def test_an_authorization_that_arrives_after_its_release_is_refused(
    families: Families, connections: Connections, stack: Stack
) -> None:
    family = await families.make({"father": 10_000})
    settlement, authorization_id = Settlement(connections, family), str(uuid.uuid4())
    released = settlement_events_pb2.HoldsReleased(
        settlement=settlement.facts(authorization_id),
        reason=reason_pb2.REASON_ABANDONED,
        released_at=settlement.now(),
    )
    await publish(stack.info.kafka_bootstrap, stored(released, authorization_id))
    await family.quiet()
    late = await settlement.authorize(PAID_FEN, authorization_id)
    assert late.refusal == reason_pb2.REASON_ABANDONED
    assert list(late.grants) == []
    assert set((await family.use("father", "child")).values()) == {(0, 0)}


@pytest.mark.parametrize("asked_again", [1, 3])
async def test_asking_again_under_the_same_id_gives_the_same_answer_and_holds_once(
    families: Families, connections: Connections, asked_again: int
) -> None:
    family = await families.make({"father": 10_000}, Relation("father", "child", {"total": 5_000}))
    settlement, authorization_id = Settlement(connections, family), str(uuid.uuid4())
    first = await settlement.authorize(PAID_FEN, authorization_id)
    for _ in range(asked_again):
        assert await settlement.authorize(PAID_FEN, authorization_id) == first
    assert (await family.use("father", "child"))["TOTAL"] == (0, PAID_FEN)
