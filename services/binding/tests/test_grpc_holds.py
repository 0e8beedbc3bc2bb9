"""Authorizations as settlement asks for them: real gRPC with certificates."""

from datetime import timedelta

from binding.testing import CHILD, FATHER, MOTHER, NOON, named
from binding.testing_served import TIMEOUT_SECONDS, Binding, ask, fields_refused, refused
from gongji.binding.v1 import (
    authorization_pb2,
    authorization_pb2_grpc,
)
from gongji.common.v1 import reason_pb2
from kit.timestamps import timestamp


async def test_refusals_of_one_request_are_told_in_its_place(binding: Binding) -> None:
    binding.clock.advance(timedelta(minutes=11))
    young = {"requested_at": timestamp(binding.clock.now())}
    asked = authorization_pb2.AuthorizeRequest(
        requests=[ask("a", 1), ask("b", 1, beneficiary_psn_no=MOTHER, **young), ask("b", 1, **young)]
    )
    results = (await binding.authorizations.Authorize(asked, timeout=TIMEOUT_SECONDS)).results
    assert [reason_pb2.Reason.Name(result.refusal) for result in results] == [
        "REASON_REQUEST_TOO_OLD",
        "REASON_UNSPECIFIED",
        "REASON_INVALID_FIELDS",
    ]


async def test_what_is_held_is_told_in_pages_and_by_id(binding: Binding) -> None:
    relation_id = await binding.approved()
    for name in ("a", "b", "c"):
        asked = authorization_pb2.AuthorizeRequest(requests=[ask(name, 100)])
        await binding.authorizations.Authorize(asked, timeout=TIMEOUT_SECONDS)
    first = await held(binding, "")
    second = await held(binding, first.next_page_token)
    told = [*first.authorizations, *second.authorizations]
    assert [it.authorization_id for it in told] == [str(named(name)) for name in ("a", "b", "c")]
    assert [len(first.authorizations), second.next_page_token] == [2, ""]
    assert told[0].state == authorization_pb2.AUTHORIZATION_STATE_HELD
    assert (told[0].beneficiary_psn_no, told[0].occurred_at) == (CHILD, timestamp(NOON))
    assert list(told[0].lines) == [authorization_pb2.ChargedLine(relation_id=relation_id, held_fen=100)]

    wanted = authorization_pb2.GetAuthorizationsRequest(authorization_ids=[str(named("c")), str(named("unknown"))])
    found = await binding.authorizations.GetAuthorizations(wanted, timeout=TIMEOUT_SECONDS)
    assert list(found.authorizations) == [told[2]]


async def held(binding: Binding, page_token: str) -> authorization_pb2.ListHeldResponse:
    request = authorization_pb2.ListHeldRequest(page_size=2, page_token=page_token)
    return await binding.authorizations.ListHeld(request, timeout=TIMEOUT_SECONDS)


async def test_what_is_captured_is_told_in_pages_by_id(binding: Binding) -> None:
    relation_id = await binding.approved()
    ids = sorted(str(named(name)) for name in ("a", "b", "c"))
    for each in ids:
        line = authorization_pb2.OutcomeLine(relation_id=relation_id, amount_fen=70)
        outcome = authorization_pb2.Outcome(
            authorization_id=each,
            state=authorization_pb2.OUTCOME_STATE_CAPTURED,
            lines=[line],
            occurred_at=timestamp(NOON),
        )
        asked = authorization_pb2.AuthorizeRequest(requests=[ask(f"later {each}", 1, outcomes=[outcome])])
        await binding.authorizations.Authorize(asked, timeout=TIMEOUT_SECONDS)
    first = await captured_from(binding, ids[0])
    assert [it.authorization_id for it in first.authorizations] == ids[:2]
    assert first.next_authorization_id == ids[2]
    assert list(first.authorizations[0].lines) == [authorization_pb2.ChargedLine(relation_id=relation_id, used_fen=70)]
    second = await captured_from(binding, first.next_authorization_id)
    assert [it.authorization_id for it in second.authorizations] == ids[2:]
    assert second.next_authorization_id == ""
    assert await fields_refused(captured_from(binding, "first")) == {"from_authorization_id"}


async def captured_from(binding: Binding, authorization_id: str) -> authorization_pb2.ListCapturedResponse:
    request = authorization_pb2.ListCapturedRequest(from_authorization_id=authorization_id, page_size=2)
    return await binding.authorizations.ListCaptured(request, timeout=TIMEOUT_SECONDS)


async def test_a_page_token_that_is_none_of_ours_is_refused(binding: Binding) -> None:
    assert await fields_refused(held(binding, "nonsense")) == {"page_token"}


async def test_only_settlement_asks_for_holds(binding: Binding) -> None:
    stub = authorization_pb2_grpc.AuthorizationServiceStub(binding.portal)
    asked = authorization_pb2.AuthorizeRequest(requests=[ask("a", 1)])
    assert await refused(stub.Authorize(asked, timeout=TIMEOUT_SECONDS)) == "FORBIDDEN"
    assert await refused(stub.Authorize(asked, **binding.citizen(FATHER))) == "FORBIDDEN"
    listed = authorization_pb2.ListHeldRequest(page_size=1)
    wanted = authorization_pb2.GetAuthorizationsRequest(authorization_ids=[str(named("a"))])
    captured = authorization_pb2.ListCapturedRequest(from_authorization_id=str(named("a")), page_size=1)
    for who in ({"timeout": TIMEOUT_SECONDS}, binding.citizen(FATHER), binding.person("clerk:root", "operator")):
        assert await refused(stub.ListHeld(listed, **who)) == "FORBIDDEN"
        assert await refused(stub.ListCaptured(captured, **who)) == "FORBIDDEN"
    for who in ({"timeout": TIMEOUT_SECONDS}, binding.citizen(FATHER), binding.person("clerk:root", "operator")):
        assert await refused(stub.GetAuthorizations(wanted, **who)) == "FORBIDDEN"
