"""Settlement and binding in one process, in memory: settlement's own client speaks to binding's own servicer.

Nothing of Kafka: binding learns of outcomes only by what comes along with a patient's next request.
"""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any, cast
from uuid import UUID

from binding.domain.limits import Limits
from binding.domain.relations import Relation, RelationState
from binding.memory import MemoryRepository
from binding.service.authorizations import Authorizations
from binding.servicer.authorizations import AuthorizationServicer
from binding.testing import add_relations, child, father, relation
from gongji.binding.v1 import authorization_pb2 as pb2
from gongji.binding.v1 import authorization_pb2_grpc
from kit.clock import Clock
from kit.testing import MemoryWork
from settlement.binding_client import BindingClient
from settlement.memory import MemorySettlements
from settlement.testing import World, account


class InProcess(BindingClient):
    """The client whose calls end in the servicer itself."""

    def __init__(self, servicer: AuthorizationServicer) -> None:
        super().__init__(open_channel=_no_channel, timeout_seconds=5)
        self._stub = cast("authorization_pb2_grpc.AuthorizationServiceAsyncStub", _Stub(servicer))


class _Stub:
    def __init__(self, servicer: AuthorizationServicer) -> None:
        self._servicer = servicer

    async def Authorize(self, request: pb2.AuthorizeRequest, **_: Any) -> pb2.AuthorizeResponse:  # noqa: N802
        return await self._servicer.Authorize(request, cast("Any", None))

    async def PreviewAuthorization(  # noqa: N802
        self, request: pb2.PreviewAuthorizationRequest, **_: Any
    ) -> pb2.PreviewAuthorizationResponse:
        return await self._servicer.PreviewAuthorization(request, cast("Any", None))


class _Elapsed(Clock):
    """Real time as settlement's memory counts it."""

    def __init__(self, settlements: MemorySettlements) -> None:
        self._settlements = settlements

    def now(self) -> datetime:
        return self._settlements.ticks[0]


class BothServices:
    """A family's accounts at settlement and its relations at binding."""

    def __init__(self, payers: Sequence[str], patients: Sequence[str]) -> None:
        self.settlements = MemorySettlements()
        self.bindings = MemoryRepository()
        work = MemoryWork(self.bindings)
        self.world = World(MemoryWork(self.settlements), authorizer=self._client(work))
        self.world.credentials.expires_at += timedelta(days=4_000)
        for psn_no in payers:
            self.bindings.known_persons[psn_no] = father(psn_no=psn_no)
        for psn_no in set(patients) - set(payers):
            self.bindings.known_persons[psn_no] = child(psn_no=psn_no)

    def _client(self, work: MemoryWork[MemoryRepository]) -> InProcess:
        clock = _Elapsed(self.settlements)
        return InProcess(AuthorizationServicer(Authorizations(work, clock, clock), cast("Any", None)))

    def open_account(self, psn_no: str, balance_fen: int) -> None:
        self.settlements.accounts[psn_no] = account(psn_no, balance_fen)

    async def relate(self, payer: str, patient: str, priority: int, limits: dict[str, int], valid_to: date) -> UUID:
        """A relation from the beginning of 2025 on; its id."""
        made = relation(
            f"{payer}-{patient}",
            payer_psn_no=payer,
            beneficiary_psn_no=patient,
            priority=priority,
            limits=_limits(limits),
            valid_to=valid_to,
        )
        async with MemoryWork(self.bindings)() as repository:
            await add_relations(repository, made)
        return made.relation_id

    def change(self, relation_id: UUID, **changes: Any) -> None:
        """As an operator or a payer changes it, without what is told of it."""
        before = self.bindings.relations[relation_id]
        if "limits" in changes:
            changes["limits"] = _limits(changes["limits"])
        if "state" in changes:
            changes["state"] = RelationState(changes["state"])
        self.bindings.relations[relation_id] = _with(before, changes)


def _with(before: Relation, changes: dict[str, Any]) -> Relation:
    values = {name: getattr(before, name) for name in before.__dataclass_fields__}
    return Relation(**{**values, **changes})


def _limits(limits: dict[str, int]) -> Limits:
    return Limits(**{f"{window}_fen": amount for window, amount in limits.items()})


def _no_channel() -> Any:
    raise AssertionError("nothing is called over a network here")
