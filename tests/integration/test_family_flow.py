"""The family's flow, from registration to the notice of the refund, as product and law describe it step by step."""

import asyncio
import io
from dataclasses import dataclass
from datetime import date, timedelta

import grpc
import pytest
from pypdf import PdfReader
from support.books import books_are_clean

from gongji.binding.v1 import application_pb2, relation_pb2
from gongji.common.v1 import reason_pb2
from gongji.identity.v1 import person_pb2
from gongji.notify.v1 import inbox_pb2
from gongji.settlement.v1 import account_pb2, settlement_pb2
from gongji_local.client import Clerk, Connections, Hospital, Operator, Portal, ProofFile, bill, reason_of
from gongji_local.client.persons import Insured, institution, insured
from gongji_local.client.proofs import pdf
from gongji_local.stack import Stack
from kit.clock import shanghai_date


async def quiet(stack: Stack) -> None:
    await asyncio.to_thread(stack.quiesce, 120.0)


def titles(messages: list[inbox_pb2.Message], category: inbox_pb2.MessageCategory.ValueType) -> list[str]:
    return [message.title for message in messages if message.category == category]


@dataclass(frozen=True)
class Scene:
    """Everybody in the story."""

    stack: Stack
    connections: Connections
    operator: Operator
    father: Insured
    child: Insured
    hospital: Hospital

    @property
    def portal(self) -> Portal:
        return Portal(self.connections, self.father.psn_no)

    @classmethod
    async def set_up(cls, stack: Stack, connections: Connections) -> "Scene":
        father = insured("巴图", date(1985, 3, 2), person_pb2.INSURANCE_TYPE_EMPLOYEE)
        child = insured("苏和", date(2015, 9, 1), person_pb2.INSURANCE_TYPE_RESIDENT)
        clinic = institution("博乐市测试医院")
        operator = Operator(connections)
        await operator.import_insured(f"flow.{father.psn_no}", [father.row(), child.row()])
        await operator.register_institution(clinic)
        return cls(stack, connections, operator, father, child, Hospital(connections, clinic.fixmedins_code))


async def registers(scene: Scene) -> None:
    """Under another name the register knows nobody; the family is known, and shown masked."""
    father, child = scene.father, scene.child
    with pytest.raises(grpc.aio.AioRpcError) as stranger:
        await Portal(scene.connections).start_verification("查无此人", father.certificate)
    assert reason_of(stranger.value) == "REAL_NAME_MISMATCH"
    with pytest.raises(grpc.aio.AioRpcError) as codeless:
        await Portal(scene.connections).register(father.psn_name, father.certificate)
    assert reason_of(codeless.value) == "CODE_REQUIRED"
    newcomer = Portal(scene.connections)
    assert await newcomer.register_in_person(father.psn_name, father.certificate) == father.psn_no
    assert await scene.portal.register(child.psn_name, child.certificate) == child.psn_no
    shown = await scene.portal.person()
    assert father.psn_name not in shown.masked_name
    assert father.certno not in shown.masked_certno
    await quiet(scene.stack)


async def applies(scene: Scene) -> str:
    """Incomplete the application is not taken; with a proof it is."""
    today = shanghai_date(scene.stack.now())
    request = application_pb2.CreateApplicationRequest(
        payer_psn_no=scene.father.psn_no,
        beneficiary_psn_no=scene.child.psn_no,
        relationship=relation_pb2.RELATIONSHIP_CHILD,
        limits=relation_pb2.Limits(settlement_fen=20_000, year_fen=100_000),
        valid_to=(today + timedelta(days=365)).isoformat(),
        pledge_version="2025.1",
    )
    application_id = await scene.portal.create_application(request)
    assert await scene.portal.create_application(request) == application_id  # the same request_id
    with pytest.raises(grpc.aio.AioRpcError) as incomplete:
        await scene.portal.submit(application_id)
    assert reason_of(incomplete.value) == "PROOF_MISSING"
    proof = ProofFile(application_pb2.PROOF_KIND_HOUSEHOLD_REGISTER, pdf("household register"))
    await scene.portal.upload_proof(application_id, proof)
    await scene.portal.submit(application_id)
    return application_id


