"""Settling again as binding sees it: a claim over gRPC, both sides in either event, in any order and more than once."""

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

PAID_FEN, AGAIN_FEN = 9_000, 6_000


def both_events(settlement: Settlement, replaced: str, replacing: str) -> list[Message]:
    """What settlement tells of one that was settled again: each event carries both sides."""
    old, new = settlement.facts(replaced, PAID_FEN), settlement.facts(replacing, AGAIN_FEN)
    return [
        settlement_events_pb2.SettlementCompleted(
            settlement=new, replaces=replaced, replaced_lines=old.lines, replaced_occurred_at=old.occurred_at
        ),
        settlement_events_pb2.SettlementReversed(
            settlement=old, replaced_by=replacing, replacing_lines=new.lines, replacing_occurred_at=new.occurred_at
        ),
    ]


@pytest.mark.parametrize("order", [(0, 1, 0), (1, 0, 1)])
async def test_a_total_limit_that_the_first_nearly_used_up_suffices_for_the_second(
    families: Families, connections: Connections, stack: Stack, order: tuple[int, ...]
) -> None:
    family = await families.make({"father": 10_000}, Relation("father", "child", {"total": 9_500}))
    settlement, first, second = Settlement(connections, family), str(uuid.uuid4()), str(uuid.uuid4())
    await settlement.authorize(PAID_FEN, first)
    early = await settlement.authorize(AGAIN_FEN, second, replaces=first)
    assert early.refusal == reason_pb2.REASON_IN_PROGRESS
    paid = settlement.outcome(authorization_pb2.OUTCOME_STATE_CAPTURED, first, PAID_FEN)
    granted = await settlement.authorize(AGAIN_FEN, second, [paid], replaces=first)
    assert granted.grants[0].granted_fen == AGAIN_FEN
    assert (await family.use("father", "child"))["TOTAL"] == (PAID_FEN, 0)
    told = both_events(settlement, first, second)
    for place in order:
        await publish(stack.info.kafka_bootstrap, stored(told[place], second))
        await family.quiet()
        assert (await family.use("father", "child"))["TOTAL"] == (AGAIN_FEN, 0)


async def test_a_payer_who_has_unbound_pays_again_what_he_paid_and_no_more(
    families: Families, connections: Connections
) -> None:
    family = await families.make({"father": 10_000})
    settlement, first, second = Settlement(connections, family), str(uuid.uuid4()), str(uuid.uuid4())
    await settlement.authorize(PAID_FEN, first)
    await family.world.portal("father").unbind(family.relation_id("father", "child"))
    paid = settlement.outcome(authorization_pb2.OUTCOME_STATE_CAPTURED, first, PAID_FEN)
    answer = await settlement.authorize(PAID_FEN + 1, second, [paid], replaces=first)
    assert (answer.grants[0].granted_fen, answer.grants[0].reason) == (PAID_FEN, reason_pb2.REASON_RELATION_ENDED)
