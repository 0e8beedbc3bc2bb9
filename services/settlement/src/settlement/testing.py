"""Doubles and builders for tests of the pipeline: a binding with limits, credentials without signatures, bills."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

from kit.batcher import MicroBatcher
from kit.clock import FixedClock
from kit.db import Work
from kit.failpoints import Failpoints
from kit.testing import MemoryWork
from settlement.binding_client import Ask, Authorizer, BindingUnavailableError, Granted, NoGrant
from settlement.bulk import Bulk
from settlement.commands import Command
from settlement.domain.accounts import Account, AccountState
from settlement.domain.allocate import Grant, PaymentOrder
from settlement.domain.bill import Bill, InstitutionType, MedicalType
from settlement.domain.decided import Decided
from settlement.domain.quotes import Quote, QuoteState
from settlement.domain.state import Order, OrderKind, Settlement, SettlementState
from settlement.domain.visit import Enrolment, InsuranceStatus, InsuranceType, VisitFacts
from settlement.intents import Answer, Intake
from settlement.memory import MemorySettlements
from settlement.pipeline import Pipeline
from settlement.premium_service import PremiumService, Settling
from settlement.preview_service import PreviewService
from settlement.query_service import QueryService
from settlement.quote_service import QuoteService
from settlement.repository import SettlementRepository
from settlement.reverse_service import ReverseCommand, ReverseService
from settlement.sandbox import Sandbox
from settlement.settle_service import SettleService
from settlement.sweeper import Sweeper
from settlement.visits import VisitJudge

HOSPITAL = "H65270100001"
SANDBOX = "H65279900001"
"""An institution whose amounts order failures."""
TEN_O_CLOCK = datetime(2025, 6, 10, 2, tzinfo=UTC)
"""10:00 in Shanghai."""
QUOTES_LAST = timedelta(minutes=10)
_NAMESPACE = UUID("0197a000-0000-7000-8000-000000000000")


@dataclass(slots=True)
class FakeRelation:
    """A relation with a limit in total."""

    payer: str
    beneficiary: str
    limit_fen: int
    used_fen: int = 0
    reason: str | None = None
    """Given, it says no for this reason."""

    @property
    def id(self) -> UUID:
        """The same for the same pair."""
        return uuid5(_NAMESPACE, f"{self.payer}:{self.beneficiary}")


@dataclass(slots=True)
class FakeBinding:
    """Binding by its contract, with one limit a relation: idempotent by id, never more than is left.

    It takes in outcomes only when they come along with an ask, as if Kafka never delivered anything.
    """

    relations: list[FakeRelation] = field(default_factory=list)
    holds: dict[UUID, dict[UUID, int]] = field(default_factory=dict)
    """By authorization, what is held by relation."""
    answers: dict[UUID, tuple[Grant, ...]] = field(default_factory=dict)
    outcomes: dict[UUID, SettlementState] = field(default_factory=dict)
    asked: list[Sequence[Ask]] = field(default_factory=list)
    paid: dict[UUID, dict[UUID, int]] = field(default_factory=dict)
    """By authorization that was captured, what was paid by relation."""
    claims: dict[UUID, UUID] = field(default_factory=dict)
    """Which authorization replaces which."""
    down: bool = False
    lose_replies: int = 0
    """So many calls do their work, and the reply is lost."""
    refuse: dict[str, str] = field(default_factory=dict)
    """By patient, why an ask of that patient alone is refused."""

    async def authorize(self, asks: Sequence[Ask]) -> Sequence[Granted]:
        """See `Authorizer.authorize`."""
        self._called(asks)
        answers = [self._authorize(ask) for ask in asks]
        if self.lose_replies:
            self.lose_replies -= 1
            raise BindingUnavailableError("the reply was lost")
        return answers

    async def preview(self, asks: Sequence[Ask]) -> Sequence[Granted]:
        """See `Authorizer.preview`."""
        self._called(asks)
        return [NoGrant(self.refuse[ask.psn_no]) if ask.psn_no in self.refuse else self._grants(ask) for ask in asks]

    def _called(self, asks: Sequence[Ask]) -> None:
        self.asked.append(asks)
        if self.down:
            raise BindingUnavailableError("binding is down")
        for ask in asks:
            self._take_in(ask)

    def _take_in(self, ask: Ask) -> None:
        for decided in ask.recent:
            before = self.outcomes.get(decided.settlement_id)
            if before is SettlementState.REVERSED or before is decided.state:
                continue
            if isinstance(decided.state, QuoteState):
                self._take_in_quote(decided, before)
                continue
            paid = {each.relation_id: each.amount_fen for each in decided.lines}
            if decided.state is SettlementState.SETTLED:
                self.paid[decided.settlement_id] = paid
            sign = {None: 0, SettlementState.SETTLED: -1}.get(before, 0)
            sign += 1 if decided.state is SettlementState.SETTLED else 0
            for relation in self.relations:
                relation.used_fen += sign * paid.get(relation.id, 0)
            self.outcomes[decided.settlement_id] = decided.state
            self.holds.pop(decided.settlement_id, None)

    def _take_in_quote(self, decided: Decided, before: SettlementState | None) -> None:
        if before is not None:
            return
        if decided.state is QuoteState.HELD:
            self.holds[decided.settlement_id] = {each.relation_id: each.amount_fen for each in decided.lines}
        else:
            self.outcomes[decided.settlement_id] = SettlementState.ABANDONED
            self.holds.pop(decided.settlement_id, None)

    def _authorize(self, ask: Ask) -> Granted:
        if ask.psn_no in self.refuse:
            return NoGrant(self.refuse[ask.psn_no])
        if ask.settlement_id in self.outcomes:
            return NoGrant("ABANDONED")
        if ask.settlement_id not in self.answers:
            if ask.replaces is not None:
                if self.outcomes.get(ask.replaces) is not SettlementState.SETTLED:
                    return NoGrant("IN_PROGRESS")
                self.claims[ask.settlement_id] = ask.replaces
            grants = self._grants(ask)
            self.answers[ask.settlement_id] = grants
            self.holds[ask.settlement_id] = {grant.relation_id: grant.granted_fen for grant in grants}
        return self.answers[ask.settlement_id]

    def _grants(self, ask: Ask) -> tuple[Grant, ...]:
        again = self.paid.get(ask.replaces, {}) if ask.replaces else {}
        return tuple(
            self._grant(relation, ask.amount_fen, again.get(relation.id, 0))
            for relation in self.relations
            if relation.beneficiary == ask.psn_no and ask.payer_psn_no in {None, relation.payer}
        )

    def _grant(self, relation: FakeRelation, amount_fen: int, again_fen: int) -> Grant:
        holds = [(held.get(relation.id, 0), self._claimed(each, relation)) for each, held in self.holds.items()]
        held_fen = sum(max(0, held - claimed) for held, claimed in holds)
        left_fen = relation.limit_fen - relation.used_fen - held_fen + again_fen
        granted_fen = max(0, min(amount_fen, left_fen))
        if relation.reason is not None:
            granted_fen = min(granted_fen, again_fen)
            return Grant(
                relation.payer, relation.id, granted_fen, relation.reason if granted_fen < amount_fen else None
            )
        if granted_fen == amount_fen:
            return Grant(relation.payer, relation.id, granted_fen)
        return Grant(relation.payer, relation.id, granted_fen, "LIMIT_REACHED", "TOTAL")

    def _claimed(self, authorization_id: UUID, relation: FakeRelation) -> int:
        """What the pair of an authorization charges already: while both live, the greater of the two counts."""
        original = self.claims.get(authorization_id)
        live = original is not None and self.outcomes.get(original) is SettlementState.SETTLED
        return self.paid.get(original, {}).get(relation.id, 0) if original and live else 0


class FakeCredentials:
    """Credentials whose token is the psn_no of the patient: good ones unless a test says otherwise."""

    def __init__(self) -> None:
        self.facts: dict[str, VisitFacts] = {}
        self.expires_at = TEN_O_CLOCK + timedelta(minutes=15)

    def read(self, token: str) -> VisitFacts | None:
        """See `CredentialReader.read`; a token `forged` is not believed."""
        if token == "forged":  # noqa: S105 - no secret
            return None
        return self.facts.get(token) or visit(token, jti=f"jti-{token}", expires_at=self.expires_at)


class World:
    """The pipeline on units of work that a test gives, with doubles of everything around it, at 10:00 on 2025-06-10."""

    def __init__(
        self,
        work: Work[SettlementRepository],
        *relations: FakeRelation,
        failpoints: Failpoints | None = None,
        authorizer: Authorizer | None = None,
        order: PaymentOrder = PaymentOrder.OWN_ACCOUNT_FIRST,
    ) -> None:
        self.work = work
        self.clock = FixedClock(TEN_O_CLOCK)
        self.binding = FakeBinding(list(relations))
        self.authorizer = asked = authorizer or self.binding
        self.credentials = FakeCredentials()
        judge = VisitJudge(self.credentials, "65")
        self.settling = SettleService(
            work=work,
            intake=Intake(work, judge, self.clock),
            authorizer=asked,
            clock=self.clock,
            order=order,
            quotes_last=QUOTES_LAST,
            failpoints=failpoints or Failpoints(),
        )
        self.previewing = PreviewService(work, judge, asked, self.clock, order)
        self.reversing = ReverseService(work, self.clock)
        self.query = QueryService(work)
        self.quotes = QuoteService(work, self.clock)
        self.bulk = Bulk(self.settling.settle, self.quotes.settle, most_in_flight=3, max_waiting=1000)

    @property
    def pipeline(self) -> Pipeline:
        """All of it behind batchers."""
        settling: Settling = MicroBatcher(self.settling.settle, 100, 100, lambda each: each.order.bill.psn_no)
        return Pipeline(
            settling=settling,
            quoted=MicroBatcher(self.quotes.settle, 100, 100, lambda each: each.order.bill.psn_no),
            previewing=MicroBatcher(self.previewing.preview, 100, 100),
            reversing=MicroBatcher(self.reversing.reverse, 100, 100),
            bulk=self.bulk,
            query=self.query,
            sandbox=Sandbox(frozenset({SANDBOX}), self.query, slow_seconds=0.0),
            quotes=self.quotes,
            premiums=PremiumService(self.work, settling, self.authorizer, self.clock),
        )

    async def settle(self, *commands: Command) -> list[Settlement | Exception]:
        """The answers to one batch that holds nothing."""
        return [_no_quote(answer) for answer in await self.settling.settle(commands)]

    async def hold(self, *commands: Command) -> list[Answer]:
        """The answers to one batch in which previews may hold."""
        return await self.settling.settle(commands)

    async def settle_quotes(self, *commands: Command) -> list[Settlement | Exception]:
        """The answers to one batch of orders that name quotes."""
        return [_no_quote(answer) for answer in await self.quotes.settle(commands)]

    async def reverse(self, number: int, of: int | UUID) -> Settlement | Exception:
        """The answer to a reversal with this number, of the settlement with that one."""
        original = msgid(of) if isinstance(of, int) else of
        return (await self.reversing.reverse([ReverseCommand(HOSPITAL, msgid(number), original)]))[0]

    async def sweep(self, age_seconds: float = 0) -> int:
        """What a sweeper abandons."""
        return await Sweeper(self.work, self.clock, age_seconds, every_seconds=1).sweep()


def _no_quote(answer: Answer) -> Settlement | Exception:
    if isinstance(answer, Quote):
        raise TypeError(f"a quote came where a settlement was asked for: {answer}")
    return answer


def visit(psn_no: str, **changes: Any) -> VisitFacts:
    """Facts against which nothing stands."""
    usual: dict[str, Any] = {
        "jti": "jti-1",
        "psn_no": psn_no,
        "fixmedins_code": HOSPITAL,
        "fixmedins_type": InstitutionType.MEDICAL,
        "mdtrtarea_admvs": "652701",
        "designated": True,
        "remote_settlement": True,
        "enrolment": enrolment(),
        "deceased": False,
        "filed": (),
        "issued_at": TEN_O_CLOCK,
        "expires_at": TEN_O_CLOCK + timedelta(minutes=15),
    }
    return VisitFacts(**{**usual, **changes})


def enrolment(status: InsuranceStatus = InsuranceStatus.NORMAL, **changes: Any) -> Enrolment:
    """A resident's enrolment."""
    usual: dict[str, Any] = {"insutype": InsuranceType.RESIDENT, "valid_from": date(2025, 1, 1)}
    return Enrolment(psn_insu_stas=status, **{**usual, **changes})


