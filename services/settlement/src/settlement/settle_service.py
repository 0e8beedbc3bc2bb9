"""Settling (结算): intents, holds at binding, and the second transaction that moves the money. Everything in lists."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final
from uuid import UUID

from kit import tracing
from kit.clock import Clock, shanghai_date
from kit.db import Work, retrying
from kit.db_errors import is_unavailable, trouble
from kit.errors import Refusal
from kit.events import Event
from kit.failpoints import Boundary, Failpoints
from kit.observability import get_logger
from settlement import metrics
from settlement import settlement_events as events
from settlement.binding_client import Ask, Authorizer, BindingUnavailableError, Granted, NoGrant
from settlement.commands import Command
from settlement.domain.allocate import Allocation, Grant, Need, PaymentOrder, allocate_all
from settlement.domain.decided import Decided, decided_of
from settlement.domain.premiums import of_payer
from settlement.domain.quotes import Quote, hold
from settlement.domain.reasons import Reason, SettlementRefusedError
from settlement.domain.settling import given_back, owed_again, postings_of, settle_or_refuse
from settlement.domain.state import OrderKind, Settlement, SettlementState, abandoned, answer_from_record, asked_payers
from settlement.intents import Answer, Intake, UnderWay
from settlement.repository import Locked, SettlementRepository

_log = get_logger()

Grants = Mapping[UUID, tuple[Grant, ...]]
"""By settlement, payers in the order in which they pay."""


class BusinessDayClosedError(Exception):
    """The day on which this would be posted has been closed: the clock stands wrong, or was moved back."""

    reason = str(Reason.UNAVAILABLE)
    metadata: Mapping[str, str] = {}


Replaced = Mapping[UUID, Settlement]
"""By id, the settlements that are settled again, locked."""

RECENT_MAX: Final = 200
"""Outcomes that one request may carry, by binding's contract."""

Outcome = Settlement | Quote
"""What a request under way comes to."""


@dataclass(frozen=True, slots=True)
class Holds:
    """What binding answered: grants by settlement, and the settlements that cannot go on."""

    grants: Grants
    lost: frozenset[UUID]


@dataclass(frozen=True, slots=True)
class _Books:
    """What a batch is decided on."""

    needs: Mapping[UUID, Need]
    locked: Locked
    replaced: Replaced
    now: datetime


