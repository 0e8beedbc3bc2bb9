"""The life of relations with limits, step by step against an independent model: every answer, state and counter."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from support.holding_model import Bill, labels
from support.relation_model import Family, Known, day_of

from binding.domain.authorizations import OutcomeState
from binding.domain.eligibility import Policy
from binding.domain.errors import Forbidden, StateForbids
from binding.domain.limits import Limits, counter_keys
from binding.domain.notices import NoticeRules
from binding.domain.payers import PayersDiffer
from binding.domain.relations import Relation, ValidityRefused, next_priority
from binding.domain.sides import Side
from binding.memory import MemoryRepository
from binding.service.authorizations import Authorizations
from binding.service.caller import Caller
from binding.service.overviews import Overseeing
from binding.service.payers import Payers
from binding.service.persons import Facts, Persons
from binding.service.relations import Relations
from binding.service.upkeep import Upkeep
from binding.testing import (
    CHILD,
    FATHER,
    GRANDMA,
    MOTHER,
    child,
    enrolment,
    family,
    father,
    named,
    outcome,
    relation,
    request,
)
from kit.clock import FixedClock

T = TypeVar("T")
DAY = timedelta(days=1)
START = datetime(2025, 6, 29, 15, 58, tzinfo=UTC)
"""Two minutes before midnight in Shanghai, a day before a month's end."""
COMES_OF_AGE = date(2025, 8, 1)
PAYERS = (FATHER, MOTHER, GRANDMA)
OPERATOR = Caller("clerk:ops", None, frozenset({"operator"}))
LONGEST = timedelta(days=200)

limit = st.none() | st.integers(1, 3_000)
limits = st.builds(Limits, limit, limit, limit, limit, limit)
payers = st.sampled_from(PAYERS)
share = st.floats(0, 1)


def citizen(psn_no: str) -> Caller:
    return Caller(f"psn:{psn_no}", psn_no, frozenset({"citizen"}))


