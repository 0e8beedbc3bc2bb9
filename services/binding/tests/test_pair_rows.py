"""The contract of the repository, the same tests against the fake and PostgreSQL: pairs, and what is told once."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
from google.protobuf.message import Message

from binding.domain.authorizations import AuthorizationState, Outcome
from binding.domain.batch import Answer, Request
from binding.domain.limits import TOTAL_START, CounterKey, Limits, LimitWindow, Use, counter_keys
from binding.domain.relations import EndCause, RelationState
from binding.memory import MemoryRepository
from binding.repository import PostgresRepository, Repository
from binding.service.authorizations import Authorizations
from binding.testing import (
    MOTHER,
    NOON,
    TODAY,
    captured,
    have_relations,
    named,
    relation,
    released,
    request,
    restored,
    trimmed,
)
from gongji.binding.events.v1 import events_pb2
from gongji.binding.v1 import relation_pb2
from kit.clock import FixedClock
from kit.db import Database, PostgresWork, Work
from kit.testing import MemoryWork
from kit.topics import message_class

R = "father-child"
ENDED: dict[str, Any] = {"state": RelationState.ENDED, "end_cause": EndCause.UNBOUND, "ended_at": NOON}
YESTERDAY = NOON - timedelta(days=1)


class Binding:
    """The use cases on a unit of work, and what they told."""

    def __init__(self, work: Work[Repository]) -> None:
        self.work = work
        self.authorizations = Authorizations(work, FixedClock(NOON), FixedClock(NOON))

    async def ask(self, it: Request) -> Answer:
        (answer,) = await self.authorizations.authorize([it])
        return answer

    async def tell(self, *outcomes: Outcome) -> None:
        async with self.work() as repository:
            await self.authorizations.apply(repository, outcomes)

    async def paid(self, name: str, amount_fen: int, **changes: Any) -> None:
        await self.ask(request(name, amount_fen, **changes))
        at = changes.get("occurred_at", NOON)
        await self.tell(captured(name, (R, amount_fen), occurred_at=at))

    async def uses(self, day: date = TODAY) -> list[Use]:
        keys = counter_keys(named(R), day)
        async with self.work() as repository:
            found = await repository.uses(keys)
        return [found.get(key, Use()) for key in keys]

    async def sequence(self) -> int:
        async with self.work() as repository:
            known = await repository.relation(named(R))
        assert known
        return known.sequence

    async def told(self) -> list[Message]:
        raise AssertionError("each suite names its own")


def again(name: str, of: str, need_fen: int, *outcomes: Outcome, **changes: Any) -> Request:
    return request(name, need_fen, *outcomes, replaces=named(of), **changes)


def granted(answer: Answer) -> list[int]:
    assert answer.refusal is None
    return [it.granted_fen for it in answer.grants]


class PairContract:
    """What every repository does with pairs and notices."""

    @pytest.fixture
    def binding(self) -> Binding:
        raise AssertionError("each suite names its own")

    async def test_a_pair_is_counted_once_and_then_as_what_replaced(self, binding: Binding) -> None:
        await have_relations(binding.work, relation(limits=Limits(total_fen=9_500)))
        await binding.paid("a", 9_000)
        assert granted(await binding.ask(again("b", "a", 9_200))) == [9_200]
        assert await binding.uses() == [Use(9_000, 200)] * 4
        await binding.tell(captured("b", (R, 6_000)))
        assert await binding.uses() == [Use(6_000, 0)] * 4
        await binding.tell(restored("a", (R, 9_000)), captured("a", (R, 9_000)))
        assert await binding.uses() == [Use(6_000, 0)] * 4

    async def test_whichever_of_both_outcomes_comes_first_and_however_often(self, binding: Binding) -> None:
        await have_relations(binding.work, relation())
        for number, order in enumerate(([0, 1], [1, 0], [1, 1, 0, 0], [0, 0, 1])):
            a, b = f"a{number}", f"b{number}"
            await binding.paid(a, 9_000)
            await binding.ask(again(b, a, 6_000))
            both = [restored(a, (R, 9_000)), captured(b, (R, 5_000))]
            for place in order:
                await binding.tell(both[place])
            await binding.tell(restored(b, (R, 5_000)))
        assert await binding.uses() == [Use()] * 4

    async def test_a_claim_stands_until_it_is_released(self, binding: Binding) -> None:
        await have_relations(binding.work, relation())
        await binding.paid("a", 9_000)
        await binding.ask(again("b", "a", 6_000))
        refused = Answer(named("c"), refusal="IN_PROGRESS")
        assert await binding.ask(again("c", "a", 5_000)) == refused
        await binding.tell(released("b"))
        assert granted(await binding.ask(again("c", "a", 5_000))) == [5_000]
        assert await binding.uses() == [Use(9_000, 0)] * 4

    async def test_a_refused_claim_leaves_no_trace(self, binding: Binding) -> None:
        await have_relations(binding.work, relation())
        await binding.ask(request("a", 9_000))
        assert (await binding.ask(again("b", "a", 5_000))).refusal == "IN_PROGRESS"
        assert (await binding.ask(again("b", "unknown", 5_000))).refusal == "IN_PROGRESS"
        await binding.tell(captured("a", (R, 9_000)))
        assert granted(await binding.ask(again("b", "a", 5_000))) == [5_000]

    async def test_the_claim_and_the_capture_that_it_needs_come_in_one_call(self, binding: Binding) -> None:
        await have_relations(binding.work, relation(limits=Limits(total_fen=9_500)))
        await binding.ask(request("a", 9_000))
        assert granted(await binding.ask(again("b", "a", 9_500, captured("a", (R, 9_000))))) == [9_500]
        assert await binding.uses() == [Use(9_000, 500)] * 4

    async def test_what_was_paid_before_the_relation_ended_may_be_paid_again(self, binding: Binding) -> None:
        await have_relations(binding.work, relation())
        await binding.paid("a", 9_000)
        async with binding.work() as repository:
            await repository.save_relation(relation(**ENDED))
        answer = await binding.ask(again("b", "a", 9_500))
        assert [(it.granted_fen, it.reason) for it in answer.grants] == [(9_000, "RELATION_ENDED")]
        assert (await binding.authorizations.preview([again("x", "b", 1)]))[0].refusal == "IN_PROGRESS"

    async def test_on_two_days_each_keeps_its_own_windows(self, binding: Binding) -> None:
        await have_relations(binding.work, relation())
        await binding.paid("a", 9_000, occurred_at=YESTERDAY)
        await binding.ask(again("b", "a", 6_000))
        assert await binding.uses() == [Use(0, 6_000), Use(9_000, 0), Use(9_000, 0), Use(9_000, 0)]
        await binding.tell(captured("b", (R, 5_000)))
        assert await binding.uses() == [Use(5_000, 0)] * 4
        assert (await binding.uses(YESTERDAY.date()))[0] == Use()

    async def test_a_chain_ends_as_its_last_link(self, binding: Binding) -> None:
        await have_relations(binding.work, relation())
        await binding.paid("a", 9_000)
        await binding.ask(again("b", "a", 7_000))
        await binding.ask(again("c", "b", 8_000, captured("b", (R, 7_000))))
        assert await binding.uses() == [Use(7_000, 1_000)] * 4
        await binding.tell(trimmed("c", (R, 7_500)), captured("c", (R, 7_200)))
        assert await binding.uses() == [Use(7_200, 0)] * 4

    async def test_a_window_that_is_nearly_used_is_told_once(self, binding: Binding) -> None:
        await have_relations(binding.work, relation(limits=Limits(settlement_fen=9_000, year_fen=10_000)))
        await binding.ask(request("a", 7_999))
        assert await binding.told() == []
        await binding.ask(request("b", 1))
        (notice,) = await binding.told()
        assert isinstance(notice, events_pb2.LimitNearlyUsed)
        assert (notice.window, notice.used_fen, notice.limit_fen) == (relation_pb2.LIMIT_WINDOW_YEAR, 8_000, 10_000)
        assert (notice.sequence, notice.relation.relation_id) == (1, str(named(R)))
        await binding.tell(released("a"))
        await binding.ask(request("c", 9_000))
        assert len(await binding.told()) == 1
        assert await binding.sequence() == 1

    async def test_each_window_is_told_and_counted_without_a_gap(self, binding: Binding) -> None:
        limits = Limits(day_fen=100, month_fen=100, year_fen=1_000, total_fen=1_010)
        await have_relations(binding.work, relation(limits=limits))
        for number in range(10):
            at = NOON + timedelta(days=31 * number)
            await binding.ask(request(str(number), 90, occurred_at=at))
        told = [it for it in await binding.told() if isinstance(it, events_pb2.LimitNearlyUsed)]
        assert [it.sequence for it in told] == list(range(1, len(told) + 1))
        names = [relation_pb2.LimitWindow.Name(it.window).removeprefix("LIMIT_WINDOW_") for it in told]
        assert names[:2] == ["DAY", "MONTH"]
        assert (names.count("DAY"), names.count("MONTH"), names.count("TOTAL")) == (10, 10, 1)
        assert await binding.sequence() == len(told)

    async def test_a_window_that_was_told_is_in_the_book_as_told(self, binding: Binding) -> None:
        await have_relations(binding.work, relation(limits=Limits(year_fen=100, total_fen=1_000)))
        await binding.ask(request("a", 95))
        keys = counter_keys(named(R), TODAY)
        async with binding.work() as repository:
            told = await repository.nearly_used_told(keys)
        assert told == {CounterKey(named(R), LimitWindow.YEAR, date(2025, 1, 1))}
        assert CounterKey(named(R), LimitWindow.TOTAL, TOTAL_START) in keys

    async def test_a_capture_without_its_hold_is_noticed_too(self, binding: Binding) -> None:
        await have_relations(binding.work, relation(limits=Limits(total_fen=1_000)))
        await binding.tell(captured("a", (R, 400)), captured("b", (R, 500)), captured("b", (R, 500)))
        assert len(await binding.told()) == 1
        await binding.tell(captured("c", (R, 900)))
        assert len(await binding.told()) == 1

    async def test_nothing_is_told_of_what_is_not_kept(self, binding: Binding) -> None:
        await have_relations(binding.work, relation(limits=Limits(total_fen=1_000)), relation("m", payer_psn_no=MOTHER))
        await binding.authorizations.preview([request("a", 1_000)])
        assert await binding.told() == []
        assert await binding.sequence() == 0


class InMemory(Binding):
    def __init__(self, work: MemoryWork[MemoryRepository]) -> None:
        super().__init__(work)
        self.state = work.repository

    async def told(self) -> list[Message]:
        return [it for it in self.state.outbox.messages if isinstance(it, Message)]


class OnPostgres(Binding):
    def __init__(self, work: PostgresWork[PostgresRepository], database: Database) -> None:
        super().__init__(work)
        self.database = database

    async def told(self) -> list[Message]:
        async with self.database.transaction() as transaction:
            rows = await transaction.raw.fetch("SELECT type, payload FROM outbox_event ORDER BY id")
        return [message_class(row["type"]).FromString(row["payload"]) for row in rows]

    async def states(self) -> Sequence[Any]:
        async with self.database.transaction() as transaction:
            return await transaction.raw.fetch("SELECT * FROM authorization_record ORDER BY state")


class TestMemory(PairContract):
    @pytest.fixture
    def binding(self, memory_work: MemoryWork[MemoryRepository]) -> InMemory:
        return InMemory(memory_work)


class TestPostgres(PairContract):
    @pytest.fixture
    def binding(self, postgres_work: PostgresWork[PostgresRepository], database: Database) -> OnPostgres:
        return OnPostgres(postgres_work, database)

    async def test_the_rows_say_who_replaces_whom(self, binding: OnPostgres) -> None:
        await have_relations(binding.work, relation())
        await binding.paid("a", 900)
        await binding.ask(again("b", "a", 600))
        captured_row, held_row = await binding.states()
        assert (captured_row["state"], captured_row["replaced_by"]) == (AuthorizationState.CAPTURED, named("b"))
        assert (held_row["state"], held_row["replaces"]) == (AuthorizationState.HELD, named("a"))
        await binding.tell(replace(released("b"), replaces=named("a")))
        captured_row, released_row = await binding.states()
        assert (captured_row["replaced_by"], released_row["replaces"]) == (None, named("a"))
