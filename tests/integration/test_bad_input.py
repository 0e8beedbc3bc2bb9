"""Every RPC answers bad input with INVALID_ARGUMENT and the field's name, and writes nothing; from the descriptors."""

import asyncio
import importlib
from collections.abc import AsyncIterator

import asyncpg
import grpc
import protovalidate
import pytest
from support.bad_requests import FILES, Rpc, Wrong, choices, new, rpcs, valid, wrong_requests
from support.calls import call
from support.jobs import let_everything_due_be_done

from gongji_local.cases.world import OPENING
from gongji_local.stack import Stack
from kit.auth import Access
from kit.errors import reason_of, violations_of
from kit.grpc_client import TlsFiles, secure_channel

RPCS = list(rpcs())
MAY_BE_EMPTY = {f"/gongji.binding.v1.ReviewService/{name}" for name in ("ListWaiting", "CountWaiting", "ListReasons")}
MAY_BE_EMPTY |= {"/gongji.identity.v1.RegisterImportService/ListImports"}
MAY_BE_EMPTY |= {"/gongji.settlement.v1.AccountService/ListClosedRefunds"}
MAY_BE_EMPTY |= {"/gongji.binding.v1.ApplicationService/GetPledge"}
MAY_BE_EMPTY |= {
    f"/gongji.identity.v1.InstitutionService/{name}" for name in ("ListInstitutions", "ListInstitutionChanges")
}
MAY_BE_EMPTY |= {"/gongji.notify.v1.WebhookService/ListWebhooks"}
INSTITUTION = "H65270199999"
AT_ONCE = 4
"""Calls; of some streams a service takes no more."""


def access_of(rpc: Rpc) -> Access:
    access: Access = importlib.import_module(f"{rpc.service}.access").ACCESS[rpc.path]
    return access


def caller(stack: Stack, rpc: Rpc) -> tuple[TlsFiles, list[tuple[str, str]]]:
    """Certificate and metadata of somebody who may call it, so that nothing but the input is wrong."""
    access = access_of(rpc)
    if access.any_institution:
        return stack.institution_tls(INSTITUTION), []
    if access.service_names:
        return stack.service_tls(min(access.service_names)), []
    role = min(access.roles)
    subject = "psn:65270001" if role == "citizen" else "clerk:wang"
    token = stack.assertion(subject, roles=(role,), audience=rpc.service)
    return stack.service_tls("portal"), [("x-gongji-assertion", token)]


async def rows_of_every_table(stack: Stack) -> dict[str, dict[str, int]]:
    return dict(zip(FILES, await asyncio.gather(*(rows_of(stack, service) for service in FILES)), strict=True))


async def rows_of(stack: Stack, service: str) -> dict[str, int]:
    connection = await asyncpg.connect(stack.info.database_url(service))
    try:
        tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        each = [f"SELECT '{name}' AS name, count(*) AS rows FROM \"{name}\"" for (name,) in tables]  # noqa: S608
        return {row["name"]: row["rows"] for row in await connection.fetch(" UNION ALL ".join(each))}
    finally:
        await connection.close()


@pytest.fixture(scope="module", autouse=True)
def _nothing_under_way(stack: Stack) -> None:
    """What earlier scenarios set off is done before rows are counted, or it would count as written by bad input."""
    stack.move_clock(OPENING)
    let_everything_due_be_done(stack)


@pytest.fixture
async def channel(stack: Stack, rpc: Rpc) -> AsyncIterator[grpc.aio.Channel]:
    tls, _ = caller(stack, rpc)
    async with secure_channel(stack.info.services[rpc.service].grpc_address, tls) as opened:
        yield opened


async def answer(
    channel: grpc.aio.Channel, rpc: Rpc, raw: bytes, metadata: list[tuple[str, str]]
) -> grpc.aio.AioRpcError:
    """The error that these bytes are answered with."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(channel, rpc, raw, metadata)
    return caught.value


def test_the_valid_request_that_is_spoilt_here_is_valid() -> None:
    for rpc in RPCS:
        for choice in range(choices(rpc.request_type)):
            assert protovalidate.collect_violations(valid(rpc.request_type, choice)) == [], rpc.path


@pytest.mark.parametrize("rpc", RPCS, ids=lambda rpc: rpc.path.removeprefix("/gongji."))
async def test_bad_input_is_answered_with_the_field_and_writes_nothing(
    stack: Stack, rpc: Rpc, channel: grpc.aio.Channel
) -> None:
    _, metadata = caller(stack, rpc)
    before = await rows_of_every_table(stack)
    wrong = list(wrong_requests(rpc.request_type))
    if rpc.path not in MAY_BE_EMPTY:
        wrong.append(Wrong("empty", "", new(rpc.request_type).SerializeToString()))
    wrong.append(Wrong("not protobuf", "", b"\xff\xff\xff\xff"))
    assert len(wrong) > 2
    room = asyncio.Semaphore(AT_ONCE)

    async def problem(case: Wrong) -> str:
        async with room:
            error = await answer(channel, rpc, case.raw, metadata)
        named = [violation.field for violation in violations_of(error)]
        if error.code() != grpc.StatusCode.INVALID_ARGUMENT or reason_of(error) != "INVALID_FIELDS":
            return f"{case.what} {case.path}: {error.code()} {error.details()}"
        return "" if any(field.startswith(case.path) for field in named) else f"{case.what} {case.path}: names {named}"

    problems = await asyncio.gather(*map(problem, wrong))
    assert [each for each in problems if each] == []
    assert await rows_of_every_table(stack) == before


@pytest.mark.parametrize("rpc", RPCS, ids=lambda rpc: rpc.path.removeprefix("/gongji."))
async def test_a_message_beyond_the_size_limit_is_refused(stack: Stack, rpc: Rpc, channel: grpc.aio.Channel) -> None:
    _, metadata = caller(stack, rpc)
    error = await answer(channel, rpc, b"\x0a" + b"\xff" * (5 * 1024 * 1024), metadata)
    assert error.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED)