class RelationsInTime(RuleBasedStateMachine):
    """Three payers of one child, who comes of age meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.state = MemoryRepository()
        self.clock = FixedClock(START)
        work, policy = self.work, Policy()
        self.relations = Relations(work, self.clock, policy, longest_extension=LONGEST)
        self.payers = Payers(work, self.clock, policy)
        self.overseeing = Overseeing(work, self.clock)
        self.authorizations = Authorizations(work, self.clock, self.clock)
        self.persons = Persons(self.clock)
        self.upkeep = Upkeep(work, self.clock, self.persons, NoticeRules())
        self.state.known_persons |= family()
        self.state.known_persons[GRANDMA] = replace(father(), psn_no=GRANDMA)
        self.state.known_persons[CHILD] = child(brdy=COMES_OF_AGE.replace(year=2007))
        self.model = Family()
        self.sequence = 100

    @asynccontextmanager
    async def work(self) -> AsyncIterator[MemoryRepository]:
        """Without going back, which would copy all that there is at every step: a refusal here writes nothing."""
        yield self.state

    def do(self, step: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(step)

    def expect(self, error: type[Exception] | None, step: Coroutine[Any, Any, Any]) -> bool:
        """Do it; whether it was allowed, which the model has told before."""
        if error is None:
            self.do(step)
            return True
        with pytest.raises(error):
            self.do(step)
        return False

    @property
    def today(self) -> date:
        return day_of(self.clock.now())

    def chosen(self, at: float) -> Known:
        return self.model.known[int(at * (len(self.model.known) - 1))]

    def stored(self, it: Known) -> Relation:
        return self.state.relations[named(it.name)]

    # beginnings

    @initialize(first=limits, second=limits)
    def two_payers(self, first: Limits, second: Limits) -> None:
        self.begin(FATHER, first, 1)
        self.begin(MOTHER, second, 300)

    @rule(payer=payers, terms=limits, days=st.integers(0, 4) | st.integers(0, 60))
    def begin(self, payer: str, terms: Limits, days: int) -> None:
        """A pair without a relation gets one, as an approval makes it; who is lost or dead gets none."""
        taken = any(it.payer == payer for it in self.model.unended())
        if taken or payer in self.model.dead or payer in self.model.losses:
            return
        name, living = f"{payer} {len(self.model.known)}", self.model.living(self.today)
        priority = max((it.priority for it in living), default=0) + 1
        it = Known(name, payer, terms, self.today, self.today + days * DAY, priority)
        self.model.known.append(it)
        approved_at = self.clock.now() + timedelta(microseconds=len(self.model.known))
        made = relation(name, payer_psn_no=payer, limits=terms, valid_from=it.valid_from, valid_to=it.valid_to)
        placed = next_priority(self.stored(other) for other in living)
        self.state.relations[made.relation_id] = replace(made, priority=placed, approved_at=approved_at)

    # bills

    @rule(need_fen=st.integers(1, 2_000), seconds_late=st.integers(0, 300))
    def ask(self, need_fen: int, seconds_late: int) -> None:
        """A bill of now, or one that was under way while the clock moved on, over midnight as well."""
        at = self.clock.now() - timedelta(seconds=seconds_late)
        expected = self.model.answer(need_fen, at)
        bill = Bill(f"bill {len(self.model.bills)}", at, need_fen)
        asked = replace(request(bill.name, need_fen, occurred_at=at), requested_at=self.clock.now())
        (answer,) = self.do(self.authorizations.authorize([asked]))
        names = {named(it.name): it.name for it in self.model.known}
        assert [(names[it.relation_id], it.granted_fen, it.reason) for it in answer.grants] == expected
        bill.granted = {name: granted_fen for name, granted_fen, _ in expected}
        self.model.bills.append(bill)

    @precondition(lambda self: self.model.bills)
    @rule(which=share, part=share, decision=st.sampled_from(["CAPTURED", "CAPTURED", "RELEASED", "RESTORED"]))
    def decide(self, which: float, part: float, decision: str) -> None:
        """Settlement's outcomes are honoured whatever became of the relation; also twice."""
        bill = self.model.bills[int(which * (len(self.model.bills) - 1))]
        if decision == "CAPTURED" and not bill.told:
            bill.paid = {name: int(part * granted_fen) for name, granted_fen in bill.granted.items()}
        against = {"CAPTURED", "RESTORED"} if decision == "RELEASED" else {"RELEASED"}
        if bill.told & against or (decision == "RESTORED" and "CAPTURED" not in bill.told):
            return  # settlement never says so
        told = outcome(bill.name, OutcomeState(decision), *sorted(bill.paid.items()), occurred_at=bill.at)
        self.do(self._apply(told))
        bill.told.add(decision)

    async def _apply(self, told: Any) -> None:
        async with self.work() as repository:
            await self.authorizations.apply(repository, [told])

    # what parties and operators do

    @rule(which=share, terms=limits)
    def change_limits(self, which: float, terms: Limits) -> None:
        it = self.chosen(which)
        error = None if it.may_change(self.today) else StateForbids
        if self.expect(error, self.relations.change_limits(citizen(it.payer), named(it.name), terms)):
            it.limits = terms

    @rule(which=share, days=st.sampled_from([-1, 0, 1, 2, 40, 199, 200, 201]))
    def extend(self, which: float, days: int) -> None:
        it = self.chosen(which)
        valid_to = it.valid_to + days * DAY
        too_far = valid_to > max(it.valid_to, self.today + LONGEST)
        error = StateForbids if not it.may_change(self.today) else ValidityRefused if days < 0 or too_far else None
        if self.expect(error, self.relations.extend(citizen(it.payer), named(it.name), valid_to)):
            it.valid_to = valid_to

    @rule(which=share)
    def suspend(self, which: float) -> None:
        it = self.chosen(which)
        error = StateForbids if it.over else None
        if self.expect(error, self.relations.suspend(OPERATOR, named(it.name), "checking")):
            it.suspended = it.suspended or it.may_change(self.today)

    @rule(which=share)
    def resume(self, which: float) -> None:
        it = self.chosen(which)
        error = None if it.may_change(self.today) else StateForbids
        if self.expect(error, self.relations.resume(OPERATOR, named(it.name), "checked")):
            it.suspended = False

    @rule(which=share, by_child=st.booleans())
    def unbind(self, which: float, by_child: bool) -> None:  # noqa: FBT001 - drawn
        it = self.chosen(which)
        minor = by_child and self.today < COMES_OF_AGE
        caller = citizen(CHILD if by_child else it.payer)
        step = self.relations.unbind(caller, named(it.name), "moved away")
        if self.expect(Forbidden if minor else None, step) and it.state != "ENDED":
            it.recorded = it.ran_out(self.today)
            it.over = "" if it.recorded else "UNBOUND"

    @rule(chance=st.randoms(use_true_random=False), by=st.sampled_from([*PAYERS, CHILD]), forget=st.integers(0, 5))
    def order(self, chance: Any, by: str, forget: int) -> None:
        """The child when of age, before that a payer; all of them are parents here. Now and then one is forgotten."""
        living = self.model.living(self.today)
        placed = list(living)
        chance.shuffle(placed)
        named_ones = placed[1:] if forget == 0 else placed
        allowed = by == CHILD if self.today >= COMES_OF_AGE else any(it.payer == by for it in living)
        differ = PayersDiffer if len(named_ones) != len(living) else None
        step = self.payers.order(citizen(by), CHILD, [it.payer for it in named_ones])
        if self.expect(differ if allowed else Forbidden, step):
            for number, it in enumerate(placed, 1):
                it.priority = number

    @precondition(lambda self: self.ran_out_unrecorded())
    @rule(which=share, step=st.sampled_from(["change", "extend", "suspend", "resume", "unbind"]), terms=limits)
    def touch_what_ran_out(self, which: float, step: str, terms: Limits) -> None:
        """Between the last day and the scheduler, which the rules above seldom meet."""
        ran_out = self.ran_out_unrecorded()
        it = ran_out[int(which * (len(ran_out) - 1))]
        at = self.model.known.index(it) / max(1, len(self.model.known) - 1)
        match step:
            case "change":
                self.change_limits(at, terms)
            case "extend":
                self.extend(at, 40)
            case "suspend":
                self.suspend(at)
            case "resume":
                self.resume(at)
            case _:
                self.unbind(at, by_child=False)

    def ran_out_unrecorded(self) -> list[Known]:
        return [it for it in self.model.unended() if it.ran_out(self.today)]

    # time and facts

    @rule(by=st.sampled_from([timedelta(hours=7), DAY, 9 * DAY]))
    def time_passes(self, by: timedelta) -> None:
        self.clock.advance(by)

    @rule(scheduled=st.booleans())
    def midnight_passes(self, scheduled: bool) -> None:  # noqa: FBT001 - drawn
        """By a minute: what was under way is of the day before."""
        noon_of_it = datetime(self.today.year, self.today.month, self.today.day, 4, tzinfo=UTC)
        self.clock.set(noon_of_it + timedelta(hours=12, minutes=1))
        if scheduled:
            self.scheduler_comes_by()

    @rule()
    def scheduler_comes_by(self) -> None:
        for batch in (
            self.upkeep.expire,
            self.upkeep.end_lost,
            self.upkeep.tell_expiring,
            self.upkeep.tell_coming_of_age,
        ):
            while self.do(batch()):
                pass
        self.model.kept_up(self.today)

    @precondition(lambda self: len(self.model.bills) > 1)
    @rule(payer=payers, days=st.integers(-5, 5))
    def loses_enrolment(self, payer: str, days: int) -> None:
        if payer in self.model.losses or payer in self.model.dead:
            return
        self.sequence += 1
        since = self.today + days * DAY
        stated = enrolment(psn_insu_stas=4, valid_from=since, sequence=self.sequence)
        self.do(self._hear(Facts(enrolments=[(payer, stated)])))
        self.model.losses[payer] = since
        self.model.lost(payer, self.today)

    @precondition(lambda self: len(self.model.bills) > 3)
    @rule(payer=payers)
    def dies(self, payer: str) -> None:
        self.do(self._hear(Facts(deaths=[(payer, self.today)])))
        self.model.died(payer)

    async def _hear(self, facts: Facts) -> None:
        async with self.work() as repository:
            await self.persons.take_in(repository, facts)

    # what always holds

    @invariant()
    def states_are_the_models(self) -> None:
        for it in self.model.known:
            stored = self.stored(it)
            assert (stored.state.value, stored.limits, stored.valid_to, stored.priority) == (
                *(it.state, it.limits, it.valid_to, it.priority),
            ), it
            assert (stored.end_cause.value if stored.end_cause else "") == it.end_cause, it

    @invariant()
    def counters_are_the_models(self) -> None:
        stored: dict[tuple[str, str, str], tuple[int, int]] = {}
        for bill in self.model.bills:
            for it in self.model.known:
                keys = counter_keys(named(it.name), day_of(bill.at))
                for key, label in zip(keys, labels(it.name, bill.at), strict=True):
                    use = self.state.counters.get(key)
                    if use and (use.used_fen or use.held_fen):
                        stored[label] = (use.used_fen, use.held_fen)
        assert stored == self.model.charged()

    @invariant()
    def the_next_bill_gets_what_the_model_says(self) -> None:
        """Also one that was under way while the clock moved on."""
        names = {named(it.name): it.name for it in self.model.known}
        for ago in (timedelta(), timedelta(minutes=5)):
            at = self.clock.now() - ago
            asked = replace(request("preview", 10**6, occurred_at=at), requested_at=self.clock.now())
            (shown,) = self.do(self.authorizations.preview([asked]))
            answer = [(names[it.relation_id], it.granted_fen, it.reason) for it in shown.grants]
            assert answer == self.model.answer(10**6, at)

    @invariant()
    def an_overview_shows_what_the_next_bill_would_get(self) -> None:
        seen = self.do(self.overseeing.overview(citizen(CHILD), CHILD, Side.BENEFICIARY)).relations
        now, charged = self.clock.now(), self.model.charged()
        for view in seen:
            it = next(it for it in self.model.known if named(it.name) == view.relation.relation_id)
            reason, room = self.model.refusal(it, self.today), self.model.room(it, now, charged)
            assert view.reason == reason
            assert view.payable_fen == (0 if reason else room if room is None else max(0, room))
        assert {view.relation.relation_id for view in seen} == {named(it.name) for it in self.model.unended()}

    def teardown(self) -> None:
        self.loop.close()
        sequences: dict[str, list[int]] = {}
        ahead: Counter[tuple[str, str, str]] = Counter()
        for row, message in zip(self.state.outbox.rows, self.state.outbox.messages, strict=True):
            sequences.setdefault(row.key, []).append(row.sequence or 0)
            told: Any = message
            if row.type.endswith(("RelationExpiring", "BeneficiaryComesOfAge")):
                about = told.relation.valid_to if row.type.endswith("RelationExpiring") else ""
                ahead[row.key, row.type, about] += 1
        assert all(numbers == list(range(1, len(numbers) + 1)) for numbers in sequences.values())
        assert set(ahead.values()) <= {1}


TestRelationsInTime = RelationsInTime.TestCase
TestRelationsInTime.settings = settings(max_examples=45, stateful_step_count=50, deadline=None)
