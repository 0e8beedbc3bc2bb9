"""Speaks to binding as settlement does, to bring about what settlement itself would hardly ever do."""

import uuid
from collections.abc import Sequence
from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from gongji.binding.v1 import authorization_pb2, authorization_pb2_grpc
from gongji.settlement.events.v1 import settlement_events_pb2
from gongji_local.client import Caller, Connections
from kit.clock import SystemClock
from support.families import Family


class Settlement(Caller):
    """The settlement service as binding knows it."""

    def __init__(self, connections: Connections, family: Family) -> None:
        super().__init__(connections, title="settlement", principal="service/settlement")
        self._family = family

    async def authorize(
        self,
        amount_fen: int,
        authorization_id: str = "",
        outcomes: Sequence[authorization_pb2.Outcome] = (),
        replaces: str = "",
    ) -> authorization_pb2.AuthorizationResult:
        """Ask what the child's payers may give."""
        stub: authorization_pb2_grpc.AuthorizationServiceAsyncStub = authorization_pb2_grpc.AuthorizationServiceStub(
            self.channel("binding")
        )
        request = authorization_pb2.AuthorizationRequest(
            authorization_id=authorization_id or str(uuid.uuid4()),
            beneficiary_psn_no=self._family.psn_no("child"),
            amount_fen=amount_fen,
            occurred_at=self.now(),
            requested_at=stamp(SystemClock().now()),
            outcomes=outcomes,
            replaces=replaces,
        )
        answer = await self.call(stub.Authorize, authorization_pb2.AuthorizeRequest(requests=[request]))
        return answer.results[0]

    def now(self) -> Timestamp:
        """The services' present."""
        return stamp(self._family.world.stack.now())

    def outcome(
        self, state: authorization_pb2.OutcomeState.ValueType, authorization_id: str, amount_fen: int = 0
    ) -> authorization_pb2.Outcome:
        """An outcome as it comes along with a later request."""
        relation_id = self._family.relation_id("father", "child")
        paid = [authorization_pb2.OutcomeLine(relation_id=relation_id, amount_fen=amount_fen)] if amount_fen else []
        return authorization_pb2.Outcome(
            authorization_id=authorization_id, state=state, lines=paid, occurred_at=self.now()
        )

    def facts(self, authorization_id: str, amount_fen: int = 0) -> settlement_events_pb2.SettlementFacts:
        """What every event of the settlement tells."""
        line = settlement_events_pb2.PaidLine(
            relation_id=self._family.relation_id("father", "child"),
            payer_psn_no=self._family.psn_no("father"),
            amount_fen=amount_fen,
        )
        return settlement_events_pb2.SettlementFacts(
            setl_id=authorization_id,
            fixmedins_code=self._family.hospital.fixmedins_code,
            msgid=f"{self._family.hospital.fixmedins_code}202506101000009999",
            psn_no=self._family.psn_no("child"),
            occurred_at=self.now(),
            lines=[line] if amount_fen else [],
            use_mutual_aid=True,
        )


def stamp(at: datetime) -> Timestamp:
    """A moment as the contracts carry it."""
    made = Timestamp()
    made.FromDatetime(at)
    return made