async def is_approved(scene: Scene, application_id: str) -> str:
    """One clerk handles it, and only another one decides; the relation is in force at once."""
    wang, li = Clerk(scene.connections, "wang"), Clerk(scene.connections, "li")
    assert application_id in {waiting.application_id for waiting in await wang.waiting()}
    await wang.claim(application_id)
    with pytest.raises(grpc.aio.AioRpcError) as alone:
        await wang.approve(application_id)
    assert reason_of(alone.value) == "FOUR_EYES"
    approved = await li.approve(application_id)
    assert approved.state == application_pb2.APPLICATION_STATE_APPROVED
    relation = await scene.portal.relation(approved.relation_id)
    today = shanghai_date(scene.stack.now()).isoformat()
    assert (relation.state, relation.valid_from) == (relation_pb2.RELATION_STATE_ACTIVE, today)
    return approved.relation_id


async def is_treated(scene: Scene) -> settlement_pb2.Settlement:
    """The child's voucher, a preview, and a settlement that is just what the preview showed."""
    hospital = scene.hospital
    identified = await hospital.identify_by_voucher(await scene.portal.issue_voucher(scene.child.psn_no))
    assert (identified.psn_no, list(identified.findings)) == (scene.child.psn_no, [])
    treated = bill(scene.child.psn_no, medfee_sumamt=18_000, fund_pay_sumamt=9_000)
    preview = await hospital.preview(treated, identified.visit_credential)
    assert preview.refusal == reason_pb2.REASON_UNSPECIFIED
    settled = await hospital.settle(
        hospital.settle_request(treated, identified.visit_credential, at=scene.stack.now(), expected=preview.split)
    )
    assert settled.state == settlement_pb2.SETTLEMENT_STATE_SETTLED
    assert settled.split == preview.split
    assert (settled.split.acct_mulaid_pay, settled.split.psn_cash_pay) == (9_000, 0)
    assert (await scene.portal.account()).balance == 41_000
    return settled


async def is_refunded(scene: Scene, settled: settlement_pb2.Settlement, relation_id: str) -> None:
    """The reversal gives back to exactly the account that paid, with the limit."""
    refunded = await scene.hospital.reverse_by_setl_id(settled.setl_id, at=scene.stack.now())
    given_back = [(refund.psn_no, refund.amount, refund.balance_after) for refund in refunded.refunds]
    assert given_back == [(scene.father.psn_no, 9_000, 50_000)]
    await quiet(scene.stack)
    assert all(use.used_fen == use.held_fen == 0 for use in (await scene.portal.relation(relation_id)).use)


async def reads_statement_and_notices(scene: Scene) -> None:
    """Every movement stands once, in order, with the balance after it, and was told once."""
    entries = await scene.portal.entries()
    assert [(entry.kind, entry.amount, entry.balance_after) for entry in entries] == [
        (account_pb2.ENTRY_KIND_REFUND, 9_000, 50_000),
        (account_pb2.ENTRY_KIND_SETTLEMENT, -9_000, 41_000),
        (account_pb2.ENTRY_KIND_CONTRIBUTION, 50_000, 50_000),
    ]
    printed = await scene.portal.statement_pdf("2025-01-01", "2099-12-31")
    (page,) = PdfReader(io.BytesIO(printed)).pages
    name = f"{scene.father.psn_name[0]}*"
    assert all(text in page.extract_text() for text in (name, scene.father.psn_no, "¥590.00", "¥90.00", "¥410.00"))
    messages = await scene.portal.messages()
    assert len(titles(messages, inbox_pb2.MESSAGE_CATEGORY_BALANCE)) == len(entries)
    assert titles(messages, inbox_pb2.MESSAGE_CATEGORY_APPLICATION)
    childs = await Portal(scene.connections, scene.child.psn_no).messages()
    assert titles(childs, inbox_pb2.MESSAGE_CATEGORY_RELATION)


async def test_a_family_registers_applies_is_approved_pays_and_is_refunded(
    stack: Stack, connections: Connections
) -> None:
    scene = await Scene.set_up(stack, connections)
    await registers(scene)
    relation_id = await is_approved(scene, await applies(scene))
    psn_no = scene.father.psn_no
    await scene.operator.open_account(psn_no)
    for _ in range(2):  # a contribution counts once, however often it is told
        assert await scene.operator.record_contribution(psn_no, f"flow.{psn_no}", 50_000) == 50_000
    await is_refunded(scene, await is_treated(scene), relation_id)
    await reads_statement_and_notices(scene)
    await books_are_clean(stack)
