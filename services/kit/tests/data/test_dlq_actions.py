"""What was done with letters: one contract for the table and for its double in memory."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from kit.db import Database
from kit.dead_letters import StoredRecord
from kit.dlq_actions import Action, ActionsWork, Deed, MemoryActions, actions_of
from kit.dlq_letters import Letter, Place
from kit.ids import uuid7
from kit.testing import MemoryInbox, MemoryWork

AT = datetime(2025, 6, 10, 2, tzinfo=UTC)
BEGUN, REPLAYED = Deed(Action.REPLAY_BEGUN, "Aliya"), Deed(Action.REPLAYED, "Aliya")
FAILED, DROPPED = Deed(Action.FAILED_AGAIN, "Bekzat"), Deed(Action.DROPPED, "Bekzat", "a double")


def letter(offset: int) -> Letter:
    record = StoredRecord("t-dlq", 0, offset, b"k", b"", [])
    return Letter("t-dlq", Place(0, offset), AT, "group", "KeyError", "", 0, uuid7(), "a.B", record)


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.stack)])
def work(request: pytest.FixtureRequest) -> ActionsWork:
    if request.param == "memory":
        return MemoryWork(MemoryActions(MemoryInbox()))
    return actions_of(request.getfixturevalue("database"))


async def ended(work: ActionsWork, *letters: Letter) -> list[Deed | None]:
    async with work() as actions:
        return [end and end.deed for end in await actions.ends(letters)]


async def add(work: ActionsWork, letter: Letter, deed: Deed) -> bool:
    async with work() as actions:
        return bool(await actions.add(letter, deed))


async def test_a_letter_is_open_until_something_ends_it(work: ActionsWork) -> None:
    first, second = letter(1), letter(2)
    assert await ended(work) == []
    assert await add(work, first, BEGUN)
    assert await add(work, first, BEGUN)
    assert await ended(work, first, second) == [None, None]
    assert await add(work, first, FAILED)
    assert await ended(work, second, first) == [None, FAILED]


@pytest.mark.parametrize("deed", [REPLAYED, FAILED, DROPPED])
async def test_a_letter_ends_once(work: ActionsWork, deed: Deed) -> None:
    one = letter(1)
    assert await add(work, one, deed)
    assert not any([await add(work, one, other) for other in (REPLAYED, FAILED, DROPPED)])
    assert await ended(work, one) == [deed]


async def test_letters_are_told_apart_by_place_and_by_when_they_were_written(work: ActionsWork) -> None:
    one = letter(1)
    others = [
        replace(one, place=Place(1, 1)),
        replace(one, place=Place(0, 2)),
        replace(one, written_at=AT + timedelta(milliseconds=1)),
        replace(one, dlq="u-dlq"),
    ]
    assert await add(work, one, REPLAYED)
    assert await ended(work, *others) == [None] * len(others)


async def test_an_event_that_was_dropped_is_so_in_its_other_letters_for_that_consumer_only(work: ActionsWork) -> None:
    one = letter(1)
    double, foreign = replace(one, place=Place(0, 2)), replace(one, place=Place(0, 3), consumer="another")
    assert await add(work, one, DROPPED)
    assert await ended(work, double, foreign) == [DROPPED, None]
    assert await add(work, double, REPLAYED)
    assert await ended(work, double) == [REPLAYED]


async def test_letters_without_an_event_id_have_nothing_in_common(work: ActionsWork) -> None:
    first, second = replace(letter(1), event_id=None), replace(letter(2), event_id=None)
    assert await add(work, first, DROPPED)
    assert await ended(work, first, second) == [DROPPED, None]


async def dropped_and_regretted(work: ActionsWork, letter: Letter) -> None:
    async with work() as actions:
        await actions.add(letter, DROPPED)
        raise KeyError(letter)


async def test_what_is_rolled_back_was_not_done(work: ActionsWork) -> None:
    one = letter(1)
    with pytest.raises(KeyError):
        await dropped_and_regretted(work, one)
    assert await ended(work, one) == [None]


async def test_of_two_who_end_a_letter_at_once_one_does(database: Database) -> None:
    work, one = actions_of(database), letter(1)
    done = await asyncio.gather(*(add(work, one, deed) for deed in (DROPPED, REPLAYED)))
    assert sorted(done) == [False, True]


@pytest.mark.parametrize("deed", [Deed(Action.DROPPED, "Aliya"), Deed(Action.REPLAYED, "")])
async def test_the_table_refuses_deeds_of_nobody_and_drops_without_a_reason(database: Database, deed: Deed) -> None:
    with pytest.raises(asyncpg.CheckViolationError):
        await add(actions_of(database), letter(1), deed)


@pytest.mark.parametrize("change", ["UPDATE dead_letter_action SET operator = 'x'", "DELETE FROM dead_letter_action"])
async def test_nobody_changes_what_was_written_down(database: Database, change: str) -> None:
    await add(actions_of(database), letter(1), REPLAYED)
    async with database.transaction() as transaction:
        with pytest.raises(asyncpg.RestrictViolationError, match="append-only"):
            await transaction.raw.execute(change)
