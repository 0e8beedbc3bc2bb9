"""A payer leaves employee insurance: the relation ends from the day of the statement; a suspension only declines."""

from datetime import date

from support.families import Families
from support.relations import ended, morning, relation, told

from gongji.binding.v1 import relation_pb2
from gongji.identity.v1 import person_pb2
from gongji_local.stack import Stack


async def test_the_relation_ends_on_the_day_of_the_loss_and_not_before(families: Families, stack: Stack) -> None:
    family = await families.make({"father": 10_000})
    father = family.world.persons["father"]

    async def states(status: person_pb2.InsuranceStatus.ValueType, valid_from: date) -> None:
        stated = father.enrolment(psn_insu_stas=status, valid_from=valid_from)
        await family.world.operator.record_enrolment(father.psn_no, stated)
        await family.quiet()

    await states(person_pb2.INSURANCE_STATUS_SUSPENDED, date(2025, 6, 10))
    assert (await relation(family, "father", "child")).state == relation_pb2.RELATION_STATE_ACTIVE
    await states(person_pb2.INSURANCE_STATUS_ENDED, date(2025, 6, 15))
    assert (await relation(family, "father", "child")).state == relation_pb2.RELATION_STATE_ACTIVE

    stack.move_clock(morning(date(2025, 6, 20)))
    over = await ended(family, "father", "child")
    assert (over.end_cause, over.ended_from) == (relation_pb2.END_CAUSE_PAYER_ENROLMENT_LOST, "2025-06-15")
    for name in ("father", "child"):
        await told(family, name, "共济关系已终止")
