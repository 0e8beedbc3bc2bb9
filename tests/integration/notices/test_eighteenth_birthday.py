"""A child comes of age: both sides hear before, the relation goes on, and the child decides from then on (R4)."""

from datetime import date

import grpc
import pytest
from support.families import Families
from support.relations import morning, order, relation, told

from gongji.binding.v1 import relation_pb2
from gongji_local.cases.script import Relation
from gongji_local.client import reason_of
from gongji_local.stack import Stack

BIRTHDAY = date(2033, 9, 1)


async def test_a_child_that_comes_of_age_is_told_and_not_cut_off(families: Families, stack: Stack) -> None:
    terms = Relation("father", "child", {"year": 100_000}, valid_to="2035-12-31")
    family = await families.make({"father": 10_000}, terms)
    father, child = family.world.portal("father"), family.world.portal("child")
    payers, of_child = [family.psn_no("father")], family.psn_no("child")
    stack.move_clock(morning(date(2033, 8, 2)))
    await told(family, "father", "共济使用人即将成年")
    await told(family, "child", "您即将成年")
    assert await order(father, of_child, payers) == payers

    stack.move_clock(morning(BIRTHDAY))
    assert (await relation(family, "father", "child")).state == relation_pb2.RELATION_STATE_ACTIVE
    await family.settle("child", 1_000)
    assert await family.balance("father") == 9_000
    with pytest.raises(grpc.aio.AioRpcError) as no_more:
        await order(father, of_child, payers)
    assert reason_of(no_more.value) == "FORBIDDEN"
    assert await order(child, of_child, payers) == payers
    unbound = await child.unbind(family.relation_id("father", "child"))
    assert unbound.state == relation_pb2.RELATION_STATE_ENDED