class SettleService:
    """The pipeline. A batch's answers are those of settling one by one in the order of arrival.

    Args:
        work: units of work.
        intake: steps 1 to 3.
        authorizer: who says which payers may give how much.
        clock: business time.
        order: which accounts pay first (R9).
        quotes_last: how long a preview holds.
        failpoints: where tests let this process die.
    """

    def __init__(
        self,
        *,
        work: Work[SettlementRepository],
        intake: Intake,
        authorizer: Authorizer,
        clock: Clock,
        order: PaymentOrder,
        quotes_last: timedelta,
        failpoints: Failpoints,
    ) -> None:
        self._work = work
        self._intake = intake
        self._authorizer = authorizer
        self._clock = clock
        self._order = order
        self._quotes_last = quotes_last
        self._failpoints = failpoints

    async def settle(self, commands: Sequence[Command]) -> list[Answer]:
        """An answer for each command, in their order.

        Once intents are written this raises no more: each command gets its own answer.

        Raises:
            Exception: the first transaction failed; it had no effect, so all may be tried again.
        """
        begun = await self._intake.begin(commands)
        answers = begun.answers
        tracing.brings_about((cause, each.place) for each in begun.under_way for cause in _causes(each))
        if begun.under_way:
            answers |= await self._carry_on(begun.under_way)
        return [answers[place] for place in range(len(commands))]

    async def _carry_on(self, under_way: Sequence[UnderWay]) -> dict[int, Answer]:
        await self._failpoints.reach(Boundary.AFTER_INTENT)
        holds = await self._hold(under_way)
        await self._failpoints.reach(Boundary.AFTER_AUTHORIZE)
        lost = [each for each in under_way if each.id in holds.lost]
        held = [each for each in under_way if each.id not in holds.lost]
        answers = await self._give_up(lost) if lost else {}
        if held:
            answers |= await self._finish(held, holds.grants)
            await self._failpoints.reach(Boundary.AFTER_COMMIT)
        return answers

    async def _hold(self, under_way: Sequence[UnderWay]) -> Holds:
        asks = [_ask(each) for each in under_way if each.intent.order.asks_payers]
        try:
            answers = await self._authorizer.authorize(asks) if asks else []
        except Exception as error:  # noqa: BLE001 - with intents written, every way to fail ends in giving up
            expected = isinstance(error, BindingUnavailableError)
            _log.error("binding gave no answer, giving up", settlements=len(asks), exc_info=None if expected else error)
            answers = [NoGrant(Reason.UNAVAILABLE) for _ in asks]
        return _holds(asks, answers)

    async def _finish(self, held: Sequence[UnderWay], grants: Grants) -> dict[int, Answer]:
        """The second transaction; if a batch fails, each alone, so that a bad one never fails the others."""
        try:
            return await retrying(lambda: self._move_money(held, grants))
        except Exception as error:  # noqa: BLE001 - whatever it is, each request gets an answer of its own
            if len(held) > 1 and not is_unavailable(error):
                return await self._finish_one_by_one(held, grants)
            _failed("settling failed, giving up", len(held), error)
            return await self._give_up(held)

    async def _finish_one_by_one(self, held: Sequence[UnderWay], grants: Grants) -> dict[int, Answer]:
        answers: dict[int, Answer] = {}
        for each in held:
            answers |= await self._finish([each], grants)
        return answers

    async def _move_money(self, held: Sequence[UnderWay], grants: Grants) -> dict[int, Answer]:
        async with self._work() as repository:
            now = self._clock.now()
            replaced = await _lock_replaced(repository, held)
            needs = {each.id: _need(each, replaced, grants) for each in held}
            locked = await repository.lock_to_settle(needs, _owners(needs.values()), shanghai_date(now))
            # Those that are missing were swept or reversed meanwhile: they are no longer ours to decide.
            owned = [each.intent.settlement for each in held if each.id in locked.pending]
            going, too_late = _still_replacing(owned, replaced)
            decided = _by_id(await release(repository, too_late, now, Reason.ALREADY_REVERSED))
            if going:
                decided |= await self._decide(repository, going, _Books(needs, locked, replaced, now))
            overtaken = [each.id for each in held if each.id not in locked.pending]
            found = await _as_decided(repository, overtaken) if overtaken else {}
            await self._failpoints.reach(Boundary.BEFORE_COMMIT)
        metrics.count(decided.values())
        return _answers(held, found | decided)

    async def _decide(
        self, repository: SettlementRepository, owned: Sequence[Settlement], books: "_Books"
    ) -> dict[UUID, Outcome]:
        """What these came to, and the settlements that were reversed by it, by id."""
        day, now, accounts = await _open(repository, books), books.now, books.locked.accounts
        allocations = allocate_all([books.needs[each.settlement_id] for each in owned], accounts, self._order)
        decided = [
            self._outcome(settlement, allocation, now)
            for settlement, allocation in zip(owned, allocations, strict=True)
        ]
        settlements = [each for each in decided if isinstance(each, Settlement)]
        quotes = [each for each in decided if isinstance(each, Quote)]
        posted = postings_of(settlements, accounts, day, books.replaced)
        await repository.post(posted, accounts)
        reversed_ = given_back(settlements, books.replaced, posted, now)
        told = await _record(repository, settlements, reversed_, day, now)
        if quotes:
            await repository.quotes.keep(quotes)
        await repository.outbox.add([*told, *events.moved(posted), *(events.kept(quote, now) for quote in quotes)])
        return _by_id(reversed_) | dict(zip((each.settlement_id for each in owned), decided, strict=True))

    def _outcome(self, settlement: Settlement, allocation: Allocation, now: datetime) -> Outcome:
        if settlement.order is not None and settlement.order.kind is OrderKind.QUOTE:
            return hold(settlement, allocation.split, now, self._quotes_last)
        return settle_or_refuse(settlement, allocation, now)

    async def _give_up(self, under_way: Sequence[UnderWay]) -> dict[int, Answer]:
        """ABANDONED and the holds released, at once; if even that fails the sweeper does it."""
        ids = [each.id for each in under_way]
        try:
            found = await retrying(lambda: abandon(self._work, ids, self._clock.now()))
        except Exception as error:  # noqa: BLE001 - the sweeper is there for what cannot even be given up
            _failed("giving up failed, leaving it to the sweeper", len(ids), error)
            return {each.place: _unknown_outcome(each) for each in under_way}
        return _answers(under_way, found)


