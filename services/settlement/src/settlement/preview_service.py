"""Previewing (预结算): the split as it would be now. Holds nothing and writes nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from kit.clock import Clock
from kit.db import Work
from kit.errors import Refusal
from kit.ids import uuid7
from settlement.binding_client import Ask, Authorizer, BindingUnavailableError, Granted, NoGrant
from settlement.domain.allocate import Need, PaymentOrder, Split, allocate
from settlement.domain.bill import Bill
from settlement.domain.decided import Decided
from settlement.domain.reasons import Reason
from settlement.quote_expiry import expire_due
from settlement.repository import SettlementRepository
from settlement.visits import Presented, VisitJudge, sought_of


@dataclass(frozen=True, slots=True)
class PreviewCommand:
    """A PreSettle request."""

    presented: Presented
    acct_used_flag: bool
    use_mutual_aid: bool

    @property
    def asks_payers(self) -> bool:
        """Whether binding is asked."""
        return self.use_mutual_aid and self.presented.bill.psn_part_amt_fen > 0


@dataclass(frozen=True, slots=True)
class Preview:
    """What a settlement would give."""

    split: Split
    refusal: Reason | None = None
    """Why it would be refused; then the split is all cash."""


Answer = Preview | Exception


@dataclass(frozen=True, slots=True)
class _Looked:
    """What the first look at the database gave."""

    refusals: Mapping[int, Reason]
    recent: Mapping[str, Sequence[Decided]]
    real_time: datetime


class PreviewService:
    """Previews lists of bills, each as if it were alone."""

    def __init__(
        self,
        work: Work[SettlementRepository],
        judge: VisitJudge,
        authorizer: Authorizer,
        clock: Clock,
        order: PaymentOrder,
    ) -> None:
        self._work = work
        self._judge = judge
        self._authorizer = authorizer
        self._clock = clock
        self._order = order

    async def preview(self, commands: Sequence[PreviewCommand]) -> list[Answer]:
        """A preview for each command, in their order; UNAVAILABLE in the place of one whose payers cannot be asked."""
        now = self._clock.now()
        looked = await self._look(commands, now)
        places = [
            place for place, command in enumerate(commands) if command.asks_payers and place not in looked.refusals
        ]
        asks = [_ask(commands[place], looked, now) for place in places]
        granted = dict(zip(places, await self._ask(asks), strict=True))
        return await self._split(commands, looked.refusals, granted)

    async def _ask(self, asks: Sequence[Ask]) -> Sequence[Granted]:
        try:
            return await self._authorizer.preview(asks) if asks else ()
        except BindingUnavailableError:  # told to those who need an answer; the others share no more than the batch
            return [NoGrant(Reason.UNAVAILABLE) for _ in asks]

    async def _look(self, commands: Sequence[PreviewCommand], now: datetime) -> _Looked:
        presented = [command.presented for command in commands]
        facts = self._judge.read(presented)
        async with self._work() as repository:
            seen = await repository.look(sought_of(presented, facts), now)
            if seen.any_due:
                await expire_due(repository, now, {each.bill.psn_no for each in presented})
            recent = await repository.lately(
                {command.presented.bill.psn_no for command in commands if command.asks_payers}
            )
            real_time = await repository.real_time()
        verdicts = self._judge.judge(presented, facts, seen, now)
        refusals = {place: verdict for place, verdict in enumerate(verdicts) if isinstance(verdict, Reason)}
        return _Looked(refusals, recent.outcomes, real_time)

    async def _split(
        self, commands: Sequence[PreviewCommand], refusals: Mapping[int, Reason], granted: Mapping[int, Granted]
    ) -> list[Answer]:
        needs = {
            place: _need(command, granted.get(place, ()))
            for place, command in enumerate(commands)
            if place not in refusals
        }
        owners = {need.psn_no for need in needs.values() if isinstance(need, Need)}
        owners |= {grant.payer_psn_no for each in granted.values() if isinstance(each, tuple) for grant in each}
        async with self._work() as repository:
            accounts = await repository.read_accounts(owners)
        answers: list[Answer] = []
        for place, command in enumerate(commands):
            need = needs.get(place)
            if isinstance(need, Need):
                answers.append(Preview(allocate(need, accounts, self._order)))
            else:
                answers.append(need or Preview(all_cash(command.presented.bill), refusals[place]))
        return answers


def _ask(command: PreviewCommand, looked: _Looked, now: datetime) -> Ask:
    bill = command.presented.bill
    recent = tuple(looked.recent.get(bill.psn_no, ()))
    return Ask(_no_settlement(), bill.psn_no, bill.psn_part_amt_fen, now, looked.real_time, recent)


def _no_settlement() -> UUID:
    return uuid7()  # binding wants an id to answer under; nothing is kept of it


def _need(command: PreviewCommand, granted: Granted) -> Need | Exception:
    if isinstance(granted, NoGrant):
        return Refusal("UNAVAILABLE", "payers could not be asked; send the same again", {"cause": granted.reason})
    bill = command.presented.bill
    return Need(bill.psn_no, bill.psn_part_amt_fen, command.acct_used_flag, granted)


def all_cash(bill: Bill) -> Split:
    """What is shown where a settlement would be refused."""
    return Split(0, 0, bill.psn_part_amt_fen, None)
