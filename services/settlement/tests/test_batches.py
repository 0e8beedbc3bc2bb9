"""A batch gives what settling one by one gives, and reversing undoes settling, whatever the histories are."""

import asyncio
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from settlement.commands import Command
from settlement.domain.ledger import AccountKind
from settlement.domain.premiums import is_premium, premium_order
from settlement.domain.quotes import Quote
from settlement.domain.state import Premium, Settlement
from settlement.reverse_service import ReverseCommand
from settlement.testing import HOSPITAL, bill, hold, msgid, settle
from settlement.testing_books import PATIENTS, PAYERS, PREMIUM, Books, History, gist


@st.composite
def commands(draw: st.DrawFn, number: int, patient: str) -> Command:
    left = draw(st.integers(0, 300))
    if draw(st.integers(0, 5)) == 0:
        payer = draw(st.sampled_from([each for each in PAYERS if each != patient]))
        return Command(premium_order(f"payment-{number}", patient, Premium(PREMIUM.year, payer)), credential="")
    if draw(st.integers(0, 3)) == 0:
        return hold(number, bill(patient, left), acct_used_flag=draw(st.booleans()))
    return settle(
        number,
        bill(patient, left),
        acct_used_flag=draw(st.booleans()),
        use_mutual_aid=draw(st.integers(0, 4)) > 0,
        expected_acct_mulaid_pay_fen=draw(st.none() | st.just(left)),
    )


@st.composite
def histories(draw: st.DrawFn) -> History:
    balances = draw(st.dictionaries(st.sampled_from(PAYERS), st.integers(0, 400), max_size=3))
    pairs = st.tuples(st.sampled_from(PAYERS), st.sampled_from(PATIENTS)).filter(lambda pair: pair[0] != pair[1])
    limits = draw(st.dictionaries(pairs, st.integers(0, 300), max_size=8))
    batches, number = [], 0
    for patients in draw(st.lists(st.lists(st.sampled_from(PATIENTS), unique=True, min_size=1), max_size=4)):
        batches.append(tuple(draw(commands(number + place, patient)) for place, patient in enumerate(patients)))
        number += len(patients)
    return History(balances, draw(st.frozensets(st.sampled_from(PAYERS), max_size=1)), limits, tuple(batches))


async def run(books: Books, batches: Sequence[Sequence[Command]]) -> list[object]:
    return [gist(answer) for batch in batches for answer in await books.world.hold(*batch)]


@settings(deadline=None)
@given(histories())
def test_a_batch_gives_what_settling_one_by_one_gives(history: History) -> None:
    together, apart = history.begin(), history.begin()
    singles = [(command,) for batch in history.batches for command in batch]
    assert asyncio.run(run(together, history.batches)) == asyncio.run(run(apart, singles))
    assert together.balances == apart.balances
    assert together.versions == apart.versions
    assert together.held == apart.held
    assert sorted(map(str, together.told)) == sorted(map(str, apart.told))


@settings(deadline=None)
@given(histories(), st.randoms(use_true_random=False))
def test_reversing_everything_in_any_order_restores_every_balance_and_limit(history: History, random: object) -> None:
    books = history.begin()

    async def play() -> None:
        answers = [answer for batch in history.batches for answer in await books.world.hold(*batch)]
        for answer in answers:
            if isinstance(answer, Quote):
                await books.world.quotes.cancel(HOSPITAL, answer.quote_id)
        done = [answer for answer in answers if isinstance(answer, Settlement)]
        getattr(random, "shuffle")(done)  # noqa: B009 - hypothesis gives its own kind of Random
        for number, settlement in enumerate(done):
            if is_premium(settlement):
                await books.world.pipeline.premiums.refund(settlement.settlement_id, None)
            else:
                await books.world.reverse(5000 + number, of=settlement.settlement_id)
        for number, patient in enumerate(PATIENTS):  # an ask tells binding what was decided lately
            await books.world.settle(settle(9000 + number, bill(patient, 1), expected_acct_pay_fen=1000))

    asyncio.run(play())
    assert books.balances == {owner: history.balances[owner] for owner in books.balances}
    assert all(relation.used_fen == 0 for relation in books.world.binding.relations)


@settings(deadline=None)
@given(histories(), st.randoms(use_true_random=False))
def test_reversing_a_list_gives_what_reversing_one_by_one_gives(history: History, random: object) -> None:
    together, apart = history.begin(), history.begin()
    commands = [command for batch in history.batches for command in batch]
    getattr(random, "shuffle")(commands)  # noqa: B009 - hypothesis gives its own kind of Random
    # One that has not come is among them.
    originals = [msgid(4999), *(command.order.msgid for command in commands)]
    reversals = [ReverseCommand(HOSPITAL, msgid(5000 + place), each) for place, each in enumerate(originals)]

    async def play(books: Books, lists: Sequence[Sequence[ReverseCommand]]) -> list[object]:
        await run(books, history.batches)
        return [gist(answer) for each in lists for answer in await books.world.reversing.reverse(each)]

    one_list = asyncio.run(play(together, [reversals]))
    assert one_list == asyncio.run(play(apart, [[each] for each in reversals]))
    assert together.balances == apart.balances
    assert together.versions == apart.versions


@settings(deadline=None)
@given(histories())
def test_entries_explain_every_balance_and_no_version_is_missing(history: History) -> None:
    books = history.begin()
    asyncio.run(run(books, history.batches))
    rows = books.memory.entries
    assert sum(row.amount_fen for row in rows) == 0
    for owner, began in history.balances.items():
        own = [row for row in rows if (row.account_kind, row.account_key) == (AccountKind.PERSONAL, owner)]
        assert began + sum(row.amount_fen for row in own) == books.balances[owner] >= 0
        assert [row.version for row in own] == list(range(2, 2 + len(own)))


@settings(deadline=None)
@given(histories())
def test_the_same_requests_again_get_the_same_answers_and_move_nothing(history: History) -> None:
    books = history.begin()
    first = asyncio.run(run(books, history.batches))
    before = (books.balances, len(books.memory.entries), len(books.memory.outbox.rows))
    assert asyncio.run(run(books, history.batches)) == first
    assert (books.balances, len(books.memory.entries), len(books.memory.outbox.rows)) == before