def _failed(what: str, settlements: int, error: Exception) -> None:
    say = _log.warning if is_unavailable(error) else _log.error
    say(what, settlements=settlements, **trouble(error))


def _causes(under_way: UnderWay) -> tuple[str, ...]:
    """What the events of a request name: its settlement, and the one that it replaces."""
    replaced = under_way.intent.order.replaces
    return (str(under_way.id),) if replaced is None else (str(under_way.id), str(replaced))


async def abandon(work: Work[SettlementRepository], ids: Sequence[UUID], now: datetime) -> dict[UUID, Settlement]:
    """Abandon those of these settlements that are still PENDING; all of them as they are now."""
    async with work() as repository:
        locked = await repository.lock(ids)
        pending = [each for each in locked.values() if each.state is SettlementState.PENDING]
        given_up = await release(repository, pending, now)
        found = await repository.find_by_ids(ids)
    metrics.count(given_up)
    return found


async def release(
    repository: SettlementRepository,
    pending: Sequence[Settlement],
    now: datetime,
    reason: Reason = Reason.ABANDONED,
) -> list[Settlement]:
    """Abandon locked PENDING settlements and tell that nothing was taken; as they are after it."""
    given_up = [abandoned(settlement, reason) for settlement in pending]
    if given_up:
        await repository.save(given_up)
        await repository.outbox.add([events.decided(settlement, now) for settlement in given_up])
    return given_up


async def open_day(repository: SettlementRepository, now: datetime) -> date:
    """The business day of a time, kept from being closed until the transaction ends.

    Raises:
        BusinessDayClosedError: it is closed already.
    """
    day = shanghai_date(now)
    if not await repository.hold_business_day(day):
        raise _closed(day)
    return day


async def _open(repository: SettlementRepository, books: _Books) -> date:
    """The business day, which was locked with the rest; the first posting of a day opens it."""
    day = shanghai_date(books.now)
    if books.locked.day_is_open is None:
        return await open_day(repository, books.now)
    if not books.locked.day_is_open:
        raise _closed(day)
    return day


def _closed(day: date) -> BusinessDayClosedError:
    return BusinessDayClosedError(f"business day {day} is closed, nothing can be posted on it")


async def _record(
    repository: SettlementRepository,
    decided: Sequence[Settlement],
    reversed_: Sequence[Settlement],
    day: date,
    now: datetime,
) -> list[Event]:
    """Write what was decided, and the other sides of those that settle again; what there is to be told."""
    if decided:
        await repository.save(decided, day)
    if not reversed_:
        return [events.decided(each, now) for each in decided]
    await repository.save(reversed_)
    before = {each.replaced_by: each for each in reversed_}
    after = {each.settlement_id: each for each in decided}
    told = [events.decided(each, now, before.get(each.settlement_id)) for each in decided]
    return told + [events.decided(each, now, after[each.replaced_by]) for each in reversed_ if each.replaced_by]


async def _lock_replaced(repository: SettlementRepository, held: Sequence[UnderWay]) -> Replaced:
    """What is settled again, locked together with what settles it, in one order; nothing if there is none."""
    ids = [each.replaced.settlement_id for each in held if each.replaced is not None]
    if not ids:
        return {}
    locked = await repository.lock([*ids, *(each.id for each in held)])
    return {each: locked[each] for each in ids}


