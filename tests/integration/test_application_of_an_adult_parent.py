"""For a parent the parent's own, signed consent is needed; a consent to something else is none."""

import asyncio
from datetime import date

import grpc
import pytest
from support.applying import household_register, make_pair

from gongji.binding.v1 import application_pb2, relation_pb2
from gongji_local.client import Clerk, Connections, reason_of
from gongji_local.stack import Stack


async def test_an_adult_parent_consents_and_is_bound(stack: Stack, connections: Connections) -> None:
    pair = await make_pair(stack, connections, date(1956, 1, 8))
    application_id = await pair.portal.create_application(pair.request(relation_pb2.RELATIONSHIP_PARENT))
    await pair.portal.upload_proof(application_id, household_register())
    with pytest.raises(grpc.aio.AioRpcError) as early:
        await pair.portal.submit(application_id)
    assert reason_of(early.value) == "CONSENT_MISSING"

    give = application_pb2.GiveConsentRequest(application_id=application_id)
    parent = pair.others_portal
    for signed, reason in (
        (None, "CONSENT_UNSIGNED"),
        ({"application_id": application_id, "pledge_sha256": "0" * 64}, "CONSENT_UNSIGNED"),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await parent.call(parent.applications.GiveConsent, give, consent=signed)
        assert reason_of(refused.value) == reason
    await parent.give_consent(application_id)
    await pair.portal.submit(application_id)
    await Clerk(connections, "wang").claim(application_id)
    approved = await Clerk(connections, "li").approve(application_id)
    assert (await parent.relation(approved.relation_id)).relationship == relation_pb2.RELATIONSHIP_PARENT

    await asyncio.to_thread(stack.quiesce, 120.0)
    assert "家人已同意共济申请" in {message.title for message in await pair.portal.messages()}
