"""A portal that sends again gets the same answer and the effect once; assertions are good for one writing call."""

import asyncio
import os
import signal
import uuid
from collections.abc import Awaitable
from datetime import timedelta

import asyncpg
import grpc
import pytest
from support.families import Families, Family

from gongji.binding.v1 import relation_pb2, relation_pb2_grpc
from gongji_local.client import reason_of
from gongji_local.stack import Stack
from kit.grpc_client import secure_channel
from kit.grpc_headers import ASSERTION


def limits_of(family: Family, day_fen: int) -> relation_pb2.ChangeLimitsRequest:
    return relation_pb2.ChangeLimitsRequest(
        relation_id=family.relation_id("father", "child"),
        limits=relation_pb2.Limits(day_fen=day_fen),
        request_id=str(uuid.uuid4()),
    )


async def refusal(call: Awaitable[object]) -> str | None:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return reason_of(error)
    return None


async def events_of(stack: Stack, relation_id: str, kind: str) -> int:
    connection = await asyncpg.connect(stack.info.database_url("binding"))
    try:
        count: int = await connection.fetchval(
            "SELECT count(*) FROM outbox_event WHERE key = $1 AND type LIKE '%' || $2", relation_id, kind
        )
    finally:
        await connection.close()
    return count


async def test_a_late_repeat_gets_its_former_answer_and_undoes_nothing(families: Families, stack: Stack) -> None:
    family = await families.make({"father": 10_000})
    portal = family.world.portal("father")
    first, second = limits_of(family, 100), limits_of(family, 200)
    stub: relation_pb2_grpc.RelationServiceAsyncStub = portal.relation_service
    answer = await portal.call(stub.ChangeLimits, first)
    await portal.call(stub.ChangeLimits, second)
    assert await portal.call(stub.ChangeLimits, first) == answer
    assert (await portal.relation(first.relation_id)).limits.day_fen == 200
    assert await events_of(stack, first.relation_id, "RelationChanged") == 2


async def test_another_body_under_the_id_is_refused_and_changes_nothing(families: Families) -> None:
    family = await families.make({"father": 10_000})
    portal = family.world.portal("father")
    request = limits_of(family, 100)
    await portal.call(portal.relation_service.ChangeLimits, request)
    request.limits.day_fen = 300
    assert await refusal(portal.call(portal.relation_service.ChangeLimits, request)) == "REQUEST_ID_REUSED"
    assert (await portal.relation(request.relation_id)).limits.day_fen == 100


async def test_of_many_at_once_one_has_the_effect(families: Families, stack: Stack) -> None:
    family = await families.make({"father": 10_000})
    portal = family.world.portal("father")
    request = limits_of(family, 100)
    calls = (portal.call(portal.relation_service.ChangeLimits, request) for _ in range(8))
    answers = await asyncio.gather(*calls)
    assert all(answer == answers[0] for answer in answers)
    assert await events_of(stack, request.relation_id, "RelationChanged") == 1


async def test_a_repeat_after_the_service_was_killed_gets_the_answer_that_was_given(
    families: Families, stack: Stack
) -> None:
    family = await families.make({"father": 10_000})
    portal = family.world.portal("father")
    request = limits_of(family, 100)
    answer = await portal.call(portal.relation_service.ChangeLimits, request)
    pid = stack.info.services["binding"].pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    await asyncio.to_thread(stack.up)
    assert await portal.call(portal.relation_service.ChangeLimits, request) == answer
    assert await events_of(stack, request.relation_id, "RelationChanged") == 1


@pytest.mark.parametrize("case", ["used", "forged", "expired", "for another service", "of another person"])
async def test_an_assertion_that_is_not_this_callers_for_this_call_writes_nothing(
    families: Families, stack: Stack, case: str
) -> None:
    family = await families.make({"father": 10_000})
    portal = family.world.portal("father")
    before = await portal.relation(family.relation_id("father", "child"))
    async with secure_channel(stack.info.services["binding"].grpc_address, stack.service_tls("portal")) as channel:
        stub: relation_pb2_grpc.RelationServiceAsyncStub = relation_pb2_grpc.RelationServiceStub(channel)
        father = f"psn:{family.psn_no('father')}"
        assertion = stack.assertion(father, audience="binding")
        if case == "used":
            kept = limits_of(family, 100)
            await stub.ChangeLimits(kept, timeout=15, metadata=((ASSERTION, assertion),))
            await stub.ChangeLimits(kept, timeout=15, metadata=((ASSERTION, assertion),))  # a repeat is no new write
            before = await portal.relation(before.relation_id)
        elif case == "forged":
            head, claims, mac = assertion.split(".")
            assertion = ".".join((head, claims, mac[:-4] + ("AAAA" if mac[-4:] != "AAAA" else "BBBB")))
        elif case == "expired":
            now = stack.now()
            stack.move_clock(now - timedelta(days=365))
            try:
                assertion = stack.assertion(father, audience="binding")
            finally:
                stack.move_clock(now)
        elif case == "for another service":
            assertion = stack.assertion(father, audience="settlement")
        else:
            stranger = await families.make({"father": 0})
            assertion = stack.assertion(f"psn:{stranger.psn_no('father')}", audience="binding")
        reason = await refusal(
            stub.ChangeLimits(limits_of(family, 999), timeout=15, metadata=((ASSERTION, assertion),))
        )
    assert reason == ("FORBIDDEN" if case == "of another person" else "UNAUTHENTICATED")
    assert await portal.relation(before.relation_id) == before
