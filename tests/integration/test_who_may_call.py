"""Certificates decide who calls: none, a foreign one, another institution's; and people need assertions."""

import tempfile
from pathlib import Path

import grpc
import pytest
from support.families import Families
from support.refusals import refusal

from gongji.binding.v1 import authorization_pb2, authorization_pb2_grpc
from gongji.settlement.v1 import settlement_pb2, settlement_pb2_grpc
from gongji_local.client import Caller, Connections, Portal, reason_of
from gongji_local.stack import Stack
from kit.grpc_client import TlsFiles, secure_channel


async def ask(channel: grpc.aio.Channel, fixmedins_code: str) -> grpc.aio.AioRpcError:
    stub: settlement_pb2_grpc.SettlementServiceAsyncStub = settlement_pb2_grpc.SettlementServiceStub(channel)
    request = settlement_pb2.GetSettlementRequest(
        fixmedins_code=fixmedins_code, msgid=f"{fixmedins_code}202506101000000001"
    )
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.GetSettlement(request, timeout=30)
    return refused.value


async def test_without_a_certificate_nobody_is_listened_to(stack: Stack) -> None:
    address = stack.info.services["settlement"].grpc_address
    ca = stack.service_tls("portal").ca.read_bytes()
    async with grpc.aio.secure_channel(address, grpc.ssl_channel_credentials(ca)) as channel:
        assert (await ask(channel, "H65270100001")).code() == grpc.StatusCode.UNAVAILABLE


async def test_without_tls_nobody_is_listened_to(stack: Stack) -> None:
    async with grpc.aio.insecure_channel(stack.info.services["settlement"].grpc_address) as channel:
        assert (await ask(channel, "H65270100001")).code() == grpc.StatusCode.UNAVAILABLE


async def test_a_certificate_of_another_stack_is_not_believed(stack: Stack) -> None:
    with tempfile.TemporaryDirectory() as folder:
        foreign = Stack(Path(folder) / "state").institution_tls("H65270100001")
        tls = TlsFiles(foreign.cert, foreign.key, stack.service_tls("portal").ca)
        async with secure_channel(stack.info.services["settlement"].grpc_address, tls) as channel:
            assert (await ask(channel, "H65270100001")).code() == grpc.StatusCode.UNAVAILABLE


async def test_a_hospital_cannot_speak_for_another(families: Families) -> None:
    family = await families.make({"father": 10_000})
    request = await family.request("child", 1_000)
    pharmacy = family.world.hospitals["pharmacy"]
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await pharmacy.settle(request)
    assert reason_of(refused.value) == "FORBIDDEN_INSTITUTION"
    assert await family.balance("father") == 10_000


async def test_a_hospital_sees_and_reverses_its_own_settlements_only(families: Families) -> None:
    family = await families.make({"father": 10_000})
    settled = await family.settle("child", 1_000)
    pharmacy, now = family.world.hospitals["pharmacy"], family.world.stack.now()
    with pytest.raises(grpc.aio.AioRpcError) as unseen:
        await pharmacy.settlement_by_setl_id(settled.setl_id)
    with pytest.raises(grpc.aio.AioRpcError) as untouched:
        await pharmacy.reverse_by_setl_id(settled.setl_id, at=now)
    assert {reason_of(unseen.value), reason_of(untouched.value)} <= {"FORBIDDEN_INSTITUTION", "NOT_FOUND"}
    assert await family.balance("father") == 9_000


async def test_a_credential_of_one_hospital_is_worth_nothing_at_another(families: Families) -> None:
    family = await families.make({"father": 10_000})
    pharmacy = family.world.hospitals["pharmacy"]
    request = await family.request("child", 1_000, hospital=pharmacy)
    request.visit_credential = await family.credential("child")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await pharmacy.settle(request)
    assert reason_of(refused.value) == "CREDENTIAL_INVALID"


async def test_a_forged_credential_is_refused(families: Families) -> None:
    family = await families.make({"father": 10_000})
    request = await family.request("child", 1_000)
    key_id, payload, mac = request.visit_credential.split(".")
    request.visit_credential = ".".join((key_id, payload, mac[::-1]))
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await family.hospital.settle(request)
    assert reason_of(refused.value) == "CREDENTIAL_INVALID"


async def test_a_hospital_may_not_ask_binding_for_holds(connections: Connections) -> None:
    hospital = Caller(connections, title="HIS", principal="institution/H65270100001")
    stub: authorization_pb2_grpc.AuthorizationServiceAsyncStub = authorization_pb2_grpc.AuthorizationServiceStub(
        hospital.channel("binding")
    )
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.Authorize(authorization_pb2.AuthorizeRequest(), timeout=30)
    assert refused.value.code() == grpc.StatusCode.PERMISSION_DENIED


async def test_a_citizen_cannot_read_another_familys_account_relation_or_messages(
    families: Families, connections: Connections
) -> None:
    family, stranger = await families.make({"father": 10_000}), await families.make({"father": 0})
    curious = Portal(connections, stranger.psn_no("father"))
    relation_id = family.relation_id("father", "child")
    curious.psn_no = family.psn_no("father")  # the assertion still says who it really is
    for attempt in (curious.account, curious.entries, curious.messages, curious.relations):
        assert await refusal(attempt) in {"FORBIDDEN", "NOT_FOUND"}, attempt.__name__
    assert await refusal(lambda: curious.relation(relation_id)) in {"FORBIDDEN", "NOT_FOUND"}
