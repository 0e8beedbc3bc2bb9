"""An application is returned, corrected by the payer, handed in again and approved; each step is told and on record."""

import asyncio
from datetime import date

from support.applying import household_register, make_pair

from gongji.binding.v1 import application_pb2, decision_reason_pb2, history_pb2, relation_pb2
from gongji.notify.v1 import inbox_pb2
from gongji_local.client import Clerk, Connections
from gongji_local.stack import Stack

H = history_pb2.ChangeKind


async def test_a_returned_application_is_corrected_and_approved(stack: Stack, connections: Connections) -> None:
    pair = await make_pair(stack, connections, date(2015, 9, 1))
    portal, wang, li = pair.portal, Clerk(connections, "wang"), Clerk(connections, "li")
    application_id = await portal.apply(pair.request(relation_pb2.RELATIONSHIP_CHILD), household_register())
    await wang.claim(application_id)
    returned = await li.return_for_correction(application_id, decision_reason_pb2.DECISION_REASON_PROOF_UNREADABLE)
    assert returned.state == application_pb2.APPLICATION_STATE_RETURNED

    seen = await portal.application(application_id)
    removing = application_pb2.RemoveProofRequest(application_id=application_id, proof_id=seen.proofs[0].proof_id)
    await portal.call(portal.applications.RemoveProof, removing)
    await portal.upload_proof(application_id, household_register())
    correction = application_pb2.UpdateApplicationRequest(
        application_id=application_id,
        relationship=relation_pb2.RELATIONSHIP_CHILD,
        limits=relation_pb2.Limits(year_fen=80_000),
        valid_to=seen.valid_to,
        pledge_version="2025.1",
    )
    await portal.call(portal.applications.UpdateApplication, correction)
    await portal.submit(application_id)
    await wang.claim(application_id)
    approved = await li.approve(application_id)
    assert (await portal.relation(approved.relation_id)).limits == relation_pb2.Limits(year_fen=80_000)

    asking = application_pb2.ApplicationServiceListHistoryRequest(application_id=application_id)
    history = (await portal.call(portal.applications.ListHistory, asking)).entries
    done = [entry.what for entry in history]
    assert done[:4] == [
        H.CHANGE_KIND_CREATED,
        H.CHANGE_KIND_PROOF_ADDED,
        H.CHANGE_KIND_SUBMITTED,
        H.CHANGE_KIND_CLAIMED,
    ]
    assert done[4:8] == [
        H.CHANGE_KIND_RETURNED,
        H.CHANGE_KIND_PROOF_REMOVED,
        H.CHANGE_KIND_PROOF_ADDED,
        H.CHANGE_KIND_UPDATED,
    ]
    assert done[8:] == [H.CHANGE_KIND_SUBMITTED, H.CHANGE_KIND_CLAIMED, H.CHANGE_KIND_APPROVED]
    assert not any("clerk:" in entry.who for entry in history)

    await asyncio.to_thread(stack.quiesce, 120.0)
    told = [message.title for message in await portal.messages()]
    assert told.count("共济申请已提交") == 2
    assert {"共济申请被退回", "共济关系已生效"} <= set(told)
    assert inbox_pb2.MESSAGE_CATEGORY_APPLICATION in {message.category for message in await portal.messages()}
