"""Somebody who is no party reaches nothing of an application, by any call."""

from datetime import date
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from support.applying import household_register, make_pair

from gongji.binding.v1 import application_pb2 as messages
from gongji.binding.v1 import relation_pb2
from gongji_local.client import Connections, Portal, reason_of
from gongji_local.stack import Stack

if TYPE_CHECKING:
    from collections.abc import Mapping


async def test_a_stranger_is_refused_by_every_call(stack: Stack, connections: Connections) -> None:
    pair = await make_pair(stack, connections, date(2015, 9, 1))
    draft = pair.request(relation_pb2.RELATIONSHIP_CHILD)
    it = await pair.portal.create_application(draft)
    proof = await pair.portal.upload_proof(it, household_register())
    stranger = Portal(connections, "65270000000009999999")
    service = stranger.applications
    update = messages.UpdateApplicationRequest(
        application_id=it,
        relationship=draft.relationship,
        limits=draft.limits,
        valid_to=draft.valid_to,
        pledge_version="2025.1",
    )
    draft.request_id = ""
    calls: Mapping[str, Any] = {
        "CreateApplication": lambda: stranger.call(service.CreateApplication, draft),
        "UpdateApplication": lambda: stranger.call(service.UpdateApplication, update),
        "UploadProof": lambda: stranger.upload_proof(it, household_register()),
        "DownloadProof": lambda: downloaded(stranger, it, proof.proof_id),
        "ListProofViews": lambda: stranger.call(
            service.ListProofViews, messages.ListProofViewsRequest(application_id=it)
        ),
        "RemoveProof": lambda: stranger.call(
            service.RemoveProof, messages.RemoveProofRequest(application_id=it, proof_id=proof.proof_id)
        ),
        "GiveConsent": lambda: stranger.call(service.GiveConsent, messages.GiveConsentRequest(application_id=it)),
        "SubmitApplication": lambda: stranger.submit(it),
        "WithdrawApplication": lambda: stranger.call(
            service.WithdrawApplication, messages.WithdrawApplicationRequest(application_id=it)
        ),
        "ListApplications": lambda: stranger.call(
            service.ListApplications, messages.ListApplicationsRequest(psn_no=pair.payer.psn_no)
        ),
        "GetApplication": lambda: stranger.application(it),
        "ListHistory": lambda: stranger.call(
            service.ListHistory, messages.ApplicationServiceListHistoryRequest(application_id=it)
        ),
    }
    of_everybody = {"GetPledge"}
    assert set(calls) | of_everybody == set(messages.DESCRIPTOR.services_by_name["ApplicationService"].methods_by_name)
    for name, call in calls.items():
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call()
        assert reason_of(refused.value) == "FORBIDDEN", name
    seen = await pair.portal.application(it)
    assert (seen.state, len(seen.proofs)) == (messages.APPLICATION_STATE_DRAFT, 1)


async def downloaded(portal: Portal, application_id: str, proof_id: str) -> bytes:
    request = messages.DownloadProofRequest(application_id=application_id, proof_id=proof_id)
    metadata = portal._metadata(type(request))
    answer = portal.applications.DownloadProof(request, timeout=10, metadata=metadata)
    return b"".join([part.chunk async for part in answer])
