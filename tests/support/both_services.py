"""Settlement and binding in one process, in memory: settlement's own client speaks to binding's own servicer.

Nothing of Kafka: binding learns of outcomes only by what comes along with a patient's next request.
"""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any, cast
from uuid import UUID, uuid4

from binding.domain.limits import Limits
from binding.domain.relations import Relation, RelationState
from binding.memory import MemoryRepository
from binding.service.authorizations import Authorizations
from binding.servicer.authorizations import AuthorizationServicer
from binding.testing import add_relations, child, enrolment, father, relation
from gongji.binding.v1 import authorization_pb2 as pb2
from gongji.binding.v1 import authorization_pb2_grpc
from kit.clock import Clock
from kit.failpoints import Failpoints
from kit.testing import MemoryWork
from settlement.account_service import AccountService
from settlement.binding_client import BindingClient
from settlement.closing_memory import MemoryClosing
from settlement.closing_service import ClosingService
from settlement.domain.accounts import Instruction
from settlement.domain.allocate import PaymentOrder
from settlement.domain.closing import PayoutOrder, PayoutWay
from settlement.domain.contributing import Row
from settlement.domain.ledger import AccountKind
from settlement.domain.premiums import Terms, premium_order
from settlement.domain.state import Premium, Settlement
from settlement.domain.visit import EnrolmentFact, PersonFacts
from settlement.memory import MemorySettlements
from settlement.testing import TEN_O_CLOCK, World, account
from settlement.testing import enrolment as residents

BY_ORDER = Instruction("so ordered", "court of Bole, order 7")


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
    """A family's accounts at settlement and its relations at binding; accounts pay in this order (R9)."""

    def __init__(
        self, payers: Sequence[str], patients: Sequence[str], order: PaymentOrder = PaymentOrder.OWN_ACCOUNT_FIRST
    ) -> None:
        self.settlements = MemorySettlements()
        self.bindings = MemoryRepository()
        work = MemoryWork(self.bindings)
        self.world = World(MemoryWork(self.settlements), authorizer=self._client(work), order=order)
        self.world.credentials.expires_at += timedelta(days=4_000)
        self._books = _one_set_of_books(self.settlements)
        self.accounts = AccountService(MemoryWork(self._books), self.world.clock)
        self._closing = ClosingService(MemoryWork(self._books), self.world.clock)
        for psn_no in payers:
            self.bindings.known_persons[psn_no] = father(psn_no=psn_no)
        for psn_no in set(patients) - set(payers):
            self.bindings.known_persons[psn_no] = child(psn_no=psn_no)

    def _client(self, work: MemoryWork[MemoryRepository]) -> InProcess:
        clock = _Elapsed(self.settlements)
        authorizations = Authorizations(work, clock, clock)
        return InProcess(AuthorizationServicer(authorizations, cast("Any", None), Failpoints()))

    def open_account(self, psn_no: str, balance_fen: int) -> None:
        self.settlements.accounts[psn_no] = account(psn_no, balance_fen)

    def insure_as_resident(self, *psn_nos: str) -> None:
        """Whose premiums may be paid."""
        for psn_no in psn_nos:
            self.settlements.persons[psn_no] = PersonFacts(enrolments=(EnrolmentFact(residents(), TEN_O_CLOCK),))

    def owes_contributions(self, payer: str, *, arrears: bool) -> None:
        """Whether a payer is in arrears, as identity tells binding."""
        self.bindings.known_persons[payer] = father(psn_no=payer, enrolments=(enrolment(arrears=arrears),))

    async def contribute(self, psn_no: str, amount_fen: int) -> int:
        """Money comes in; the balance after it."""
        return await self.accounts.contribute(Row(psn_no, str(uuid4()), amount_fen))

    async def close(self, psn_no: str) -> None:
        """An account ends; what is on it goes elsewhere."""
        await self._closing.close(psn_no, PayoutOrder(PayoutWay.TRANSFER, BY_ORDER))

    async def pay_out_refunds(self, psn_no: str) -> int:
        """Whatever refunds wait on a closed account leave it; how much that was."""
        self._books.refunds = self.settlements.closed_refunds
        waiting = [each for each in self._books.refunds if each.psn_no == psn_no and each.payout_id is None]
        for refund in waiting:
            await self._closing.pay_out(refund.closed_refund_id, PayoutOrder(PayoutWay.TRANSFER, BY_ORDER))
        self.settlements.closed_refunds = self._books.refunds
        return sum(refund.amount_fen for refund in waiting)

    async def state_premium(self, year: int, amount_fen: int, collect_from: date, collect_to: date) -> None:
        """An operator says what the premium of a year is."""
        await self.world.pipeline.premiums.state(Terms(year, amount_fen, collect_from, collect_to), "operator")

    async def pay_premium(self, payment_id: UUID, payer: str, insured: str, year: int) -> Settlement:
        """A payer pays the premium of somebody."""
        premium = Premium(year, payer)
        return await self.world.pipeline.premiums.pay(premium_order(str(payment_id), insured, premium), premium)

    async def refund_premium(self, premium_id: UUID, payer: str) -> Settlement:
        """The payer wants it back."""
        return await self.world.pipeline.premiums.refund(premium_id, payer)

    def versions(self, psn_no: str) -> list[int]:
        """What raised an account's version: its entries and changes of state."""
        mine = (AccountKind.PERSONAL, psn_no)
        rows = [row.version or 0 for row in self.settlements.entries if (row.account_kind, row.account_key) == mine]
        return sorted(rows + [change.version for change in self._books.changes if change.psn_no == psn_no])

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


def _one_set_of_books(settlements: MemorySettlements) -> MemoryClosing:
    """Accounts and entries as those who open, freeze and close accounts see them: the ones that settlements post on."""
    books = MemoryClosing()
    books.accounts, books.entries = settlements.accounts, settlements.entries
    return books


def _with(before: Relation, changes: dict[str, Any]) -> Relation:
    values = {name: getattr(before, name) for name in before.__dataclass_fields__}
    return Relation(**{**values, **changes})


def _limits(limits: dict[str, int]) -> Limits:
    return Limits(**{f"{window}_fen": amount for window, amount in limits.items()})


def _no_channel() -> Any:
    raise AssertionError("nothing is called over a network here")
