"""Asking binding which payers may give how much. Idempotent by settlement, so that it may be asked again."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol
from uuid import UUID

import grpc

from gongji.binding.v1 import authorization_pb2 as pb2
from gongji.binding.v1 import authorization_pb2_grpc, relation_pb2
from gongji.common.v1 import reason_pb2
from kit.errors import reason_of
from kit.grpc_client import TlsFiles, call, secure_channel
from kit.ids import uuid_of
from kit.timestamps import Fields, timestamp_fields
from settlement.domain.allocate import Grant
from settlement.domain.decided import Decided
from settlement.domain.quotes import QuoteState
from settlement.domain.reasons import Reason
from settlement.domain.state import SettlementState

MAX_REQUESTS: Final = 500
"""In one call, by the contract."""
MAX_OUTCOMES: Final = 5_000
"""In one call: some 200 bytes each, far below the 4 MiB that a server takes, beyond which all would be given up."""
IDEMPOTENT: Final = ("/gongji.binding.v1.AuthorizationService/",)
_REASON: Final = "REASON_"
_WINDOW: Final = "LIMIT_WINDOW_"

_OUTCOMES: Final = {
    SettlementState.SETTLED: pb2.OUTCOME_STATE_CAPTURED,
    SettlementState.REVERSED: pb2.OUTCOME_STATE_RESTORED,
    SettlementState.REFUSED: pb2.OUTCOME_STATE_RELEASED,
    SettlementState.ABANDONED: pb2.OUTCOME_STATE_RELEASED,
    QuoteState.HELD: pb2.OUTCOME_STATE_TRIMMED,
    QuoteState.EXPIRED: pb2.OUTCOME_STATE_RELEASED,
    QuoteState.CANCELLED: pb2.OUTCOME_STATE_RELEASED,
}


@dataclass(frozen=True, slots=True)
class Ask:
    """What one settlement or preview asks of its patient's payers."""

    settlement_id: UUID
    psn_no: str
    amount_fen: int
    """What is needed at most."""
    occurred_at: datetime
    """Decides windows and validity."""
    requested_at: datetime
    """Real time; binding refuses what is too old."""
    recent: tuple[Decided, ...] = ()
    """The patient's recent settlements that are decided; binding takes them in first."""
    replaces: UUID | None = None
    """The settlement that is settled again, if it had asked payers."""
    payer_psn_no: str | None = None
    """The one payer who is asked; None: all of the patient's."""


@dataclass(frozen=True, slots=True)
class NoGrant:
    """Binding does not answer one ask, so its settlement cannot go on."""

    reason: str


Granted = tuple[Grant, ...] | NoGrant
"""Payers in the order in which they pay; or why there is no answer."""


class BindingUnavailableError(Exception):
    """Binding could not be asked, also not again within the time there is."""

    reason: Final = str(Reason.UNAVAILABLE)
    metadata: Final[dict[str, str]] = {}


AskBinding = Callable[[list[Ask]], Awaitable[list[Granted]]]

_UNREACHABLE: Final = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.CANCELLED,
    }
)


class Authorizer(Protocol):
    """Who says which payers may give how much."""

    async def authorize(self, asks: Sequence[Ask]) -> Sequence[Granted]:
        """Hold for each ask what its payers may give; the answers in the asks' order.

        Raises:
            BindingUnavailableError: nothing is known about any of them.
        """
        ...

    async def preview(self, asks: Sequence[Ask]) -> Sequence[Granted]:
        """The same answers without holding anything."""
        ...


class BindingClient:
    """AuthorizationService over gRPC."""

    def __init__(self, open_channel: Callable[[], grpc.aio.Channel], timeout_seconds: float) -> None:
        self._open_channel = open_channel
        self._timeout_seconds = timeout_seconds
        self._channel: grpc.aio.Channel | None = None

    @classmethod
    def to(cls, target: str, tls: TlsFiles, timeout_seconds: float) -> "BindingClient":
        """A client of `target`; tried again where binding cannot be reached, never beyond the time-out."""
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

    async def authorize(self, asks: Sequence[Ask]) -> Sequence[Granted]:
        """See `Authorizer.authorize`."""
        return await self._in_parts(asks, self._authorize)

    async def preview(self, asks: Sequence[Ask]) -> Sequence[Granted]:
        """See `Authorizer.preview`."""
        return await self._in_parts(asks, self._preview)

    async def _in_parts(self, asks: Sequence[Ask], ask_binding: AskBinding) -> list[Granted]:
        answers: list[Granted] = []
        for part in _parts(asks):
            answers += await _ask(part, ask_binding)
        return answers

    async def _authorize(self, asks: list[Ask]) -> list[Granted]:
        request = pb2.AuthorizeRequest(**_requests(asks))
        return _granted(asks, (await call(self._stub.Authorize, request, self._timeout_seconds)).results)

    async def _preview(self, asks: list[Ask]) -> list[Granted]:
        request = pb2.PreviewAuthorizationRequest(**_requests(asks))
        return _granted(asks, (await call(self._stub.PreviewAuthorization, request, self._timeout_seconds)).results)