def bill(psn_no: str = "child", psn_part_amt_fen: int = 9000, **changes: Any) -> Bill:
    """A bill that adds up, all of it left to the person unless a test says otherwise."""
    usual: dict[str, Any] = {
        "mdtrt_id": f"visit-{psn_no}",
        "med_type": MedicalType.OUTPATIENT,
        "medfee_sumamt_fen": psn_part_amt_fen or 100,
        "fund_pay_sumamt_fen": 0 if psn_part_amt_fen else 100,
    }
    return Bill(psn_no=psn_no, psn_part_amt_fen=psn_part_amt_fen, **{**usual, **changes})


def msgid(number: int, fixmedins_code: str = HOSPITAL) -> str:
    """A msgid of an institution."""
    return f"{fixmedins_code}20250610100000{number:04d}"


def resettle(number: int, original: int | UUID, of: Bill | None = None, **changes: Any) -> Command:
    """A Resettle request that uses mutual aid."""
    command = settle(number, of, credential="none", **changes)
    return replace(command, credential="", original=msgid(original) if isinstance(original, int) else original)


def settle(number: int, of: Bill | None = None, *, credential: str | None = None, **changes: Any) -> Command:
    """A Settle request that uses mutual aid."""
    used = of or bill()
    usual: dict[str, Any] = {"acct_used_flag": True, "use_mutual_aid": True}
    order = Order(HOSPITAL, msgid(number), used, **{**usual, **changes})
    return Command(order, credential or used.psn_no)


