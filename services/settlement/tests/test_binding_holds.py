"""Asking binding what it holds, over a real channel."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import grpc
import pytest

from gongji.binding.v1 import authorization_pb2 as pb2
from gongji.binding.v1 import authorization_pb2_grpc
from kit.timestamps import timestamp
from settlement.binding_holds import PAGE_HOLDS, BindingSilentError, HoldsClient, captured_pages, held_pages
from settlement.domain.holds import Hold, HoldState
from settlement.testing import TEN_O_CLOCK

RELATION = UUID(int=7)


class Binding(authorization_pb2_grpc.AuthorizationServiceServicer):
    """Has records in two pages, or says no."""

    def __init__(self) -> None:
        self.asked: list[pb2.ListHeldRequest] = []
        self.records = [record(1), record(2), record(3)]
        self.captures = [record(number) for number in range(3, 8)]
        self.refuse: grpc.StatusCode | None = None

    async def ListHeld(self, request: pb2.ListHeldRequest, context: Any) -> pb2.ListHeldResponse:  # noqa: N802
        self.asked.append(request)
        if self.refuse:
            await context.abort(self.refuse, "no")
        if request.page_token:
            return pb2.ListHeldResponse(authorizations=self.records[2:])
        return pb2.ListHeldResponse(authorizations=self.records[:2], next_page_token="second")

    async def ListCaptured(  # noqa: N802
        self, request: pb2.ListCapturedRequest, context: Any
    ) -> pb2.ListCapturedResponse:
        if self.refuse:
            await context.abort(self.refuse, "no")
        found = [each for each in self.captures if each.authorization_id >= request.from_authorization_id]
        assert request.page_size == PAGE_HOLDS
        next_id = found[2].authorization_id if len(found) > 2 else ""
        return pb2.ListCapturedResponse(authorizations=found[:2], next_authorization_id=next_id)

    async def GetAuthorizations(  # noqa: N802
        self, request: pb2.GetAuthorizationsRequest, context: Any
    ) -> pb2.GetAuthorizationsResponse:
        if self.refuse:
            await context.abort(self.refuse, "no")
        wanted = set(request.authorization_ids)
        return pb2.GetAuthorizationsResponse(
            authorizations=[each for each in self.records if each.authorization_id in wanted]
        )

    async def Authorize(self, _request: pb2.AuthorizeRequest, _context: Any) -> pb2.AuthorizeResponse:  # noqa: N802
        raise AssertionError("whoever reconciles holds asks for none")

    async def PreviewAuthorization(  # noqa: N802
        self, _request: pb2.PreviewAuthorizationRequest, _context: Any
    ) -> pb2.PreviewAuthorizationResponse:
        raise AssertionError("whoever reconciles holds previews none")


def record(number: int) -> pb2.AuthorizationRecord:
    return pb2.AuthorizationRecord(
        authorization_id=str(UUID(int=number)),
        state=pb2.AUTHORIZATION_STATE_HELD if number < 3 else pb2.AUTHORIZATION_STATE_CAPTURED,
        beneficiary_psn_no="child",
        occurred_at=timestamp(TEN_O_CLOCK),
        created_at=timestamp(TEN_O_CLOCK + timedelta(seconds=number)),
        lines=[pb2.ChargedLine(relation_id=str(RELATION), **{"held_fen" if number < 3 else "used_fen": 100 * number})],
    )


@pytest.fixture
def binding() -> Binding:
    return Binding()


@pytest.fixture
async def client(binding: Binding) -> AsyncIterator[HoldsClient]:
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    authorization_pb2_grpc.add_AuthorizationServiceServicer_to_server(binding, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    client = HoldsClient(lambda: grpc.aio.insecure_channel(f"127.0.0.1:{port}"), timeout_seconds=5)
    await client.open()
    yield client
    await client.close()
    await server.stop(None)


async def test_all_pages_of_what_is_held_are_read(client: HoldsClient, binding: Binding) -> None:
    pages = [page async for page in held_pages(client, 3600)]
    assert [[hold.authorization_id.int for hold in page] for page in pages] == [[1, 2], [3]]
    assert [(each.min_age_seconds, each.page_size, each.page_token) for each in binding.asked] == [
        (3600, PAGE_HOLDS, ""),
        (3600, PAGE_HOLDS, "second"),
    ]


async def test_all_pages_of_what_is_captured_are_read_from_an_id_on(client: HoldsClient) -> None:
    pages = [page async for page in captured_pages(client, UUID(int=4))]
    assert [[hold.authorization_id.int for hold in page] for page in pages] == [[4, 5], [6, 7]]
    assert pages[0][0].charged == {RELATION: 400}
    assert [list(page) async for page in captured_pages(client, UUID(int=9))] == [[]]


async def test_an_authorization_is_read_whole(client: HoldsClient) -> None:
    found = await client.find([UUID(int=2), UUID(int=3), UUID(int=9)])
    since = TEN_O_CLOCK + timedelta(seconds=2)
    assert found[UUID(int=2)] == Hold(UUID(int=2), HoldState.HELD, "child", TEN_O_CLOCK, since, {RELATION: 200})
    assert (found[UUID(int=3)].state, found[UUID(int=3)].charged) == (HoldState.CAPTURED, {RELATION: 300})
    assert found.keys() == {UUID(int=2), UUID(int=3)}
    assert await client.find([]) == {}


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.PERMISSION_DENIED])
async def test_no_answer_is_said_in_a_sentence(client: HoldsClient, binding: Binding, code: grpc.StatusCode) -> None:
    binding.refuse = code
    for asked in (client.held(0), client.captured(UUID(int=1)), client.find([UUID(int=1)])):
        with pytest.raises(BindingSilentError, match=code.name):
            await asked
