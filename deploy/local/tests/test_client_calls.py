"""How a caller's requests travel: with a deadline, on one's own channel, with a new assertion for each call."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field

import grpc
import pytest
from grpc import aio
from grpc_status import rpc_status

from gongji.settlement.v1 import settlement_pb2 as settlement
from gongji_local.client.connections import TIMEOUT_SECONDS, Caller, CallRecord, Connections, reason_of
from gongji_local.client.paging import EndlessPagesError, gathered
from kit.errors import Refusal, to_rpc_status
from kit.grpc_client import TlsFiles


@dataclass(frozen=True, slots=True)
class Address:
    grpc_address: str = "127.0.0.1:7103"


@dataclass(frozen=True, slots=True)
class Info:
    services: dict[str, Address] = field(default_factory=lambda: {"settlement": Address()})


class FakeStack:
    """Answers what a client asks of a stack, and remembers the assertions it made."""

    def __init__(self) -> None:
        self.info = Info()
        self.asserted: list[tuple[str, tuple[str, ...], str]] = []

    def institution_tls(self, fixmedins_code: str) -> TlsFiles:
        raise AssertionError(f"no channel is opened here, also not for {fixmedins_code}")

    def service_tls(self, name: str) -> TlsFiles:
        raise AssertionError(f"no channel is opened here, also not for {name}")

    def assertion(
        self,
        subject: str,
        *,
        roles: tuple[str, ...],
        audience: str,
        consent: Mapping[str, str] | None = None,
        psn_no: str = "",
    ) -> str:
        assert consent is None
        assert psn_no == ""
        self.asserted.append((subject, roles, audience))
        return f"assertion {len(self.asserted)}"

    def code_of(self, verification_id: str) -> str:
        raise AssertionError(f"nobody registers here, also not by {verification_id}")


class FakeMethod:
    """A method of a stub: remembers how it was called, answers or refuses."""

    def __init__(self, refusal: aio.AioRpcError | None = None) -> None:
        self.refusal = refusal
        self.calls: list[tuple[float, Sequence[tuple[str, str]]]] = []

    async def __call__(
        self,
        _request: object,
        *,
        timeout: float,  # noqa: ASYNC109 - gRPC names it so
        metadata: Sequence[tuple[str, str]],
        wait_for_ready: bool,
    ) -> settlement.SettleResponse:
        assert wait_for_ready  # a service that is being started again is no failure yet
        self.calls.append((timeout, metadata))
        if self.refusal:
            raise self.refusal
        return settlement.SettleResponse()


def refused(reason: str) -> aio.AioRpcError:
    status = to_rpc_status(Refusal(reason))
    details = rpc_status.to_status(status)
    trailing = aio.Metadata(*details.trailing_metadata)
    return aio.AioRpcError(details.code, aio.Metadata(), trailing, details.details)


def caller(stack: FakeStack, seen: list[CallRecord], subject: str = "") -> Caller:
    return Caller(
        Connections(stack, seen.append),
        title="HIS",
        principal="institution/H65270100001",
        subject=subject,
        roles=("citizen",),
    )


async def test_every_call_has_a_deadline() -> None:
    method = FakeMethod()
    his = caller(FakeStack(), [])
    await his.call(method, settlement.SettleRequest())  # type: ignore[arg-type]
    await his.call(method, settlement.SettleRequest(), timeout_seconds=2.5)  # type: ignore[arg-type]
    assert [timeout for timeout, _ in method.calls] == [TIMEOUT_SECONDS, 2.5]


async def test_a_stream_has_a_deadline_too() -> None:
    async def requests() -> AsyncIterator[settlement.SettleRequest]:
        yield settlement.SettleRequest()

    method = FakeMethod()
    await caller(FakeStack(), []).stream(method, settlement.SettleRequest, requests())  # type: ignore[arg-type]
    assert [timeout for timeout, _ in method.calls] == [TIMEOUT_SECONDS]


async def test_a_person_is_asserted_anew_for_each_call_towards_the_service_that_is_called() -> None:
    stack, method = FakeStack(), FakeMethod()
    portal = caller(stack, [], subject="psn:1")
    await portal.call(method, settlement.SettleRequest())  # type: ignore[arg-type]
    await portal.call(method, settlement.SettleRequest())  # type: ignore[arg-type]
    assert stack.asserted == [("psn:1", ("citizen",), "settlement")] * 2
    assert [dict(metadata)["x-gongji-assertion"] for _, metadata in method.calls] == ["assertion 1", "assertion 2"]


async def test_a_system_asserts_nobody() -> None:
    stack, method = FakeStack(), FakeMethod()
    await caller(stack, []).call(method, settlement.SettleRequest())  # type: ignore[arg-type]
    assert stack.asserted == []
    assert method.calls[0][1] == ()


async def test_an_onlooker_sees_who_called_what() -> None:
    seen: list[CallRecord] = []
    await caller(FakeStack(), seen).call(FakeMethod(), settlement.SettleRequest())  # type: ignore[arg-type]
    assert [(call.caller, call.service, call.method, call.refusal) for call in seen] == [
        ("HIS", "settlement", "Settle", None)
    ]


async def test_an_onlooker_sees_what_a_call_was_refused_for() -> None:
    seen: list[CallRecord] = []
    with pytest.raises(aio.AioRpcError) as caught:
        await caller(FakeStack(), seen).call(
            FakeMethod(refused("MSGID_REUSED")),  # type: ignore[arg-type]
            settlement.SettleRequest(),
        )
    assert reason_of(caught.value) == "MSGID_REUSED"
    assert [call.refusal for call in seen] == ["MSGID_REUSED"]


def test_an_error_that_is_no_refusal_has_no_reason() -> None:
    assert reason_of(grpc.RpcError()) is None


async def test_a_list_is_gathered_from_all_its_pages() -> None:
    pages = {"": (["a", "b"], "2"), "2": (["c"], "")}

    async def page(token: str) -> tuple[list[str], str]:
        return pages[token]

    assert await gathered(page) == ["a", "b", "c"]


async def test_a_list_that_never_ends_is_an_error() -> None:
    async def page(_token: str) -> tuple[list[str], str]:
        return ["again"], "same"

    with pytest.raises(EndlessPagesError):
        await gathered(page)
