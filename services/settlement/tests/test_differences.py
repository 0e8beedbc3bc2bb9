"""Comparing an institution's lines with ours, on memory and on PostgreSQL alike, and the worklist that is kept."""

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import date, timedelta
from itertools import count
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.reconciled import BEFORE_MIDNIGHT, MIDNIGHT, PHARMACY, TODAY, TOMORROW, Region

from gongji.settlement.v1 import reconciliation_pb2 as pb2
from kit.clock import FixedClock
from kit.db import Database, PostgresWork, Work
from kit.errors import InvalidFields
from kit.testing import MemoryWork, eventually, patient_database
from settlement import difference_codec, difference_service
from settlement.account_repository import PostgresAccountRepository
from settlement.difference_memory import MemoryDifferences
from settlement.difference_repository import DifferenceRepository, PostgresDifferenceRepository
from settlement.difference_service import DifferenceService, Resolution
from settlement.domain.differences import (
    BY_COMPARISON,
    Change,
    Compared,
    Difference,
    DifferenceKind,
    DifferenceState,
    LineKey,
    Mismatch,
    brought_up_to_date,
    compare,
)
from settlement.domain.reasons import SettlementRefusedError
from settlement.domain.reconciliation import Amounts
from settlement.memory import MemorySettlements
from settlement.postgres_repository import PostgresSettlementRepository
from settlement.reconciliation_memory import MemoryReconciliation
from settlement.reconciliation_repository import PostgresReconciliationRepository, ReconciliationRepository
from settlement.repository import SettlementRepository
from settlement.testing import HOSPITAL, TEN_O_CLOCK, account, msgid

OPEN, EXPLAINED, SOLVED = DifferenceState.OPEN, DifferenceState.EXPLAINED, DifferenceState.SOLVED
ONE = Amounts(1, 100, 0, 0, 0, 100, 0)
Lines = dict[LineKey, Amounts]


class Desk:
    """A region whose hospital compares its lines."""

    def __init__(self, region: Region, differences: Work[DifferenceRepository]) -> None:
        self.region = region
        self.service = DifferenceService(differences, region.world.clock)

    async def ours(self, day: date = TODAY) -> Lines:
        lines: Lines = {}
        async for page in self.region.service.details(HOSPITAL, day):
            lines |= {(line.msgid, line.refd_setl_flag): line.amounts for line in page}
        return lines

    async def compare(self, there: Lines, day: date = TODAY) -> Compared:
        return await self.service.compare(HOSPITAL, day, there)

    async def worklist(self, day: date | None = None, state: DifferenceState | None = None) -> Sequence[Difference]:
        return await self.service.page(HOSPITAL, day, state, None, 500)

    async def say(
        self, difference: Difference, state: DifferenceState, institution: str | None = HOSPITAL, note: str = "why"
    ) -> Difference:
        by = f"institution/{institution}" if institution else "clerk:zhao"
        return await self.service.resolve(Resolution(difference.difference_id, state, note, by, institution))