def _parts(asks: Sequence[Ask]) -> Iterator[list[Ask]]:
    part: list[Ask] = []
    outcomes = 0
    for ask in asks:
        if part and (len(part) == MAX_REQUESTS or outcomes + len(ask.recent) > MAX_OUTCOMES):
            yield part
            part, outcomes = [], 0
        part.append(ask)
        outcomes += len(ask.recent)
    if part:
        yield part


async def _ask(asks: list[Ask], ask_binding: AskBinding) -> list[Granted]:
    """Ask for all at once; if binding refuses the call as such, for each alone, so that a bad one fails by itself."""
    try:
        return await ask_binding(asks)
    except grpc.aio.AioRpcError as error:
        if error.code() in _UNREACHABLE:
            raise BindingUnavailableError(f"binding did not answer: {error.code().name}") from error
        if len(asks) == 1:
            return [NoGrant(reason_of(error) or error.code().name)]
    return [answer for ask in asks for answer in await _ask([ask], ask_binding)]


def _requests(asks: Sequence[Ask]) -> Fields:
    return {"requests": [_request(ask) for ask in asks]}


def _request(ask: Ask) -> Fields:
    return {
        "authorization_id": str(ask.settlement_id),
        "beneficiary_psn_no": ask.psn_no,
        "amount_fen": ask.amount_fen,
        "occurred_at": timestamp_fields(ask.occurred_at),
        "requested_at": timestamp_fields(ask.requested_at),
        "outcomes": [_outcome(decided) for decided in ask.recent],
        "replaces": str(ask.replaces) if ask.replaces else "",
        "payer_psn_no": ask.payer_psn_no or "",
    }


def _outcome(decided: Decided) -> Fields:
    return {
        "authorization_id": str(decided.settlement_id),
        "state": _OUTCOMES[decided.state],
        "lines": [{"relation_id": str(paid.relation_id), "amount_fen": paid.amount_fen} for paid in decided.lines],
        "occurred_at": timestamp_fields(decided.occurred_at),
    }


def _granted(asks: Sequence[Ask], results: Sequence[pb2.AuthorizationResult]) -> list[Granted]:
    by_id = {result.authorization_id: result for result in results}
    return [_answer(ask, by_id.get(str(ask.settlement_id))) for ask in asks]


def _answer(ask: Ask, result: pb2.AuthorizationResult | None) -> Granted:
    if result is None:
        return NoGrant("INTERNAL")
    if result.refusal:
        return NoGrant(_name(result.refusal))
    if not all(_is_sound(ask, grant) for grant in result.grants):
        return NoGrant("INTERNAL")
    return tuple(_grant(grant) for grant in result.grants)


def _is_sound(ask: Ask, grant: pb2.PayerGrant) -> bool:
    """Whether a grant says what the contract lets it say; on another nothing may be paid."""
    limited = grant.reason == reason_pb2.REASON_LIMIT_REACHED
    within = 0 <= grant.granted_fen <= ask.amount_fen
    return within and limited == bool(grant.window) and bool(grant.reason) == (grant.granted_fen < ask.amount_fen)


def _grant(grant: pb2.PayerGrant) -> Grant:
    return Grant(
        payer_psn_no=grant.payer_psn_no,
        relation_id=uuid_of(grant.relation_id),
        granted_fen=grant.granted_fen,
        reason=_name(grant.reason) if grant.reason else None,
        window=relation_pb2.LimitWindow.Name(grant.window).removeprefix(_WINDOW) if grant.window else None,
    )


def _name(reason: "reason_pb2.Reason.ValueType") -> str:
    return reason_pb2.Reason.Name(reason).removeprefix(_REASON)
