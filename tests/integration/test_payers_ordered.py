"""The beneficiary's side sets the order of its payers, and the next bill is paid in that order (R5)."""

import grpc
import pytest
from support.families import Families
from support.relations import order

from gongji.binding.v1 import relation_pb2
from gongji_local.cases.script import Relation
from gongji_local.client import reason_of


async def test_a_parent_orders_a_minors_payers_and_the_next_bill_follows(families: Families) -> None:
    family = await families.make(
        {"father": 10_000, "mother": 10_000},
        Relation("father", "child", {"year": 100_000}),
        Relation("mother", "child", {"year": 100_000}),
    )
    father, mother, child = (family.world.portal(name) for name in ("father", "mother", "child"))
    both = [family.psn_no("mother"), family.psn_no("father")]
    await family.settle("child", 1_000)
    assert (await family.balance("father"), await family.balance("mother")) == (9_000, 10_000)

    with pytest.raises(grpc.aio.AioRpcError) as minor:
        await order(child, family.psn_no("child"), both)
    assert reason_of(minor.value) == "FORBIDDEN"
    with pytest.raises(grpc.aio.AioRpcError) as incomplete:
        await order(father, family.psn_no("child"), both[:1])
    assert reason_of(incomplete.value) == "PAYERS_DIFFER"

    assert await order(mother, family.psn_no("child"), both) == both
    await family.settle("child", 1_000)
    assert (await family.balance("father"), await family.balance("mother")) == (9_000, 9_000)
    listed = relation_pb2.ListPayersRequest(beneficiary_psn_no=family.psn_no("child"))
    shown = await father.call(father.relation_service.ListPayers, listed)
    assert [(it.payer_psn_no, it.priority) for it in shown.payers] == [(both[0], 1), (both[1], 2)]
