"""Many bills of one call give what as many calls one after the other give."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.errors import Refusal
from settlement.bulk import BATCH_MAX, Bulk, runs
from settlement.commands import Command
from settlement.domain.quotes import Quote
from settlement.intents import Answer
from settlement.testing import bill, hold, settle
from settlement.testing_books import PATIENTS, PAYERS, Books, History, gist


@dataclass(frozen=True)
class Item:
    """A bill of a batch, or the held preview of a number."""

    number: int
    patient: str
    amount_fen: int
    quote: int | None = None
    """Number of the preview that it settles."""
    use_mutual_aid: bool = True
    expects: bool = False


@dataclass(frozen=True)
class Night:
    """Previews that hold, then one batch."""

    history: History
    held: tuple[Command, ...]
    items: tuple[Item, ...]
    minutes: int
    """Between the previews and the batch."""


@st.composite
def nights(draw: st.DrawFn) -> Night:
    balances = draw(st.dictionaries(st.sampled_from(PAYERS), st.integers(0, 400), max_size=3))
    pairs = st.tuples(st.sampled_from(PAYERS), st.sampled_from(PATIENTS)).filter(lambda pair: pair[0] != pair[1])
    limits = draw(st.dictionaries(pairs, st.integers(0, 300), max_size=8))
    held = [hold(900 + place, bill(patient, draw(st.integers(1, 200)))) for place, patient in enumerate(PATIENTS)]
    numbers = st.integers(1, 6)
    items = []
    for _ in range(draw(st.integers(1, 8))):
        if draw(st.integers(0, 2)) == 0:
            place = draw(st.integers(0, len(held) - 1))
            kept = held[place].order.bill
            amount_fen = draw(st.sampled_from((kept.psn_part_amt_fen, 77)))
            items.append(Item(draw(numbers), kept.psn_no, amount_fen, quote=place))
        else:
            patient, amount_fen = draw(st.sampled_from(PATIENTS)), draw(st.integers(0, 300))
            flags = draw(st.booleans()), draw(st.integers(0, 5)) == 0
            items.append(Item(draw(numbers), patient, amount_fen, None, *flags))
    history = History(balances, draw(st.frozensets(st.sampled_from(PAYERS), max_size=1)), limits, ())
    return Night(history, tuple(held), tuple(items), draw(st.sampled_from((0, 0, 11))))


def command_of(item: Item, quotes: Sequence[Answer]) -> Command:
    quote = quotes[item.quote] if item.quote is not None else None
    command = settle(
        item.number,
        bill(item.patient, item.amount_fen),
        use_mutual_aid=item.use_mutual_aid,
        expected_acct_mulaid_pay_fen=item.amount_fen if item.expects else None,
    )
    if item.quote is None:
        return command
    quote_id = quote.quote_id if isinstance(quote, Quote) else UUID(int=item.quote)
    return replace(command, order=replace(command.order, quote_id=quote_id))


def told_of(answer: Answer) -> str:
    """What an answer says; the ids, drawn anew by every run, are in no place of it that matters."""
    said = gist(answer)
    order = getattr(said, "order", None)
    return str(replace(said, order=replace(order, quote_id=None), fingerprint=None) if order else said)  # type: ignore[type-var]


async def play(books: Books, night: Night, *, together: bool) -> list[str]:
    quotes = await books.world.hold(*night.held)
    books.world.clock.advance(timedelta(minutes=night.minutes))
    commands = [command_of(item, quotes) for item in night.items]
    if together:
        return [told_of(answer) for answer in await books.world.bulk.settle(commands)]
    answers = []
    for command in commands:
        service = books.world.quotes if command.order.quote_id else books.world.settling
        answers += await service.settle([command])
    return [told_of(answer) for answer in answers]


@settings(deadline=None)
@given(nights())
def test_a_batch_with_anything_in_it_gives_what_one_after_the_other_gives(night: Night) -> None:
    together, apart = night.history.begin(), night.history.begin()
    assert asyncio.run(play(together, night, together=True)) == asyncio.run(play(apart, night, together=False))
    assert together.balances == apart.balances
    assert together.versions == apart.versions
    assert together.held == apart.held
    states = [sorted(str(each.state) for each in books.memory.settlements.values()) for books in (together, apart)]
    assert states[0] == states[1]


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(1, 9), st.booleans())), st.integers(1, 5))
def test_runs_keep_order_and_never_have_a_patient_or_a_msgid_twice(
    items: list[tuple[str, int, bool]], most: int
) -> None:
    commands = [
        settle(number, bill(patient, 1), quote_id=UUID(int=1) if quoted else None) for patient, number, quoted in items
    ]
    cut = list(runs(commands, most))
    assert [command for run in cut for command in run] == commands
    for run in cut:
        assert 1 <= len(run) <= most
        assert len({command.order.bill.psn_no for command in run}) == len(run)
        assert len({command.order.msgid for command in run}) == len(run)
        assert len({command.order.quote_id for command in run}) == 1


def test_a_batch_without_repetition_is_one_list() -> None:
    commands = [settle(number, bill(f"p{number}", 1)) for number in range(BATCH_MAX)]
    assert [len(run) for run in runs(commands)] == [BATCH_MAX]
    assert list(runs([])) == []


def overloaded(*places: int) -> tuple[Bulk, list[str]]:
    """A bulk whose lanes are full at these calls, and what was settled."""
    done: list[str] = []

    async def answer(commands: Sequence[Command]) -> Sequence[Answer]:
        done.extend(command.order.msgid for command in commands)
        return [Refusal("UNAVAILABLE") for _ in commands]

    bulk = Bulk(answer, answer, most_in_flight=1, max_waiting=1)
    calls = iter(range(100))
    run = bulk._lanes.run

    async def refusing(commands: Sequence[Command]) -> list[Answer]:
        if next(calls) in places:
            raise Refusal("OVERLOADED")
        return await run(commands)

    bulk._lanes.run = refusing  # type: ignore[method-assign, assignment]
    return bulk, done


async def test_a_batch_that_finds_no_room_is_refused_as_a_whole_with_nothing_done() -> None:
    bulk, done = overloaded(0)
    with pytest.raises(Refusal) as caught:
        await bulk.settle([settle(1), settle(2)])
    assert caught.value.reason == "OVERLOADED"
    assert done == []


async def test_batches_beyond_what_may_wait_are_refused_at_once_however_they_are_cut() -> None:
    go = asyncio.Event()

    async def answer(commands: Sequence[Command]) -> Sequence[Answer]:
        await go.wait()
        return [Refusal("UNAVAILABLE") for _ in commands]

    bulk = Bulk(answer, answer, most_in_flight=1, max_waiting=500)
    of_one_patient = [settle(number, bill("child", 1)) for number in range(BATCH_MAX)]
    accepted = [asyncio.create_task(bulk.settle(of_one_patient)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(Refusal) as caught:
        await bulk.settle([settle(1)])
    assert caught.value.reason == "OVERLOADED"
    go.set()
    assert [len(answers) for answers in await asyncio.gather(*accepted)] == [BATCH_MAX] * 2
    assert len(await bulk.settle([settle(1)])) == 1


async def test_overload_in_the_middle_is_told_of_those_that_it_met() -> None:
    bulk, done = overloaded(1)
    answers = await bulk.settle([settle(1), settle(2), settle(3)])
    assert [getattr(answer, "reason", "") for answer in answers] == ["UNAVAILABLE", "OVERLOADED", "UNAVAILABLE"]
    assert len(done) == 2
