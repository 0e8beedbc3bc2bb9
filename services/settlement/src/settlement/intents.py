"""Steps 1 to 3 of settling: known msgids first, then the pure refusals, then PENDING in the first transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from kit.clock import Clock
from kit.db import Work, retrying
from kit.ids import uuid7
from settlement.commands import Command
from settlement.domain.body_hash import CURRENT_VERSION, order_fingerprint
from settlement.domain.decided import Decided
from settlement.domain.quotes import Quote, seen_at
from settlement.domain.reasons import Reason, SettlementRefusedError, VisitRefusedError
from settlement.domain.state import Intent, Order, Settlement, answer_from_record
from settlement.originals import admit_again, named_originals
from settlement.premium_intake import Priced, admit_premiums, already_paid, is_paid, paid_premiums, price_premiums
from settlement.quote_expiry import expire_due
from settlement.repository import SettlementRepository
from settlement.visits import Admitted, VisitJudge

Answer = Settlement | Quote | Exception
"""A settlement that is or was settled, or a preview that is or was held; or why there is none."""


@dataclass(frozen=True, slots=True)
class UnderWay:
    """An intent that this process has written and owns."""

    place: int
    """In the batch, which is the order of arrival."""
    intent: Intent
    written_at: datetime
    """By the database's clock."""
    recent: tuple[Decided, ...] = ()
    """What was decided for the patient lately."""
    replaced: Settlement | None = None
    """The settlement that is settled again."""

    @property
    def id(self) -> UUID:
        """The settlement's."""
        return self.intent.settlement_id


@dataclass(slots=True)
class Begun:
    """A batch after its first transaction."""

    answers: dict[int, Answer] = field(default_factory=dict)
    """By place; of those that are answered already."""
    under_way: list[UnderWay] = field(default_factory=list)


class Intake:
    """Takes a batch as far as its intents."""

    def __init__(self, work: Work[SettlementRepository], judge: VisitJudge, clock: Clock) -> None:
        self._work = work
        self._judge = judge
        self._clock = clock

    async def begin(self, commands: Sequence[Command]) -> Begun:
        """Answer what is known or refused, and write intents for the rest. One transaction.

        A refusal leaves no trace, so the same msgid may be sent again.
        """
        return await retrying(lambda: self._begin(commands))

    async def _begin(self, commands: Sequence[Command]) -> Begun:
        begun = Begun()
        async with self._work() as repository:
            now = self._clock.now()
            asked = await named_originals(repository, commands)
            paid = await paid_premiums(repository, asked.commands.values())
            fresh = await answer_known(repository, asked.commands, begun.answers, now)
            if fresh:
                await expire_due(repository, now)
                priced = await price_premiums(repository, fresh, paid)
                intents = await self._admit(repository, priced, asked.originals, now, begun.answers)
                await _write(repository, fresh, intents, asked.originals, begun)
        begun.under_way.sort(key=lambda each: each.place)
        return begun

    async def _admit(
        self,
        repository: SettlementRepository,
        priced: Priced,
        originals: Mapping[int, Settlement],
        now: datetime,
        answers: dict[int, Answer],
    ) -> dict[int, Intent]:
        fresh = priced.commands
        again = {place: command for place, command in fresh.items() if command.original is not None}
        premiums = await admit_premiums(repository, priced, now)
        visits = {place: command for place, command in fresh.items() if place not in again | premiums}
        verdicts = await self._judge.judge(repository, [command.presented for command in visits.values()], now)
        admitted = dict(zip(visits, verdicts, strict=True)) | await admit_again(repository, again, originals)
        admitted |= premiums
        intents = {}
        for place, command in fresh.items():
            verdict = admitted[place]
            if isinstance(verdict, Admitted):
                intents[place] = _intent(command.order, verdict, now)
            else:
                answers[place] = verdict if isinstance(verdict, Exception) else VisitRefusedError(verdict)
        return intents


def _intent(order: Order, admitted: Admitted, now: datetime) -> Intent:
    return Intent(uuid7(), order, order_fingerprint(order), admitted.insutype, admitted.jti, now)