class DifferencesContract:
    """What both sides may rely on, whatever the rows are kept in."""

    async def test_the_same_lines_match_and_nothing_is_kept(self, desk: Desk) -> None:
        await desk.region.settle(100)
        await desk.region.settle(50, code=PHARMACY)
        await desk.region.settle(70)
        await desk.region.reverse()
        ours = await desk.ours()
        assert len(ours) == 3
        assert await desk.compare(ours) == Compared(3, ())
        assert await desk.worklist() == []

    async def test_each_way_to_differ_is_kept_as_an_open_item(self, desk: Desk) -> None:
        for fen in (100, 70):
            await desk.region.settle(fen)
        (first, second), there = await desk.ours(), await desk.ours()
        del there[first]
        there[second] = replace(there[second], psn_cash_pay_fen=1)
        there[msgid(999), True] = ONE
        compared = await desk.compare(there)
        assert (compared.matched, len(compared.mismatches)) == (0, 3)
        found = {each.mismatch.key: each for each in await desk.worklist()}
        assert {key: each.mismatch.kind for key, each in found.items()} == {
            first: DifferenceKind.ONLY_HERE,
            second: DifferenceKind.AMOUNTS_DIFFER,
            (msgid(999), True): DifferenceKind.ONLY_THERE,
        }
        assert found[second].mismatch.there == there[second]
        assert found[second].mismatch.here == (await desk.ours())[second]
        assert {each.changes for each in found.values()} == {(Change(OPEN, BY_COMPARISON, "found", desk.region.now),)}

    async def test_a_line_on_the_other_side_of_midnight_differs_on_both_days(self, desk: Desk) -> None:
        desk.region.at(BEFORE_MIDNIGHT)
        await desk.region.settle(100)
        theirs = await desk.ours()
        desk.region.at(MIDNIGHT)
        assert (await desk.compare({}, TODAY)).count(DifferenceKind.ONLY_HERE) == 1
        assert (await desk.compare(theirs, TOMORROW)).count(DifferenceKind.ONLY_THERE) == 1
        assert [each.day for each in await desk.worklist()] == [TODAY, TOMORROW]
        assert [each.day for each in await desk.worklist(TOMORROW)] == [TOMORROW]

    async def test_comparing_again_duplicates_nothing_and_keeps_what_was_said(self, desk: Desk) -> None:
        await desk.compare({(msgid(1), False): ONE, (msgid(2), False): ONE})
        first, second = await desk.worklist()
        explained = await desk.say(first, EXPLAINED)
        assert (await desk.compare({(msgid(1), False): ONE, (msgid(2), False): ONE})).solved == 0
        assert await desk.worklist() == [explained, second]

    async def test_what_agrees_by_then_is_solved_and_opens_when_it_differs_again(self, desk: Desk) -> None:
        await desk.compare({(msgid(1), False): ONE})
        desk.region.at(MIDNIGHT)
        assert (await desk.compare({})).solved == 1
        assert (await desk.compare({})).solved == 0
        (solved,) = await desk.worklist(state=SOLVED)
        assert solved.changes[-1] == Change(SOLVED, BY_COMPARISON, "the sides agree by now", desk.region.now)
        await desk.compare({(msgid(1), False): ONE})
        (again,) = await desk.worklist(state=OPEN)
        assert (again.difference_id, len(again.changes)) == (solved.difference_id, 3)

    async def test_an_explanation_does_not_outlive_other_amounts(self, desk: Desk) -> None:
        await desk.compare({(msgid(1), False): ONE})
        await desk.say((await desk.worklist())[0], EXPLAINED)
        other = replace(ONE, medfee_sumamt_fen=101, psn_cash_pay_fen=1)
        await desk.compare({(msgid(1), False): other})
        (item,) = await desk.worklist()
        assert (item.state, item.mismatch.there) == (OPEN, other)
        assert [change.state for change in item.changes] == [OPEN, EXPLAINED, OPEN]

    async def test_what_an_operator_solved_opens_when_it_is_still_there(self, desk: Desk) -> None:
        await desk.compare({(msgid(1), False): ONE})
        await desk.say((await desk.worklist())[0], SOLVED, institution=None)
        await desk.compare({(msgid(1), False): ONE})
        assert (await desk.worklist())[0].state is OPEN

    async def test_every_change_says_who_when_and_why(self, desk: Desk) -> None:
        await desk.compare({(msgid(1), False): ONE})
        (item,) = await desk.worklist()
        desk.region.at(MIDNIGHT)
        await desk.say(item, EXPLAINED, note="keyed in twice")
        said = await desk.say(item, SOLVED, institution=None, note="struck out")
        assert said == (await desk.worklist())[0]
        assert said.changes[1:] == (
            Change(EXPLAINED, f"institution/{HOSPITAL}", "keyed in twice", desk.region.now),
            Change(SOLVED, "clerk:zhao", "struck out", desk.region.now),
        )

    async def test_an_institution_only_explains_its_own_and_what_is_not_solved(self, desk: Desk) -> None:
        await desk.compare({(msgid(1), False): ONE})
        (item,) = await desk.worklist()
        stranger = replace(item, difference_id=uuid4())
        await refused("FORBIDDEN_INSTITUTION", desk, item, EXPLAINED, PHARMACY)
        await refused("NOT_FOUND", desk, stranger, EXPLAINED, HOSPITAL)
        for state in (OPEN, SOLVED):
            await refused("FORBIDDEN", desk, item, state, HOSPITAL)
        await desk.say(item, SOLVED, institution=None)
        await refused("STATE_FORBIDS", desk, item, EXPLAINED, HOSPITAL)
        assert (await desk.say(item, OPEN, institution=None)).state is OPEN

    async def test_pages_have_each_item_once(self, desk: Desk) -> None:
        await desk.compare({(msgid(number), False): ONE for number in range(7)})
        await desk.service.compare(PHARMACY, TODAY, {(msgid(1, PHARMACY), False): ONE})
        whole, after, paged = await desk.worklist(), None, list[Difference]()
        while page := await desk.service.page(HOSPITAL, None, None, after, 3):
            paged += page
            after = page[-1].difference_id
        assert paged == whole
        assert len(whole) == 7