def _still_replacing(owned: Sequence[Settlement], replaced: Replaced) -> tuple[list[Settlement], list[Settlement]]:
    """Those that may go on, and those whose original has been reversed since they were asked for."""
    gone = {each for each, original in replaced.items() if original.state is not SettlementState.SETTLED}
    too_late = [each for each in owned if each.order is not None and each.order.replaces in gone]
    return [each for each in owned if each not in too_late], too_late


def _by_id(settlements: Sequence[Settlement]) -> dict[UUID, Outcome]:
    return {settlement.settlement_id: settlement for settlement in settlements}


async def _as_decided(repository: SettlementRepository, ids: Sequence[UUID]) -> dict[UUID, Outcome]:
    """What somebody has made of these, perhaps this process by a commit whose answer was lost."""
    return {**await repository.find_by_ids(ids), **await repository.quotes.find_by_ids(ids)}


def _ask(each: UnderWay) -> Ask:
    bill, intent = each.intent.order.bill, each.intent
    replaces = each.replaced.settlement_id if each.replaced is not None and asked_payers(each.replaced) else None
    recent = _with_original(each.recent, each.replaced) if replaces and each.replaced else each.recent
    payer = intent.order.premium.payer_psn_no if intent.order.premium else None
    amount_fen = bill.psn_part_amt_fen
    return Ask(each.id, bill.psn_no, amount_fen, intent.occurred_at, each.written_at, recent, replaces, payer)


def _with_original(recent: tuple[Decided, ...], original: Settlement) -> tuple[Decided, ...]:
    """What was decided lately, and the capture of what is replaced however long ago that was."""
    others = [each for each in recent if each.settlement_id != original.settlement_id]
    return (decided_of(original), *others[-(RECENT_MAX - 1) :])


def _holds(asks: Sequence[Ask], answers: Sequence[Granted]) -> Holds:
    grants: dict[UUID, tuple[Grant, ...]] = {}
    lost = set()
    for ask, answer in zip(asks, answers, strict=True):
        if isinstance(answer, NoGrant):
            _log.warning("binding does not hold", settlement=str(ask.settlement_id), reason=answer.reason)
            lost.add(ask.settlement_id)
        else:
            grants[ask.settlement_id] = answer
    return Holds(grants, frozenset(lost))


def _need(each: UnderWay, replaced: Replaced, grants: Grants) -> Need:
    order = each.intent.order
    return Need(
        psn_no=order.bill.psn_no,
        psn_part_amt_fen=order.bill.psn_part_amt_fen,
        acct_used_flag=order.acct_used_flag,
        grants=of_payer(order, grants.get(each.id, ())),
        expected_acct_pay_fen=order.expected_acct_pay_fen,
        expected_acct_mulaid_pay_fen=order.expected_acct_mulaid_pay_fen,
        is_hold=order.kind is OrderKind.QUOTE,
        replaced=owed_again(replaced[order.replaces]) if order.replaces else {},
        all_or_nothing=order.premium is not None,
    )


def _owners(needs: Collection[Need]) -> set[str]:
    payers = {grant.payer_psn_no for need in needs for grant in need.grants}
    return {need.psn_no for need in needs} | payers | {owner for need in needs for owner in need.replaced}


def _answers(under_way: Sequence[UnderWay], found: Mapping[UUID, Outcome]) -> dict[int, Answer]:
    answers: dict[int, Answer] = {}
    for each in under_way:
        outcome = found[each.id]
        try:
            answers[each.place] = outcome if isinstance(outcome, Quote) else answer_from_record(outcome)
        except SettlementRefusedError as refusal:
            answers[each.place] = refusal
    return answers


def _unknown_outcome(each: UnderWay) -> Exception:
    return Refusal(
        "UNAVAILABLE", "the outcome is not known yet; ask for it by msgid", {"setl_id": str(each.intent.settlement_id)}
    )
