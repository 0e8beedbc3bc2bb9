"""Holds, pairs, chains and limits against an independent model, whatever the order in which outcomes arrive."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from random import Random
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.holding_model import MOMENTS, RELATIONS, Bill, Label, Model, Settlement, Told, labels, relations

from binding.domain.limits import CounterKey, Limits, LimitWindow, Use, counter_keys
from binding.domain.relations import EndCause, RelationState
from binding.memory import MemoryRepository
from binding.repository import PostgresRepository, Repository
from binding.service.authorizations import Authorizations
from binding.service.nearly_used import tell_of_limits
from binding.testing import NOON, have_relations, named
from gongji.binding.events.v1 import events_pb2
from gongji.binding.v1 import relation_pb2
from kit.clock import FixedClock, shanghai_date
from kit.db import Database, PostgresWork, Work
from kit.testing import MemoryWork
from kit.topics import message_class

PERCENT = 80
STEPS = ["ask", "again", "again", "again", "decide", "decide", "decide", "reverse", "limits", "late", "late", "late"]
NAMES = {named(name): name for name in RELATIONS}
KEYS: dict[CounterKey, Label] = {
    key: label
    for name in RELATIONS
    for at in MOMENTS
    for key, label in zip(counter_keys(named(name), shanghai_date(at)), labels(name, at), strict=True)
}
Totals = dict[Label, tuple[int, int]]


class Play:
    """One settlement, one binding and the model, step by step; every step is checked."""

    def __init__(self, work: Work[Repository], chance: Random, limits: Limits) -> None:
        self.work = work
        self.authorizations = Authorizations(work, FixedClock(NOON), FixedClock(NOON), PERCENT)
        self.chance = chance
        self.model = Model(limits)
        self.settlement = Settlement(self.model, chance)
        self.ended = False
        self.before: Totals = {}
        self.reached: set[Label] = set()
        """Labels that were nearly used at some time."""
        self.due: set[Label] = set()
        """Those that a grant or a lowered limit made so."""

    async def run(self, steps: int) -> None:
        await have_relations(self.work, *relations(self.model.limits))
        for number in range(steps):
            await self.step(f"bill {number}")
            await self.check()
        await self.deliver_the_rest()
        await self.check()

    async def step(self, name: str) -> None:
        undecided = [bill for bill in self.model.bills if not bill.decided]
        standing = [bill for bill in self.model.bills if bill.decided == "CAPTURED" and not bill.reversed]
        match self.chance.choice(
            ["ask", "ask", "again", "again", "decide", "decide", "reverse", "limits", "late", "late"]
        ):
            case "ask":
                await self.ask(self.settlement.new(name))
            case "again" if self.model.bills:
                # The oldest that stands, so that one that was released is followed by another.
                await self.ask(self.settlement.new(name, (standing or self.model.bills)[0]))
            case "decide" if undecided:
                self.decide(self.chance.choice(undecided))
            case "reverse" if standing:
                self.settlement.reverse(self.chance.choice(standing))
            case "limits":
                await self.change_relations()
            case "late" if self.settlement.messages:
                await self.deliver(self.chance.choice(self.settlement.messages))

    def decide(self, bill: Bill) -> None:
        """A bill whose predecessor was reversed meanwhile can only be given up."""
        lost = bill.replaces is not None and bill.replaces.reversed
        match self.chance.choice(["trim", "capture", "capture", "release"]):
            case "trim":
                self.settlement.trim(bill)
            case "capture" if not lost:
                self.settlement.capture(bill)
            case _:
                self.settlement.release(bill)

    async def ask(self, bill: Bill) -> None:
        asked = self.settlement.request(bill)
        for it in asked.outcomes:
            self.hear(it.authorization_id, it.state.value)
        self.before = self.model.totals()
        (shown,) = await self.authorizations.preview([asked])
        answers = [shown, *await self.authorizations.authorize([asked]), *await self.authorizations.authorize([asked])]
        assert answers[1:] == answers[:-1]
        if bill.replaces and not self.model.replaceable(bill.replaces):
            assert shown.refusal == "IN_PROGRESS"
            return
        assert [it.granted_fen for it in shown.grants] == [self.grant(bill, name) for name in RELATIONS]
        self.settlement.answered(bill, shown)
        self.model.bills.append(bill)
        self.due |= {label for name in RELATIONS for label in labels(name, bill.at)} & self.nearly(risen=True)

    def grant(self, bill: Bill, name: str) -> int:
        granted = self.model.grant(bill, name)
        again = bill.replaces.charge(name)[1] if bill.replaces else 0
        return min(granted, again) if self.ended else granted

    async def deliver(self, told: Told) -> None:
        for it in told:
            self.hear(it.authorization_id, it.state.value)
        async with self.work() as repository:
            await self.authorizations.apply(repository, told)

    def hear(self, authorization_id: object, state: str) -> None:
        self.model.hear(next(it for it in self.model.bills if named(it.name) == authorization_id), state)

    async def change_relations(self) -> None:
        """New limits, or both relations end or live again: what no person could do, to try everything."""
        state = {"state": RelationState.ENDED, "end_cause": EndCause.UNBOUND, "ended_at": NOON}
        self.ended = self.chance.random() < 0.3
        if self.chance.random() < 0.5:
            self.model.limits = limits_by(self.chance)
        async with self.work() as repository:
            for it in relations(self.model.limits, **(state if self.ended else {})):
                known = await repository.relation(it.relation_id, lock=True)
                assert known
                changed = replace(it, sequence=known.sequence)
                await repository.save_relation(changed)
                await tell_of_limits(repository, changed, MOMENTS[-1], PERCENT)
        if not self.ended:
            today = {label for name in RELATIONS for label in labels(name, MOMENTS[-1])}
            self.due |= today & self.nearly(risen=False)

    def nearly(self, *, risen: bool) -> set[Label]:
        """Labels that are nearly used now; only those that a grant has raised, when asked so."""
        now = self.model.totals()
        if self.ended:
            return set()
        return {
            label
            for label, use in now.items()
            if (limit_fen := self.limit_of(label)) is not None and sum(use) * 100 >= limit_fen * PERCENT
            if not risen or sum(use) > sum(self.before.get(label, (0, 0)))
        }

    def limit_of(self, label: Label) -> int | None:
        return self.model.limits.of(LimitWindow(label[1]))

    async def check(self) -> None:
        """The counters are the model's, and above a limit nothing has risen."""
        async with self.work() as repository:
            uses = await repository.uses(list(KEYS))
        now = {KEYS[key]: (use.used_fen, use.held_fen) for key, use in uses.items() if use != Use()}
        assert now == self.model.totals()
        for label, use in now.items():
            limit_fen = self.limit_of(label)
            assert limit_fen is None or sum(use) <= max(limit_fen, sum(self.before.get(label, (0, 0))))
        self.reached |= self.nearly(risen=False)
        self.before = now

    async def deliver_the_rest(self) -> None:
        """Everything that was ever said, again and again in any order; then what stands is what settlement decided."""
        rest = self.settlement.messages * self.chance.randint(1, 3)
        self.chance.shuffle(rest)
        for told in rest:
            await self.deliver(told)
        for bill in self.model.bills:
            assert ("CAPTURED" in bill.told or "RESTORED" in bill.told) == (bill.decided == "CAPTURED")
            assert ("RESTORED" in bill.told) == bill.reversed
            assert ("RELEASED" in bill.told) == (bill.decided == "RELEASED")

    def check_notices(self, told: Sequence[events_pb2.LimitNearlyUsed]) -> None:
        """Each window was told once at most, and every one that had to be; sequences have no gap."""
        for name in RELATIONS:
            of_relation = [it for it in told if it.relation.relation_id == str(named(name))]
            assert [it.sequence for it in of_relation] == list(range(1, len(of_relation) + 1))
            assert all(it.used_fen * 100 >= it.limit_fen * PERCENT for it in of_relation)
        assert len(told) <= len(self.reached)
        windows = {(NAMES[UUID(it.relation.relation_id)], relation_pb2.LimitWindow.Name(it.window)) for it in told}
        assert {(name, f"LIMIT_WINDOW_{window}") for name, window, _ in self.due} <= windows
        assert len(told) >= len(self.due)


