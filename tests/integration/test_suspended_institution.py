"""Two operators suspend an institution: it is refused at once everywhere, and works again once that is lifted."""

import pytest
from support.families import Families, Family
from support.refusals import Attempt, refusal

from gongji.identity.v1 import institution_pb2, institution_pb2_grpc
from gongji.notify.v1 import webhook_pb2, webhook_pb2_grpc
from gongji.settlement.v1 import settlement_pb2
from gongji_local.client import Caller, Connections, Operator
from kit.testing import eventually


async def becomes(expected: str | None, attempt: Attempt) -> None:
    """Settlement learns of it by an event, so it may take a moment."""

    async def has_become() -> bool:
        return await refusal(attempt) == expected

    await eventually(has_become, timeout_seconds=120, poll_seconds=0.05, what=f"it became {expected}")


async def proposed(operator: Operator, code: str, *, suspended: bool) -> str:
    stated = await operator.institution(code)
    stated.suspended = suspended
    change = await operator.propose_institution_change(stated, "涉嫌违规，暂停结算" if suspended else "整改完成")
    assert change.state == institution_pb2.INSTITUTION_CHANGE_STATE_PROPOSED
    return change.change_id


async def identifies(family: Family) -> None:
    await family.credential("child")


async def lists_webhooks(family: Family) -> None:
    stub: webhook_pb2_grpc.WebhookServiceAsyncStub = webhook_pb2_grpc.WebhookServiceStub(
        family.hospital.channel("notify")
    )
    await family.hospital.call(stub.ListWebhooks, webhook_pb2.ListWebhooksRequest())


async def test_a_suspended_institution_is_refused_everywhere_until_another_two_lift_it(
    families: Families, connections: Connections
) -> None:
    family = await families.make({"father": 10_000})
    wang, li = Operator(connections, "wang"), Operator(connections, "li")
    code = family.hospital.fixmedins_code
    settled = await family.settle("child", 1_000)
    waiting = await family.request("child", 1_000)

    change_id = await proposed(wang, code, suspended=True)
    await identifies(family)
    assert await refusal(lambda: wang.confirm_institution_change(change_id)) == "FOUR_EYES"
    await identifies(family)

    await li.confirm_institution_change(change_id)
    assert await refusal(lambda: identifies(family)) == "INSTITUTION_SUSPENDED"
    await becomes("INSTITUTION_SUSPENDED", lambda: family.hospital.settlement_by_setl_id(settled.setl_id))
    await becomes("INSTITUTION_SUSPENDED", lambda: lists_webhooks(family))
    for attempt in (
        lambda: family.hospital.settle(waiting),
        lambda: family.hospital.reverse_by_setl_id(settled.setl_id, at=family.world.stack.now()),
        lambda: family.hospital.preview(waiting.bill, waiting.visit_credential),
    ):
        assert await refusal(attempt) == "INSTITUTION_SUSPENDED"
    assert await family.balance("father") == 9_000
    lifted = await wang.institution(code)
    lifted.suspended = False
    assert not await wang.register_institution(lifted)  # the machine feed, which knows nothing of it
    assert await refusal(lambda: identifies(family)) == "INSTITUTION_SUSPENDED"
    other = family.world.hospitals["pharmacy"]
    assert (await family.request("child", 1_000, hospital=other)).visit_credential

    await wang.confirm_institution_change(await proposed(li, code, suspended=False))
    await identifies(family)
    await becomes(None, lambda: family.hospital.settlement_by_setl_id(settled.setl_id))
    await becomes(None, lambda: lists_webhooks(family))
    again = await family.request("child", 1_000)
    assert (await family.hospital.settle(again)).state == settlement_pb2.SETTLEMENT_STATE_SETTLED
    assert await family.balance("father") == 8_000


async def test_a_rejected_or_outdated_proposal_changes_nothing(families: Families, connections: Connections) -> None:
    family = await families.make({"father": 0})
    wang, li = Operator(connections, "wang"), Operator(connections, "li")
    code = family.hospital.fixmedins_code
    rejected = await proposed(wang, code, suspended=True)
    await li.reject_institution_change(rejected, "证据不足")
    assert await refusal(lambda: li.confirm_institution_change(rejected)) == "STATE_FORBIDS"

    outdated = await proposed(wang, code, suspended=True)
    stated = await wang.institution(code)
    stated.fixmedins_name = "博乐市第二人民医院"
    await wang.register_institution(stated)
    assert await refusal(lambda: li.confirm_institution_change(outdated)) == "CHANGE_OUTDATED"
    assert not (await wang.institution(code)).suspended
    await identifies(family)


@pytest.mark.parametrize("principal", ["service/operator", "institution/H65270100001"])
async def test_nobody_but_the_feed_changes_an_institution_by_one_call(
    families: Families, connections: Connections, principal: str
) -> None:
    family = await families.make({"father": 0})
    stated = await Operator(connections).institution(family.hospital.fixmedins_code)
    caller = Caller(connections, title="somebody", principal=principal)
    stub: institution_pb2_grpc.InstitutionServiceAsyncStub = institution_pb2_grpc.InstitutionServiceStub(
        caller.channel("identity")
    )
    request = institution_pb2.RegisterInstitutionRequest(institution=stated)
    assert await refusal(lambda: caller.call(stub.RegisterInstitution, request)) == "FORBIDDEN"


async def test_a_stay_is_settled_by_its_long_lived_credential_and_nothing_else_is(families: Families) -> None:
    family = await families.make({"father": 10_000})
    person = family.world.persons["child"]
    admitted = await family.hospital.identify_by_identity_card(person.certno, person.psn_name, inpatient=True)
    request = await family.request("child", 2_000)
    request.visit_credential = admitted.visit_credential
    assert await refusal(lambda: family.hospital.settle(request)) == "CREDENTIAL_INVALID"
    request.bill.med_type = settlement_pb2.MEDICAL_TYPE_INPATIENT
    assert (await family.hospital.settle(request)).state == settlement_pb2.SETTLEMENT_STATE_SETTLED
    assert await family.balance("father") == 8_000