async def answer_known(
    repository: SettlementRepository, commands: Mapping[int, Command], answers: dict[int, Answer], now: datetime
) -> dict[int, Command]:
    """Answer from the record what has one, before anything that depends on time; the others."""
    keys = {command.key for command in commands.values()}
    known = await repository.find_by_msgids(keys)
    quotes = await repository.quotes.find_by_msgids(keys)
    reversals = await repository.find_reversals(keys)
    fresh = {}
    for place, command in commands.items():
        if (settlement := known.get(command.key)) is not None:
            answers[place] = recorded_answer(settlement, command.order)
        elif (quote := quotes.get(command.key)) is not None:
            answers[place] = recorded_quote(quote, command.order, now)
        elif command.key in reversals:
            answers[place] = SettlementRefusedError(Reason.MSGID_REUSED, "this msgid was used before for a reversal")
        else:
            fresh[place] = command
    return fresh


def recorded_answer(settlement: Settlement, order: Order) -> Answer:
    """What a request is answered with, given the record under its msgid."""
    version = settlement.fingerprint.version if settlement.fingerprint else CURRENT_VERSION
    try:
        return answer_from_record(settlement, order_fingerprint(order, version))
    except SettlementRefusedError as refusal:
        return refusal


def recorded_quote(quote: Quote, order: Order, now: datetime) -> Answer:
    """What a request is answered with, given the held preview under its msgid."""
    if order_fingerprint(order, quote.fingerprint.version) != quote.fingerprint:
        return SettlementRefusedError(Reason.MSGID_REUSED, "this msgid was used before with another body")
    return seen_at(quote, now)


async def _write(
    repository: SettlementRepository,
    fresh: Mapping[int, Command],
    intents: Mapping[int, Intent],
    originals: Mapping[int, Settlement],
    begun: Begun,
) -> None:
    if not intents:
        return
    written_at = await repository.add_intents(list(intents.values()))
    await _answer_unwritten(
        repository,
        {place: fresh[place] for place, intent in intents.items() if intent.settlement_id not in written_at},
        begun.answers,
    )
    written = {place: intent for place, intent in intents.items() if intent.settlement_id in written_at}
    await _bind(repository, written, begun.answers)
    recent = await repository.recent_outcomes(
        {intent.order.bill.psn_no for intent in written.values() if intent.order.asks_payers}
    )
    for place, intent in written.items():
        outcomes = recent.get(intent.order.bill.psn_no, ()) if intent.order.asks_payers else ()
        at = written_at[intent.settlement_id]
        begun.under_way.append(UnderWay(place, intent, at, tuple(outcomes), originals.get(place)))


async def _answer_unwritten(
    repository: SettlementRepository, unwritten: Mapping[int, Command], answers: dict[int, Answer]
) -> None:
    """Somebody else took the msgid meanwhile, or the patient has another settlement under way."""
    paid = await paid_premiums(repository, unwritten.values())
    taken = await repository.find_by_msgids({command.key for command in unwritten.values()}) if unwritten else {}
    for place, command in unwritten.items():
        if (settlement := taken.get(command.key)) is not None:
            answers[place] = recorded_answer(settlement, command.order)
        elif is_paid(command.order, paid):
            answers[place] = already_paid()
        else:
            answers[place] = SettlementRefusedError(
                Reason.IN_PROGRESS, "another settlement of this patient is under way; send the same again in a moment"
            )


async def _bind(repository: SettlementRepository, written: dict[int, Intent], answers: dict[int, Answer]) -> None:
    """The first settlement binds a credential to its visit; intents of another visit are taken back."""
    if not written:
        return
    visits = {intent.jti: intent.order.bill.mdtrt_id for intent in written.values() if intent.jti is not None}
    bound = await repository.bind_credentials(visits)
    strangers = [
        place
        for place, intent in written.items()
        if intent.jti is not None and bound[intent.jti] != intent.order.bill.mdtrt_id
    ]
    if strangers:
        await repository.withdraw_intents([written[place].settlement_id for place in strangers])
    for place in strangers:
        del written[place]
        answers[place] = VisitRefusedError(Reason.CREDENTIAL_INVALID)
