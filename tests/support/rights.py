"""Rights at a secured Kafka: looked at, taken on purpose, and given back."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient  # type: ignore[import-untyped]
from aiokafka.protocol.admin import DeleteAclsRequest  # type: ignore[import-untyped]

from kit.clock import Elapsed
from kit.kafka_acls import Acl, check_acls, ensure_acls, give, stated
from kit.kafka_client import KafkaAddress, client_options, started
from kit.topics import catalogue

KINDS = {"topic": 2, "group": 3}
OPERATIONS = {"Read": 3, "Write": 4, "Describe": 8}
LITERAL, EVERY_HOST, ALLOW = 3, "*", 3
WAIT_SECONDS = 60.0


@asynccontextmanager
async def without(admin: KafkaAddress, *acls: Acl) -> AsyncIterator[None]:
    """These rights are taken; at the end everybody has what is stated, whatever happened meanwhile."""
    try:
        await _take(admin, acls)
        yield
    finally:
        await ensure_acls(admin)


async def given(admin: KafkaAddress, *acls: Acl) -> None:
    """Somebody gives rights that no file states."""
    client = await started(lambda: AIOKafkaAdminClient(**client_options(admin, "giver")))
    try:
        await give(client, acls)
        await until(lambda: _has(admin, acls))
    finally:
        await client.close()


async def taken(admin: KafkaAddress, *acls: Acl) -> None:
    """Somebody takes rights."""
    await _take(admin, acls)


async def until(found: Callable[[], Any]) -> None:
    """Until it is so; asks again for a minute at most."""
    elapsed = Elapsed()
    while not await found():
        assert elapsed.seconds < WAIT_SECONDS
        await asyncio.sleep(0.05)


async def _take(admin: KafkaAddress, acls: Sequence[Acl]) -> None:
    client = await started(lambda: AIOKafkaAdminClient(**client_options(admin, "taker")))
    try:
        for acl in acls:
            request = DeleteAclsRequest(
                KINDS[acl.kind], acl.name, LITERAL, acl.principal, EVERY_HOST, OPERATIONS[acl.operation], ALLOW
            )
            (answer,) = (await client._send_request(request)).to_object()["filter_responses"]
            assert answer["error_code"] == 0
            assert len(answer["matching_acls"]) == 1, acl
        await until(lambda: _lacks(admin, acls))
    finally:
        await client.close()


async def _lacks(admin: KafkaAddress, acls: Sequence[Acl]) -> bool:
    compared, wanted = await check_acls(admin), stated(catalogue())
    return all(acl in compared.missing if acl in wanted else acl not in compared.unstated for acl in acls)


async def _has(admin: KafkaAddress, acls: Sequence[Acl]) -> bool:
    return set(acls) <= set((await check_acls(admin)).unstated)