async def refused(reason: str, desk: Desk, item: Difference, state: DifferenceState, institution: str) -> None:
    with pytest.raises(SettlementRefusedError) as caught:
        await desk.say(item, state, institution)
    assert caught.value.reason == reason


class TestMemoryDifferences(DifferencesContract):
    @pytest.fixture
    def desk(self) -> Desk:
        memory = MemorySettlements()
        memory.accounts["father"] = account("father", 50_000)
        region = Region(MemoryWork(memory), MemoryWork[ReconciliationRepository](MemoryReconciliation(memory)))
        return Desk(region, MemoryWork[DifferenceRepository](MemoryDifferences(memory)))


class TestPostgresDifferences(DifferencesContract):
    @pytest.fixture
    async def database(self, database_url: str) -> AsyncIterator[Database]:
        database = patient_database(database_url, 4)
        async with PostgresWork(database, PostgresAccountRepository)() as repository:
            await repository.add(account("father", 50_000))
        yield database
        await database.close()

    @pytest.fixture
    def desk(self, database: Database) -> Desk:
        region = Region(
            PostgresWork[SettlementRepository](database, PostgresSettlementRepository),
            PostgresWork[ReconciliationRepository](database, PostgresReconciliationRepository),
        )
        return Desk(region, PostgresWork[DifferenceRepository](database, PostgresDifferenceRepository))

    async def test_two_comparisons_at_once_find_each_line_once(self, desk: Desk) -> None:
        there = {(msgid(number), number % 2 == 0): ONE for number in range(200)}
        answers = await asyncio.gather(*(desk.compare(there) for _ in range(3)))
        assert {len(each.mismatches) for each in answers} == {200}
        items = await desk.worklist()
        assert len(items) == 200
        assert {len(each.changes) for each in items} == {1}


KEYS = st.tuples(st.sampled_from("abcd"), st.booleans())
SIDES = st.dictionaries(KEYS, st.integers(1, 3).map(lambda fen: replace(ONE, medfee_sumamt_fen=fen)))
DAYS = st.lists(
    st.tuples(SIDES, SIDES, st.dictionaries(KEYS, st.sampled_from([EXPLAINED, SOLVED]))), min_size=1, max_size=5
)


@given(SIDES, SIDES)
def test_every_line_matches_or_differs_in_one_way(here: Lines, there: Lines) -> None:
    compared = compare(here, there)
    told = {each.key: (each.here, each.there) for each in compared.mismatches}
    for key in here.keys() | there.keys():
        assert told.pop(key, (0, 0)) == ((here.get(key), there.get(key)) if here.get(key) != there.get(key) else (0, 0))
    assert told == {}
    assert compared.matched + compared.count(DifferenceKind.AMOUNTS_DIFFER) + compared.count(
        DifferenceKind.ONLY_THERE
    ) == len(there)
    assert compared.count(DifferenceKind.ONLY_HERE) == len(here.keys() - there.keys())


@given(DAYS)
@settings(max_examples=80, deadline=None)
def test_the_worklist_is_what_differs_now_and_remembers_the_rest(
    days: list[tuple[Lines, Lines, dict[LineKey, DifferenceState]]],
) -> None:
    ids, known = count(1), dict[LineKey, Difference]()

    def begin(mismatch: Mismatch, change: Change) -> Difference:
        return Difference(UUID(int=next(ids)), HOSPITAL, TODAY, mismatch, (change,))

    for number, (here, there, said) in enumerate(days):
        now, before = TEN_O_CLOCK + timedelta(days=number), dict(known)
        found = {each.key: each for each in compare(here, there).mismatches}
        changed = brought_up_to_date(before.values(), list(found.values()), begin, now)
        known |= {each.mismatch.key: each for each in changed}
        assert len(changed) == len({each.mismatch.key for each in changed})
        for key, item in known.items():
            was = before.get(key)
            assert (item.state is SOLVED) == (key not in found)
            if key in found:
                same = was is not None and was.mismatch == found[key] and was.state is not SOLVED
                assert item.mismatch == found[key]
                assert item.state is (was.state if same and was else OPEN)
            assert was is None or item.difference_id == was.difference_id
            assert was is None or item.changes[: len(was.changes)] == was.changes
        for key, state in said.items():
            if key in known:
                known[key] = known[key].after(Change(state, "clerk:zhao", "why", now))


