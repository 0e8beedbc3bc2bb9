"""Care outside Xinjiang (异地就医): filed for a time, cancelled, filed anew, and what a credential knows of it."""

from datetime import date, timedelta

import pytest
from support.families import Families, Family
from support.refusals import refusal

from gongji.common.v1 import reason_pb2
from gongji.identity.v1 import person_pb2, person_pb2_grpc
from gongji.settlement.v1 import settlement_pb2
from gongji_local.client import Caller, Connections, Hospital, Operator
from gongji_local.client.persons import institution
from gongji_local.stack import Stack
from kit.clock import shanghai_date

DAY = timedelta(days=1)
UNFILED = [reason_pb2.REASON_REMOTE_CARE_UNFILED]
SHANGHAI_CITY, SUZHOU = "310100", "320500"


@pytest.fixture
def today(stack: Stack) -> date:
    return shanghai_date(stack.now())


@pytest.fixture
async def family(families: Families) -> Family:
    """A father who pays for a child."""
    return await families.make({"father": 10_000})


@pytest.fixture
async def far_away(connections: Connections) -> Hospital:
    """A hospital in Shanghai that settles for patients from elsewhere."""
    clinic = institution("上海市第一人民医院", admdvs="310104", remote_settlement=True)
    await Operator(connections).register_institution(clinic)
    return Hospital(connections, clinic.fixmedins_code)


async def file(connections: Connections, family: Family, region: str, *days: date) -> str:
    written = [day.isoformat() for day in days]
    return await Operator(connections).file_remote_care(family.psn_no("child"), region, *written)


async def cancel(connections: Connections, family: Family, filing_id: str) -> person_pb2.RemoteCareFiling:
    """A clerk at the counter cancels."""
    clerk = Caller(connections, title="clerk", principal="service/portal", subject="clerk:wang", roles=("operator",))
    stub: person_pb2_grpc.PersonServiceAsyncStub = person_pb2_grpc.PersonServiceStub(clerk.channel("identity"))
    request = person_pb2.CancelRemoteCareRequest(psn_no=family.psn_no("child"), filing_id=filing_id)
    return (await clerk.call(stub.CancelRemoteCare, request)).filing


async def findings(family: Family, at: Hospital) -> list[int]:
    child = family.world.persons["child"]
    return list((await at.identify_by_identity_card(child.certno, child.psn_name)).findings)


async def settled(at: Hospital, request: settlement_pb2.SettleRequest) -> bool:
    answer = await at.settle(request)
    return answer.state == settlement_pb2.SETTLEMENT_STATE_SETTLED and answer.split.acct_mulaid_pay > 0


async def test_a_filing_counts_in_its_region_from_its_first_to_its_last_day(
    connections: Connections, family: Family, far_away: Hospital, today: date
) -> None:
    assert await findings(family, far_away) == UNFILED
    assert await findings(family, family.hospital) == []
    for region, *days in (
        (SUZHOU, today),
        (SHANGHAI_CITY, today - 9 * DAY, today - DAY),
        (SHANGHAI_CITY, today + DAY),
    ):
        await file(connections, family, region, *days)
        assert await findings(family, far_away) == UNFILED
    await file(connections, family, SHANGHAI_CITY, today, today)
    assert await findings(family, far_away) == []
    assert await settled(far_away, await family.request("child", 1_000, hospital=far_away))
    assert await family.balance("father") == 9_000


async def test_a_cancelled_filing_is_over_at_the_next_identification_and_can_be_filed_anew(
    connections: Connections, family: Family, far_away: Hospital, today: date
) -> None:
    filing_id = await file(connections, family, "310000", today - DAY)
    assert await file(connections, family, "310000", today - DAY) == filing_id
    before = await family.request("child", 1_000, hospital=far_away)
    cancelled = await cancel(connections, family, filing_id)
    assert (cancelled.level, cancelled.kind, cancelled.cancelled_on) == (
        person_pb2.REMOTE_CARE_LEVEL_PROVINCE,
        person_pb2.REMOTE_CARE_KIND_LONG_TERM,
        today.isoformat(),
    )
    assert await findings(family, far_away) == UNFILED
    after = await family.request("child", 2_000, hospital=far_away)
    assert await refusal(lambda: far_away.settle(after)) == "REMOTE_CARE_UNFILED"
    # Nothing revokes a credential before it expires: the one of before goes on to say that care is filed.
    assert await settled(far_away, before)
    assert await file(connections, family, "310000", today - DAY) != filing_id
    assert await findings(family, far_away) == []
    # The one of in between knows nothing of the new filing either.
    assert await refusal(lambda: far_away.settle(after)) == "REMOTE_CARE_UNFILED"
    assert await family.balance("father") == 9_000


async def test_a_filing_that_runs_out_during_a_stay_is_over_by_its_last_day(
    stack: Stack, connections: Connections, family: Family, far_away: Hospital, today: date
) -> None:
    await file(connections, family, SHANGHAI_CITY, today, today + DAY)
    child = family.world.persons["child"]
    admitted = await far_away.identify_by_identity_card(child.certno, child.psn_name, inpatient=True)
    request = await family.request("child", 1_000, hospital=far_away)
    request.visit_credential = admitted.visit_credential
    request.bill.med_type = settlement_pb2.MEDICAL_TYPE_INPATIENT
    stack.move_clock(stack.now() + 2 * DAY)
    assert await refusal(lambda: far_away.settle(request)) == "REMOTE_CARE_UNFILED"
    stack.move_clock(stack.now() - DAY)
    assert await settled(far_away, request)