def limits_by(chance: Random) -> Limits:
    return Limits(*(chance.choice([None, chance.randint(1, 5_000)]) for _ in LimitWindow))


def notices(messages: Sequence[object]) -> list[events_pb2.LimitNearlyUsed]:
    return [it for it in messages if isinstance(it, events_pb2.LimitNearlyUsed)]


@settings(deadline=None, max_examples=60)
@given(st.randoms(use_true_random=False), st.integers(10, 40))
def test_whatever_arrives_when_the_counters_are_the_sums_of_the_greater_of_each_pair(
    chance: Random, steps: int
) -> None:
    work = MemoryWork(MemoryRepository())
    play = Play(work, chance, limits_by(chance))
    asyncio.run(play.run(steps))
    play.check_notices(notices(work.repository.outbox.messages))


@pytest.mark.parametrize("seed", range(4))
async def test_postgresql_keeps_the_same_counters(
    postgres_work: PostgresWork[PostgresRepository], database: Database, seed: int
) -> None:
    chance = Random(seed)  # noqa: S311 - a test's order, no secret
    play = Play(postgres_work, chance, limits_by(chance))
    await play.run(60)
    async with database.transaction() as transaction:
        rows = await transaction.raw.fetch("SELECT type, payload FROM outbox_event ORDER BY id")
    play.check_notices(notices([message_class(row["type"]).FromString(row["payload"]) for row in rows]))