async def test_others_are_served_while_a_worklist_is_brought_up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, served = threading.Event(), threading.Event()

    def waiting(*given: Any) -> list[Difference]:
        begun.set()
        assert served.wait(60), "nobody was served meanwhile"
        return brought_up_to_date(*given)

    monkeypatch.setattr(difference_service, "brought_up_to_date", waiting)
    service = DifferenceService(MemoryWork(MemoryDifferences(MemorySettlements())), FixedClock(TEN_O_CLOCK))
    comparing = asyncio.create_task(service.compare(HOSPITAL, TODAY, {(msgid(1), False): ONE}))
    await eventually(begun.is_set)
    served.set()
    assert len((await comparing).mismatches) == 1


async def messages(*requests: pb2.CompareDetailsRequest) -> AsyncIterator[pb2.CompareDetailsRequest]:
    for request in requests:
        yield request


def message(*numbers: int, **changes: str) -> pb2.CompareDetailsRequest:
    lines = [pb2.ComparedLine(msgid=msgid(number), medfee_sumamt=number, acct_pay=number) for number in numbers]
    facts = {"fixmedins_code": HOSPITAL, "day": "2025-06-10", **changes}
    return pb2.CompareDetailsRequest(lines=lines, **facts)


async def test_lines_are_gathered_from_all_messages() -> None:
    lines = await difference_codec.lines_in(message(1), messages(message(), message(2, 3)))
    assert lines == {(msgid(number), False): Amounts(1, number, 0, 0, number) for number in (1, 2, 3)}


@pytest.mark.parametrize(
    ("rest", "field"),
    [
        (message(2, day="2025-06-11"), "day"),
        (message(2, fixmedins_code=PHARMACY), "fixmedins_code"),
        (message(2, 1), "lines[1].msgid"),
    ],
)
async def test_a_stream_is_of_one_institution_and_day_and_has_no_line_twice(
    rest: pb2.CompareDetailsRequest, field: str
) -> None:
    with pytest.raises(InvalidFields) as caught:
        await difference_codec.lines_in(message(1), messages(rest))
    assert [violation.field for violation in caught.value.violations] == [field]


async def test_a_line_of_another_institution_is_refused() -> None:
    foreign = pb2.CompareDetailsRequest(
        fixmedins_code=HOSPITAL, day="2025-06-10", lines=[pb2.ComparedLine(msgid=msgid(1, PHARMACY))]
    )
    with pytest.raises(SettlementRefusedError) as caught:
        await difference_codec.lines_in(foreign, messages())
    assert caught.value.reason == "FORBIDDEN_INSTITUTION"


async def test_more_lines_than_are_taken_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(difference_codec, "COMPARED_LINES_MAX", 3)
    assert len(await difference_codec.lines_in(message(1, 2), messages(message(3)))) == 3
    with pytest.raises(SettlementRefusedError) as caught:
        await difference_codec.lines_in(message(1, 2), messages(message(3, 4)))
    assert caught.value.reason == "BATCH_TOO_LARGE"


def test_a_place_in_the_list_travels_as_an_opaque_token() -> None:
    items = [
        Difference(
            UUID(int=number), HOSPITAL, TODAY, Mismatch(("m", False), None, ONE), (Change(OPEN, "c", "n", TEN_O_CLOCK),)
        )
        for number in (1, 2)
    ]
    assert difference_codec.page_message(items, 2).next_page_token == ""
    token = difference_codec.page_message(items, 1).next_page_token
    assert difference_codec.place_of(token) == UUID(int=1)
    assert difference_codec.place_of("") is None
    for wrong in ("x", "AAAA", "ä", token[:-4]):
        with pytest.raises(InvalidFields):
            difference_codec.place_of(wrong)