def hold(number: int, of: Bill | None = None, *, credential: str | None = None, **changes: Any) -> Command:
    """A PreSettle request that holds and uses mutual aid."""
    return settle(number, of, credential=credential, kind=OrderKind.QUOTE, **changes)


def account(psn_no: str, balance_fen: int, state: AccountState = AccountState.OPEN, *, held_fen: int = 0) -> Account:
    """An account with a history of one entry."""
    return Account(psn_no, state, balance_fen, held_fen, version=1)


def paid(answer: Answer | Exception) -> Settlement:
    """The settlement that a command was answered with; AssertionError of anything else."""
    if isinstance(answer, Settlement):
        return answer
    raise AssertionError(repr(answer))


def reason(answer: object) -> str:
    """Why a command was refused; AssertionError if it was not."""
    if isinstance(answer, Exception):
        return str(getattr(answer, "reason", repr(answer)))
    raise AssertionError(repr(answer))


class Family:
    """A father with money, a child with a limit."""

    def __init__(self, *, money_fen: int = 50000, limit_fen: int = 20000, failpoints: Failpoints | None = None) -> None:
        self.memory = MemorySettlements()
        self.memory.accounts["father"] = account("father", money_fen)
        self.world = World(MemoryWork(self.memory), FakeRelation("father", "child", limit_fen), failpoints=failpoints)

    @property
    def balance_fen(self) -> int:
        """The father's."""
        return self.memory.accounts["father"].balance_fen

    @property
    def told(self) -> list[str]:
        """Names of the events."""
        return [type(message).__name__ for message in self.memory.outbox.messages]

    async def settle(self, number: int, amount_fen: int = 9000, **changes: Any) -> Settlement:
        """Settle a bill of the child's; AssertionError if it is refused."""
        return paid((await self.world.settle(settle(number, bill("child", amount_fen), **changes)))[0])
