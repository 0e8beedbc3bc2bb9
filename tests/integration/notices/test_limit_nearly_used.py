"""The payer is told once when a limit is nearly used, however often and by whatever it is reached."""

from support.families import Families, Family

from gongji.binding.v1 import relation_pb2
from gongji_local.cases.script import Relation

TITLE = "共济限额即将用完"


async def told(family: Family) -> list[str]:
    await family.quiet()
    return [it.body for it in await family.world.portal("father").messages() if it.title == TITLE]


async def test_the_payer_is_told_once_when_four_fifths_of_a_limit_are_used(families: Families) -> None:
    family = await families.make({"father": 100_000}, Relation("father", "child", {"year": 10_000}))
    await family.settle("child", 7_999)
    assert await told(family) == []
    paid = await family.settle("child", 1)
    (body,) = await told(family)
    assert "80.00" in body
    await family.hospital.reverse_by_setl_id(paid.setl_id, at=family.world.stack.now())
    await family.settle("child", 500)
    assert len(await told(family)) == 1


async def test_a_limit_that_is_lowered_to_what_is_used_is_told_too(families: Families) -> None:
    family = await families.make({"father": 100_000}, Relation("father", "child", {"year": 10_000}))
    await family.settle("child", 4_000)
    portal, relation_id = family.world.portal("father"), family.relation_id("father", "child")
    for limit_fen in (4_500, 9_000, 4_000):
        await portal.change_limits(relation_id, relation_pb2.Limits(year_fen=limit_fen))
    assert len(await told(family)) == 1
