"""Asking binding what it holds and how authorizations stand: for reconciling and for the audit."""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Final, Protocol, TypeVar
from uuid import UUID

import grpc

from gongji.binding.v1 import authorization_pb2 as pb2
from gongji.binding.v1 import authorization_pb2_grpc
from kit.failures import OperatorError
from kit.grpc_client import TlsFiles, call, secure_channel
from settlement.binding_client import IDEMPOTENT
from settlement.domain.holds import Hold, HoldState

A = TypeVar("A")

PAGE_HOLDS: Final = 500
"""Also the most ids that one call may name, by the contract."""


class BindingSilentError(OperatorError):
    """Binding could not be asked what it holds."""

    afterwards = "Nothing was changed: run the same again once binding serves."


@dataclass(frozen=True, slots=True)
class HeldPage:
    """Some of what is held."""

    holds: Sequence[Hold]
    next_token: str
    """For the next page; empty when this is the last."""


@dataclass(frozen=True, slots=True)
class CapturedPage:
    """Some of what is captured."""

    holds: Sequence[Hold]
    next_id: UUID | None
    """Where the next page begins; None when this is the last."""


class HoldsAtBinding(Protocol):
    """Who says what is held."""

    async def held(self, min_age_seconds: int, token: str = "") -> HeldPage:
        """What has been HELD for so long in real time, the longest first, a page of PAGE_HOLDS at most.

        Raises:
            BindingSilentError: there is no answer.
        """
        ...

    async def captured(self, first: UUID) -> CapturedPage:
        """What is CAPTURED, by id from one on, a page of PAGE_HOLDS at most.

        Raises:
            BindingSilentError: there is no answer.
        """
        ...

    async def find(self, ids: Collection[UUID]) -> dict[UUID, Hold]:
        """The authorizations of at most PAGE_HOLDS ids, those that there are.

        Raises:
            BindingSilentError: there is no answer.
        """
        ...


async def held_pages(binding: HoldsAtBinding, min_age_seconds: int) -> AsyncIterator[Sequence[Hold]]:
    """All that has been HELD for so long, a page at a time."""
    page = await binding.held(min_age_seconds)
    yield page.holds
    while page.next_token:
        page = await binding.held(min_age_seconds, page.next_token)
        yield page.holds


async def captured_pages(binding: HoldsAtBinding, first: UUID) -> AsyncIterator[Sequence[Hold]]:
    """All that is CAPTURED from an id on, a page at a time."""
    next_id: UUID | None = first
    while next_id is not None:
        page = await binding.captured(next_id)
        yield page.holds
        next_id = page.next_id


class HoldsClient:
    """`HoldsAtBinding` over gRPC."""

    def __init__(self, open_channel: Callable[[], grpc.aio.Channel], timeout_seconds: float) -> None:
        self._open_channel = open_channel
        self._timeout_seconds = timeout_seconds
        self._channel: grpc.aio.Channel | None = None

    @classmethod
    def to(cls, target: str, tls: TlsFiles, timeout_seconds: float) -> "HoldsClient":
        """A client of `target`."""
        return cls(lambda: secure_channel(target, tls, idempotent=IDEMPOTENT), timeout_seconds)

    async def open(self) -> None:
        """Open the channel; a channel belongs to the event loop that it is opened on."""
        self._channel = self._open_channel()
        self._stub: authorization_pb2_grpc.AuthorizationServiceAsyncStub = (
            authorization_pb2_grpc.AuthorizationServiceStub(self._channel)
        )

    async def close(self) -> None:
        """Close the channel."""
        if self._channel is not None:
            await self._channel.close()

    async def held(self, min_age_seconds: int, token: str = "") -> HeldPage:
        """See `HoldsAtBinding.held`."""
        request = pb2.ListHeldRequest(min_age_seconds=min_age_seconds, page_size=PAGE_HOLDS, page_token=token)
        answer = await _answer(call(self._stub.ListHeld, request, self._timeout_seconds))
        return HeldPage([_hold(record) for record in answer.authorizations], answer.next_page_token)

    async def captured(self, first: UUID) -> CapturedPage:
        """See `HoldsAtBinding.captured`."""
        request = pb2.ListCapturedRequest(from_authorization_id=str(first), page_size=PAGE_HOLDS)
        answer = await _answer(call(self._stub.ListCaptured, request, self._timeout_seconds))
        next_id = UUID(answer.next_authorization_id) if answer.next_authorization_id else None
        return CapturedPage([_hold(record) for record in answer.authorizations], next_id)

    async def find(self, ids: Collection[UUID]) -> dict[UUID, Hold]:
        """See `HoldsAtBinding.find`."""
        if not ids:
            return {}
        request = pb2.GetAuthorizationsRequest(authorization_ids=[str(each) for each in ids])
        answer = await _answer(call(self._stub.GetAuthorizations, request, self._timeout_seconds))
        return {hold.authorization_id: hold for hold in map(_hold, answer.authorizations)}


async def _answer(asked: Awaitable[A]) -> A:
    try:
        return await asked
    except grpc.aio.AioRpcError as error:
        raise BindingSilentError(f"binding did not say what it holds: {error.code().name}") from error


def _hold(record: pb2.AuthorizationRecord) -> Hold:
    state = HoldState(pb2.AuthorizationState.Name(record.state).removeprefix("AUTHORIZATION_STATE_"))
    return Hold(
        authorization_id=UUID(record.authorization_id),
        state=state,
        psn_no=record.beneficiary_psn_no,
        occurred_at=record.occurred_at.ToDatetime(tzinfo=UTC),
        since=record.created_at.ToDatetime(tzinfo=UTC),
        charged={UUID(line.relation_id): line.held_fen + line.used_fen for line in record.lines},
    )
