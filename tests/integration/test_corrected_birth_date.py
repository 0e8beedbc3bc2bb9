"""A birth date is corrected so that a father cannot be the father: nothing is paid until an operator has looked."""

from support.families import Families
from support.relations import relation, told

from gongji.binding.v1 import relation_pb2
from gongji.identity.v1 import person_pb2
from gongji_local.client.persons import insured


async def test_the_relation_is_suspended_and_the_payer_told_why(families: Families) -> None:
    family = await families.make({"father": 10_000})
    father, child = family.world.persons["father"], family.world.persons["child"]
    right = insured(child.psn_name, father.born, child.insutype)
    correction = person_pb2.CorrectPersonRequest(
        psn_no=child.psn_no, brdy=right.born.isoformat(), certificate=right.certificate, reason="证件号码更正"
    )
    assert await family.world.operator.correct_person(correction)
    await family.quiet()

    suspended = await relation(family, "father", "child")
    assert suspended.state == relation_pb2.RELATION_STATE_SUSPENDED
    await told(family, "father", "共济关系已暂停")
    (message,) = [it for it in await family.world.portal("father").messages() if it.title == "共济关系已暂停"]
    assert "更正后的出生日期与亲属关系不符" in message.body
