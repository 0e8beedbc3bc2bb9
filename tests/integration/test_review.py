"""The clerks' desk: a queue by region, leases that run out, hand-over, batches with mixed results, who is refused."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import asyncpg
import grpc
import pytest
from support.bad_requests import Rpc, rpcs, valid

from binding.access import ACCESS
from gongji.binding.v1 import application_pb2, decision_reason_pb2, relation_pb2, review_pb2
from gongji.common.v1 import reason_pb2
from gongji.identity.v1 import person_pb2
from gongji.notify.v1 import inbox_pb2
from gongji_local.client import Clerk, Connections, Operator, Portal, ProofFile, reason_of
from gongji_local.client.persons import insured
from gongji_local.client.proofs import pdf
from gongji_local.stack import Stack
from kit.clock import shanghai_date
from kit.grpc_client import secure_channel

JINGHE, WENQUAN, ALASHANKOU = "652722", "652723", "652702"
REVIEW_RPCS = [rpc for rpc in rpcs() if ".ReviewService/" in rpc.path]


async def refusal(attempt: Awaitable[object]) -> str | None:
    """The reason that a call is refused with."""
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await attempt
    return reason_of(refused.value)


@dataclass(frozen=True)
class Desk:
    """The office of one region and what is handed in there."""

    stack: Stack
    connections: Connections
    region: str

    def clerk(self, name: str, *, psn_no: str = "") -> Clerk:
        return Clerk(self.connections, f"{name}.{self.region}", psn_no=psn_no)

    async def handed_in(self, count: int) -> list[tuple[str, Portal, str]]:
        """Applications of fathers of this region for their children: id, the father's portal, the child's psn_no."""
        fathers = [
            insured(f"父{n}", date(1985, 3, 2), person_pb2.INSURANCE_TYPE_EMPLOYEE, admdvs=self.region)
            for n in range(count)
        ]
        children = [
            insured(f"子{n}", date(2015, 9, 1), person_pb2.INSURANCE_TYPE_RESIDENT, admdvs=self.region)
            for n in range(count)
        ]
        rows = [person.row() for person in (*fathers, *children)]
        await Operator(self.connections).import_insured(f"review.{fathers[0].psn_no}", rows)
        for father, child in zip(fathers, children, strict=True):
            await Portal(self.connections).register_in_person(father.psn_name, father.certificate)
            await Portal(self.connections, father.psn_no).register(child.psn_name, child.certificate)
        await asyncio.to_thread(self.stack.quiesce, 120.0)
        pairs = zip(fathers, children, strict=True)
        return [await self._applied(father.psn_no, child.psn_no) for father, child in pairs]

    async def _applied(self, father: str, child: str) -> tuple[str, Portal, str]:
        portal = Portal(self.connections, father)
        request = application_pb2.CreateApplicationRequest(
            payer_psn_no=father,
            beneficiary_psn_no=child,
            relationship=relation_pb2.RELATIONSHIP_CHILD,
            limits=relation_pb2.Limits(year_fen=100_000),
            valid_to=(shanghai_date(self.stack.now()) + timedelta(days=365)).isoformat(),
            pledge_version="2025.1",
        )
        proof = ProofFile(application_pb2.PROOF_KIND_HOUSEHOLD_REGISTER, pdf("household register"))
        return await portal.apply(request, proof), portal, child

    async def let_the_lease_run_out(self, application_id: str) -> None:
        """Leases are real time, which no test can move: so the end of this one is."""
        connection = await asyncpg.connect(self.stack.info.database_url("binding"))
        try:
            ended = "UPDATE application SET claim_expires_at = clock_timestamp() WHERE application_id = $1"
            await connection.execute(ended, application_id)
        finally:
            await connection.close()


async def test_a_lease_runs_out_and_another_clerk_takes_over_whom_only_a_third_can_decide_after(
    stack: Stack, connections: Connections
) -> None:
    desk = Desk(stack, connections, JINGHE)
    wang, li, zhao = (desk.clerk(name) for name in ("wang", "li", "zhao"))
    ((application_id, father, _),) = await desk.handed_in(1)
    (waiting,) = await wang.waiting(JINGHE, review_pb2.QUEUE_STATE_WAITING)
    assert (waiting.application_id, waiting.region) == (application_id, JINGHE)
    assert waiting.due_on > shanghai_date(stack.now()).isoformat()

    claimed = await wang.claim_next(JINGHE)
    assert claimed
    assert claimed.application_id == application_id
    assert await li.claim_next(JINGHE) is None
    assert await refusal(li.claim(application_id)) == "CLAIMED_BY_ANOTHER"
    renewed = await wang.claim(application_id)
    assert renewed.claim_expires_at.ToDatetime() > claimed.claim_expires_at.ToDatetime()

    await desk.let_the_lease_run_out(application_id)
    taken = await li.claim_next(JINGHE)
    assert taken
    assert taken.handler == f"clerk:li.{JINGHE}"
    assert await refusal(wang.finish(application_id)) == "CLAIMED_BY_ANOTHER"
    await li.hand_over(application_id, f"clerk:wang.{JINGHE}", "下班了")
    assert await refusal(zhao.claim(application_id)) == "CLAIMED_BY_ANOTHER"
    await wang.claim(application_id)
    await wang.finish(application_id)
    assert [it.application_id for it in await zhao.waiting(JINGHE, review_pb2.QUEUE_STATE_HANDLED)] == [application_id]
    for handled in (wang, li):
        assert await refusal(handled.approve(application_id)) == "FOUR_EYES"
    assert (await zhao.approve(application_id)).relation_id
    seen = await father.application(application_id)
    assert (seen.state, seen.handler) == (application_pb2.APPLICATION_STATE_APPROVED, "")
    assert not seen.HasField("handled_at")


async def test_a_batch_has_a_result_for_each_and_families_read_why(stack: Stack, connections: Connections) -> None:
    desk = Desk(stack, connections, WENQUAN)
    wang, li = desk.clerk("wang"), desk.clerk("li")
    handed_in = await desk.handed_in(4)
    approved, returned, unclaimed, own = (application_id for application_id, _, _ in handed_in)
    for application_id in (approved, returned):
        await wang.claim(application_id)
    await li.claim(own)
    items = [
        review_pb2.BatchDecideItem(application_id=approved, decision=review_pb2.DECISION_APPROVE),
        review_pb2.BatchDecideItem(application_id=unclaimed, decision=review_pb2.DECISION_APPROVE),
        review_pb2.BatchDecideItem(
            application_id=returned,
            decision=review_pb2.DECISION_RETURN,
            reason_code=decision_reason_pb2.DECISION_REASON_PROOF_UNREADABLE,
            reason="户口本首页",
        ),
        review_pb2.BatchDecideItem(application_id=own, decision=review_pb2.DECISION_APPROVE),
        review_pb2.BatchDecideItem(application_id=approved, decision=review_pb2.DECISION_REJECT),
    ]
    results = await li.decide_batch(items)
    assert [it.refusal for it in results] == [
        reason_pb2.REASON_UNSPECIFIED,
        reason_pb2.REASON_STATE_FORBIDS,
        reason_pb2.REASON_UNSPECIFIED,
        reason_pb2.REASON_FOUR_EYES,
        reason_pb2.REASON_INVALID_FIELDS,
    ]
    assert [it.application_id for it in results] == [it.application_id for it in items]
    assert await li.decide_batch(items[:1]) == results[:1]  # the item's request_id in another batch
    payer = handed_in[0][1]
    assert [it.state for it in await payer.relations()] == [relation_pb2.RELATION_STATE_ACTIVE]
    await asyncio.to_thread(stack.quiesce, 120.0)
    told = [it.body for it in await handed_in[1][1].messages() if it.category == inbox_pb2.MESSAGE_CATEGORY_APPLICATION]
    assert any("原因：证明材料不清晰，无法辨认（户口本首页）。请补充或更正后重新提交。" in body for body in told)


async def test_counts_and_statistics_tell_what_waits_and_what_was_done(stack: Stack, connections: Connections) -> None:
    desk = Desk(stack, connections, ALASHANKOU)
    wang, li = desk.clerk("wang"), desk.clerk("li")
    first, second, _ = (application_id for application_id, _, _ in await desk.handed_in(3))
    await wang.claim(first)
    await wang.claim(second)
    await wang.finish(second)
    await li.return_for_correction(first, decision_reason_pb2.DECISION_REASON_PROOF_OUTDATED)
    counted = await li.call(li.reviews.CountWaiting, review_pb2.CountWaitingRequest(region=ALASHANKOU))
    assert [(it.region, it.waiting, it.claimed, it.handled, it.overdue) for it in counted.regions] == [
        (ALASHANKOU, 1, 0, 1, 0)
    ]
    today = shanghai_date(stack.now()).isoformat()
    request = review_pb2.GetReviewStatisticsRequest(day_from=today, day_to=today, region=ALASHANKOU, page_size=1)
    page = await li.call(li.reviews.GetReviewStatistics, request)
    request.page_token = page.next_page_token
    rest = await li.call(li.reviews.GetReviewStatistics, request)
    rows = {row.clerk: row.figures for row in (*page.rows, *rest.rows)}
    assert set(rows) == {f"clerk:wang.{ALASHANKOU}", f"clerk:li.{ALASHANKOU}"}
    assert rows[f"clerk:wang.{ALASHANKOU}"].handled == 2
    lis = rows[f"clerk:li.{ALASHANKOU}"]
    assert (lis.returned, lis.returned_permille, lis.HasField("median_seconds")) == (1, 1000, True)
    (region,) = page.regions
    assert (region.region, region.figures.handled, region.queue.waiting) == (ALASHANKOU, 2, 1)


async def test_a_clerk_who_is_a_party_neither_handles_nor_decides(stack: Stack, connections: Connections) -> None:
    desk = Desk(stack, connections, "652701")
    ((application_id, father, child),) = await desk.handed_in(1)
    wang = desk.clerk("wang")
    as_payer, as_child = (desk.clerk("family", psn_no=psn_no) for psn_no in (father.psn_no, child))
    for party in (as_payer, as_child):
        assert await refusal(party.claim(application_id)) == "FOUR_EYES"
    await wang.claim(application_id)
    for party in (as_payer, as_child):
        assert await refusal(party.approve(application_id)) == "FOUR_EYES"
    assert await refusal(wang.hand_over(application_id, f"psn:{father.psn_no}", "x")) == "FOUR_EYES"
    given_back = await wang.release(application_id)
    assert (given_back.state, given_back.handler) == (application_pb2.APPLICATION_STATE_SUBMITTED, "")
    assert await refusal(wang.approve(application_id)) == "FOUR_EYES"


async def test_families_read_the_catalogue_of_reasons_in_chinese_only_through_a_clerk(
    stack: Stack, connections: Connections
) -> None:
    clerk = Desk(stack, connections, JINGHE).clerk("wang")
    request = review_pb2.ListReasonsRequest(decision=review_pb2.DECISION_REJECT)
    reasons = (await clerk.call(clerk.reviews.ListReasons, request)).reasons
    texts = {it.code: it.text for it in reasons}
    assert texts[decision_reason_pb2.DECISION_REASON_RELATIONSHIP_NOT_COVERED] == "所申请的亲属关系不在家庭共济范围内"
    assert decision_reason_pb2.DECISION_REASON_PROOF_UNREADABLE not in texts


@pytest.fixture
async def portal_channel(stack: Stack) -> AsyncIterator[grpc.aio.Channel]:
    async with secure_channel(stack.info.services["binding"].grpc_address, stack.service_tls("portal")) as channel:
        yield channel


@pytest.mark.parametrize("rpc", REVIEW_RPCS, ids=lambda rpc: rpc.path.rpartition("/")[2])
@pytest.mark.parametrize("roles", [("citizen",), ("operator",), ("auditor",), ("handler",), ("decider",)])
async def test_each_call_of_the_review_is_for_its_clerks_only(
    stack: Stack, portal_channel: grpc.aio.Channel, rpc: Rpc, roles: tuple[str, ...]
) -> None:
    subject = "psn:65279999999999999999" if roles == ("citizen",) else "clerk:stranger"
    token = stack.assertion(subject, roles=roles, audience="binding")
    # Without a serializer the channel takes bytes, which its types do not know.
    call: Any = portal_channel.unary_unary(rpc.path)
    try:
        raw = valid(rpc.request_type).SerializeToString()
        await call(raw, timeout=10, metadata=(("x-gongji-assertion", token),))
        reason = None
    except grpc.aio.AioRpcError as error:
        reason = reason_of(error)
    admitted = not ACCESS[rpc.path].roles.isdisjoint(roles)
    assert (reason == "FORBIDDEN") != admitted
    assert not (roles == ("citizen",) and admitted)
