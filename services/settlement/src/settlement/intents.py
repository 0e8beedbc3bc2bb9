"""Steps 1 to 3 of settling: known msgids first, then the pure refusals, then PENDING in the first transaction."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
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
from settlement.domain.state import Intent, Order, OrderKind, Settlement, answer_from_record
from settlement.domain.visit import VisitFacts
from settlement.originals import Asked, Verdict, admit_again, named_originals
from settlement.premium_intake import admit_premiums, already_paid, is_paid, paid_premiums, price_premiums
from settlement.quote_expiry import expire_due
from settlement.repository import Lately, Seen, SettlementRepository, Sought, Written
from settlement.visits import Admitted, Presented, VisitJudge, sought_of

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
        brought = self._read(commands)
        async with self._work() as repository:
            now = self._clock.now()
            asked = await named_originals(repository, commands)
            paid = await paid_premiums(repository, asked.commands.values())
            seen = await repository.look(brought.sought, now)
            fresh = asked.commands
            if seen.any_known:
                fresh = await answer_known(repository, asked.commands, begun.answers, now)
            if fresh:
                if seen.any_due:
                    await expire_due(repository, now, {each.order.bill.psn_no for each in fresh.values()})
                priced = await price_premiums(repository, fresh, paid)
                verdicts = self._judge_visits(priced.commands, brought, seen, now)
                verdicts |= await admit_again(repository, priced.commands, asked.originals)
                verdicts |= await admit_premiums(repository, priced, now)
                intents = _admitted(priced.commands, verdicts, now, begun.answers)
                await _write(repository, asked, intents, seen, begun)
        begun.under_way.sort(key=lambda each: each.place)
        return begun

    def _read(self, commands: Sequence[Command]) -> "_Brought":
        visits = {place: each.presented for place, each in enumerate(commands) if each.is_visit}
        facts = self._judge.read(visits.values())
        sought = sought_of(visits.values(), facts, {each.key for each in commands})
        return _Brought(visits, dict(zip(visits, facts, strict=True)), sought)

    def _judge_visits(
        self, fresh: Mapping[int, Command], brought: "_Brought", seen: Seen, now: datetime
    ) -> dict[int, Verdict]:
        places = [place for place in brought.visits if place in fresh]
        visits, facts = [brought.visits[place] for place in places], [brought.facts[place] for place in places]
        return dict(zip(places, self._judge.judge(visits, facts, seen, now), strict=True))


@dataclass(frozen=True, slots=True)
class _Brought:
    """The visits of a batch with what their credentials carry, by place, and what has to be looked for."""

    visits: Mapping[int, Presented]
    facts: Mapping[int, VisitFacts | None]
    sought: Sought


def _admitted(
    fresh: Mapping[int, Command], verdicts: Mapping[int, Verdict], now: datetime, answers: dict[int, Answer]
) -> dict[int, Intent]:
    """The intents of those that were admitted; the others are answered."""
    intents = {}
    for place, command in fresh.items():
        verdict = verdicts[place]
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
    repository: SettlementRepository, asked: Asked, intents: Mapping[int, Intent], seen: Seen, begun: Begun
) -> None:
    if not intents:
        return
    written = await repository.add_intents(list(intents.values()))
    unwritten = {
        place: asked.commands[place] for place, intent in intents.items() if intent.settlement_id not in written
    }
    if unwritten:
        await _answer_unwritten(repository, unwritten, begun.answers)
    ours = {place: intent for place, intent in intents.items() if intent.settlement_id in written}
    await _withdraw_strangers(repository, ours, written, seen, begun.answers)
    lately = await _look_again(repository, ours)
    if lately.taken:
        await _withdraw_taken(repository, asked.commands, ours, lately.taken, begun.answers)
    for place, intent in ours.items():
        outcomes = lately.outcomes.get(intent.order.bill.psn_no, ()) if intent.order.asks_payers else ()
        at = written[intent.settlement_id].at
        begun.under_way.append(UnderWay(place, intent, at, tuple(outcomes), asked.originals.get(place)))


async def _look_again(repository: SettlementRepository, ours: Mapping[int, Intent]) -> Lately:
    """After the intents: what was PENDING for these patients before is decided and told now.

    A preview that was PENDING under the same msgid is held now. Its row has moved, so nothing kept ours from being
    written.
    """
    asking = {intent.order.bill.psn_no for intent in ours.values() if intent.order.asks_payers}
    if not asking and all(intent.order.kind is OrderKind.BILL for intent in ours.values()):
        return Lately({})
    return await repository.lately(asking, list(ours.values()))


async def _withdraw_taken(
    repository: SettlementRepository,
    commands: Mapping[int, Command],
    ours: dict[int, Intent],
    taken: AbstractSet[UUID],
    answers: dict[int, Answer],
) -> None:
    """Take back intents whose msgid somebody else has used meanwhile, and answer from the record that there is."""
    places = [place for place, intent in ours.items() if intent.settlement_id in taken]
    await repository.withdraw_intents([ours[place].settlement_id for place in places])
    now = ours[places[0]].occurred_at
    for place in places:
        del ours[place]
    await answer_known(repository, {place: commands[place] for place in places}, answers, now)


async def _answer_unwritten(
    repository: SettlementRepository, unwritten: Mapping[int, Command], answers: dict[int, Answer]
) -> None:
    """Somebody else took the msgid meanwhile, or the patient has another settlement under way."""
    paid = await paid_premiums(repository, unwritten.values())
    taken = await repository.find_by_msgids({command.key for command in unwritten.values()})
    for place, command in unwritten.items():
        if (settlement := taken.get(command.key)) is not None:
            answers[place] = recorded_answer(settlement, command.order)
        elif is_paid(command.order, paid):
            answers[place] = already_paid()
        else:
            answers[place] = SettlementRefusedError(
                Reason.IN_PROGRESS, "another settlement of this patient is under way; send the same again in a moment"
            )


async def _withdraw_strangers(
    repository: SettlementRepository,
    ours: dict[int, Intent],
    written: Mapping[UUID, Written],
    seen: Seen,
    answers: dict[int, Answer],
) -> None:
    """Take back intents of other visits than the one to which somebody else has bound the credential meanwhile."""
    bound = {
        place: intent.jti
        for place, intent in ours.items()
        if intent.jti is not None and not written[intent.settlement_id].binds and intent.jti not in seen.bound_visits
    }
    if not bound:
        return
    visits = await repository.bound_visits(set(bound.values()))
    strangers = [place for place, jti in bound.items() if visits[jti] != ours[place].order.bill.mdtrt_id]
    if strangers:
        await repository.withdraw_intents([ours[place].settlement_id for place in strangers])
    for place in strangers:
        del ours[place]
        answers[place] = VisitRefusedError(Reason.CREDENTIAL_INVALID)
