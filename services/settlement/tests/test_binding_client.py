"""Asking binding over a real channel: what is sent, what is believed, and what becomes of calls that fail."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import grpc
import pytest

from gongji.binding.v1 import authorization_pb2 as pb2
from gongji.binding.v1 import authorization_pb2_grpc, relation_pb2
from gongji.common.v1 import reason_pb2
from kit.ids import uuid7
from settlement.binding_client import MAX_REQUESTS, Ask, BindingClient, BindingUnavailableError, NoGrant
from settlement.domain.allocate import Grant
from settlement.domain.decided import Decided, Paid
from settlement.domain.state import SettlementState
from settlement.testing import TEN_O_CLOCK

RELATION = UUID(int=7)
Respond = Callable[[pb2.AuthorizationRequest], pb2.AuthorizationResult]


class Binding(authorization_pb2_grpc.AuthorizationServiceServicer):
    """Answers as the test says, and remembers what it was asked."""

    def __init__(self) -> None:
        self.calls: list[pb2.AuthorizeRequest] = []
        self.previews: list[pb2.PreviewAuthorizationRequest] = []
        self.respond: Respond = lambda request: granted(request, request.amount_fen)
        self.refuse: Callable[[pb2.AuthorizeRequest], grpc.StatusCode | None] = lambda _: None

    async def Authorize(self, request: pb2.AuthorizeRequest, context: Any) -> pb2.AuthorizeResponse:  # noqa: N802
        self.calls.append(request)
        if code := self.refuse(request):
            await context.abort(code, "no")
        return pb2.AuthorizeResponse(results=[self.respond(each) for each in request.requests])

    async def ListHeld(  # noqa: N802
        self, _request: pb2.ListHeldRequest, _context: Any
    ) -> pb2.ListHeldResponse:
        raise AssertionError("whoever asks for authorizations asks for no list of holds")

    async def ListCaptured(  # noqa: N802
        self, _request: pb2.ListCapturedRequest, _context: Any
    ) -> pb2.ListCapturedResponse:
        raise AssertionError("whoever asks for authorizations asks for no list of captures")

    async def GetAuthorizations(  # noqa: N802
        self, _request: pb2.GetAuthorizationsRequest, _context: Any
    ) -> pb2.GetAuthorizationsResponse:
        raise AssertionError("whoever asks for authorizations reads none by its id")

    async def PreviewAuthorization(  # noqa: N802
        self, request: pb2.PreviewAuthorizationRequest, context: Any
    ) -> pb2.PreviewAuthorizationResponse:
        del context
        self.previews.append(request)
        return pb2.PreviewAuthorizationResponse(results=[self.respond(each) for each in request.requests])


def granted(request: pb2.AuthorizationRequest, fen: int, **why: Any) -> pb2.AuthorizationResult:
    grant = pb2.PayerGrant(payer_psn_no="father", relation_id=str(RELATION), granted_fen=fen, **why)
    return pb2.AuthorizationResult(authorization_id=request.authorization_id, grants=[grant])


@pytest.fixture
def binding() -> Binding:
    return Binding()


@pytest.fixture
async def client(binding: Binding) -> AsyncIterator[BindingClient]:
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    authorization_pb2_grpc.add_AuthorizationServiceServicer_to_server(binding, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    client = BindingClient(lambda: grpc.aio.insecure_channel(f"127.0.0.1:{port}"), timeout_seconds=5)
    await client.open()
    yield client
    await client.close()
    await server.stop(None)


def ask(psn_no: str = "child", *recent: Decided) -> Ask:
    return Ask(uuid7(), psn_no, 9000, TEN_O_CLOCK, TEN_O_CLOCK + timedelta(seconds=1), recent)


async def test_an_ask_carries_amount_times_and_patient(client: BindingClient, binding: Binding) -> None:
    asked = ask()
    assert await client.authorize([asked]) == [(Grant("father", RELATION, 9000),)]
    (request,) = binding.calls[0].requests
    assert (request.authorization_id, request.beneficiary_psn_no) == (str(asked.settlement_id), "child")
    assert request.amount_fen == 9000
    assert request.occurred_at.ToJsonString() == "2025-06-10T02:00:00Z"
    assert request.requested_at.ToJsonString() == "2025-06-10T02:00:01Z"


async def test_a_batch_of_busy_patients_is_asked_in_parts_that_a_server_takes(
    client: BindingClient, binding: Binding
) -> None:
    paid = (Paid(RELATION, 400), Paid(UUID(int=8), 400))
    outcomes = [Decided(uuid7(), SettlementState.SETTLED, TEN_O_CLOCK, paid) for _ in range(200)]
    asks = [ask(f"child{number}", *outcomes) for number in range(200)]
    assert await client.authorize(asks) == [(Grant("father", RELATION, 9000),)] * 200
    sent = [request for call in binding.calls for request in call.requests]
    assert [request.authorization_id for request in sent] == [str(each.settlement_id) for each in asks]
    assert {len(request.outcomes) for request in sent} == {200}


@pytest.mark.parametrize(
    ("state", "outcome"),
    [
        (SettlementState.SETTLED, pb2.OUTCOME_STATE_CAPTURED),
        (SettlementState.REVERSED, pb2.OUTCOME_STATE_RESTORED),
        (SettlementState.REFUSED, pb2.OUTCOME_STATE_RELEASED),
        (SettlementState.ABANDONED, pb2.OUTCOME_STATE_RELEASED),
    ],
)
async def test_recent_outcomes_go_along_in_absolute_amounts(
    client: BindingClient, binding: Binding, state: SettlementState, outcome: int
) -> None:
    paid = state in {SettlementState.SETTLED, SettlementState.REVERSED}
    lines = (Paid(RELATION, 400),) if paid else ()
    await client.authorize([ask("child", Decided(uuid7(), state, TEN_O_CLOCK, lines))])
    (sent,) = binding.calls[0].requests[0].outcomes
    assert sent.state == outcome
    assert [(line.relation_id, line.amount_fen) for line in sent.lines] == ([(str(RELATION), 400)] if paid else [])
    assert sent.occurred_at.ToJsonString() == "2025-06-10T02:00:00Z"


async def test_a_reached_limit_is_told_with_its_window(client: BindingClient, binding: Binding) -> None:
    why = {"reason": reason_pb2.REASON_LIMIT_REACHED, "window": relation_pb2.LIMIT_WINDOW_MONTH}
    binding.respond = lambda request: granted(request, 100, **why)
    assert await client.authorize([ask()]) == [(Grant("father", RELATION, 100, "LIMIT_REACHED", "MONTH"),)]


@pytest.mark.parametrize(
    ("fen", "why"),
    [
        (9001, {}),
        (-1, {"reason": reason_pb2.REASON_PAYER_ARREARS}),
        (8999, {}),
        (9000, {"reason": reason_pb2.REASON_PAYER_ARREARS}),
        (100, {"reason": reason_pb2.REASON_LIMIT_REACHED}),
        (100, {"reason": reason_pb2.REASON_PAYER_ARREARS, "window": relation_pb2.LIMIT_WINDOW_DAY}),
    ],
)
async def test_a_grant_that_contradicts_itself_is_not_believed(
    client: BindingClient, binding: Binding, fen: int, why: dict[str, Any]
) -> None:
    binding.respond = lambda request: granted(request, fen, **why)
    assert await client.authorize([ask()]) == [NoGrant("INTERNAL")]


async def test_a_refusal_of_one_is_told_for_that_one(client: BindingClient, binding: Binding) -> None:
    def respond(request: pb2.AuthorizationRequest) -> pb2.AuthorizationResult:
        if request.beneficiary_psn_no != "baby":
            return granted(request, 9000)
        refusal = reason_pb2.REASON_REQUEST_TOO_OLD
        return pb2.AuthorizationResult(authorization_id=request.authorization_id, refusal=refusal)

    binding.respond = respond
    first, second = await client.authorize([ask("baby"), ask("child")])
    assert first == NoGrant("REQUEST_TOO_OLD")
    assert isinstance(second, tuple)


async def test_an_answer_that_is_missing_is_no_grant(client: BindingClient, binding: Binding) -> None:
    binding.respond = lambda _: pb2.AuthorizationResult(authorization_id=str(uuid7()))
    assert await client.authorize([ask()]) == [NoGrant("INTERNAL")]


async def test_more_asks_than_a_call_may_carry_go_in_several(client: BindingClient, binding: Binding) -> None:
    answers = await client.authorize([ask(f"child{number}") for number in range(MAX_REQUESTS + 1)])
    assert len(answers) == MAX_REQUESTS + 1
    assert [len(call.requests) for call in binding.calls] == [MAX_REQUESTS, 1]


@pytest.mark.parametrize(
    "code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.RESOURCE_EXHAUSTED]
)
async def test_binding_that_cannot_be_reached_is_said_to_be_away(
    client: BindingClient, binding: Binding, code: grpc.StatusCode
) -> None:
    binding.refuse = lambda _: code
    with pytest.raises(BindingUnavailableError):
        await client.authorize([ask("child"), ask("baby")])


async def test_a_call_that_is_refused_as_such_is_tried_for_each_alone(client: BindingClient, binding: Binding) -> None:
    def refuse(request: pb2.AuthorizeRequest) -> grpc.StatusCode | None:
        bad = any(each.beneficiary_psn_no == "baby" for each in request.requests)
        return grpc.StatusCode.INVALID_ARGUMENT if bad else None

    binding.refuse = refuse
    first, second, third = await client.authorize([ask("child"), ask("baby"), ask("aunt")])
    assert isinstance(first, tuple)
    assert second == NoGrant("INVALID_ARGUMENT")
    assert isinstance(third, tuple)


async def test_all_payers_are_asked_unless_one_is_named(client: BindingClient, binding: Binding) -> None:
    await client.authorize([ask("child"), replace(ask("baby"), payer_psn_no="mother")])
    assert [each.payer_psn_no for each in binding.calls[0].requests] == ["", "mother"]


async def test_a_preview_asks_without_holding(client: BindingClient, binding: Binding) -> None:
    assert await client.preview([ask()]) == [(Grant("father", RELATION, 9000),)]
    assert (len(binding.previews), len(binding.calls)) == (1, 0)
