"""The contract of the quotes' repository, on memory and on PostgreSQL alike."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import date, timedelta

import pytest

from kit.db import Database, PostgresWork, Work
from kit.ids import uuid7
from kit.testing import MemoryWork
from settlement.account_repository import PostgresAccountRepository
from settlement.domain.accounts import Account
from settlement.domain.allocate import Decline, Line, Split
from settlement.domain.body_hash import order_fingerprint
from settlement.domain.decided import Paid
from settlement.domain.quotes import Quote, QuoteState, ended, settle_quote
from settlement.domain.quotes import hold as held_by
from settlement.domain.state import Intent, SettlementState, abandoned
from settlement.domain.visit import InsuranceType
from settlement.memory import MemorySettlements
from settlement.postgres_repository import PostgresSettlementRepository
from settlement.repository import SettlementRepository, Sought
from settlement.testing import HOSPITAL, QUOTES_LAST, TEN_O_CLOCK, account, bill, hold, msgid, settle

RELATION = uuid7()
TODAY = date(2025, 6, 10)
Settlements = Work[SettlementRepository]
Opening = Callable[[Sequence[Account]], Awaitable[None]]

SPLIT = Split(
    acct_pay_fen=2_000,
    acct_mulaid_pay_fen=4_000,
    psn_cash_pay_fen=3_000,
    own_balance_after_fen=0,
    lines=(Line("father", RELATION, 3_000, 7_000), Line("mother", uuid7(), 1_000, 0)),
    declines=(Decline("father", "LIMIT_REACHED", "YEAR"), Decline("mother", "INSUFFICIENT_BALANCE")),
)


async def pending(work: Settlements, number: int, psn_no: str) -> Intent:
    order = hold(number, bill(psn_no, 9_000)).order
    intent = Intent(uuid7(), order, order_fingerprint(order), InsuranceType.RESIDENT, f"jti-{number}", TEN_O_CLOCK)
    async with work() as repository:
        assert set(await repository.add_intents([intent])) == {intent.settlement_id}
    return intent


async def keep(work: Settlements, number: int = 1, psn_no: str = "child", split: Split = SPLIT) -> Quote:
    intent = await pending(work, number, psn_no)
    quote = held_by(intent.settlement, split, TEN_O_CLOCK + timedelta(minutes=number), QUOTES_LAST)
    async with work() as repository:
        await repository.lock_accounts(["father", "mother", psn_no])
        await repository.quotes.keep([quote])
    return quote


async def end(work: Settlements, quote: Quote, state: QuoteState) -> Quote:
    last = ended(quote, state, TEN_O_CLOCK + timedelta(minutes=5))
    async with work() as repository:
        await repository.quotes.end([last])
    return last


async def held_fen(work: Settlements) -> dict[str, int]:
    async with work() as repository:
        accounts = await repository.read_accounts(["father", "mother", "child", "baby"])
    return {psn_no: each.held_fen for psn_no, each in accounts.items()}


class QuotesContract:
    """What the services may rely on, whatever the rows are kept in."""

    @pytest.fixture(autouse=True)
    async def _opened(self, opening: Opening) -> None:
        await opening([account(psn_no, 10_000) for psn_no in ("father", "mother", "child", "baby")])

    async def test_a_request_under_way_becomes_a_quote_of_the_same_id(self, work: Settlements) -> None:
        quote = await keep(work)
        async with work() as repository:
            assert await repository.find_by_ids([quote.quote_id]) == {}
            assert await repository.quotes.find_by_ids([quote.quote_id, uuid7()]) == {quote.quote_id: quote}
            assert await repository.quotes.find_by_msgids([(HOSPITAL, msgid(1)), (HOSPITAL, msgid(2))]) == {
                (HOSPITAL, msgid(1)): quote
            }
            assert await repository.quotes.lock([quote.quote_id]) == {quote.quote_id: quote}

    async def test_what_it_keeps_is_held_on_every_account_that_gives(self, work: Settlements) -> None:
        await keep(work)
        assert await held_fen(work) == {"father": 3_000, "mother": 1_000, "child": 2_000, "baby": 0}

    async def test_two_quotes_keep_the_sum(self, work: Settlements) -> None:
        await keep(work, 1)
        await keep(work, 2)
        assert await held_fen(work) == {"father": 6_000, "mother": 2_000, "child": 4_000, "baby": 0}

    @pytest.mark.parametrize("state", [QuoteState.USED, QuoteState.EXPIRED, QuoteState.CANCELLED])
    async def test_a_quote_that_ends_frees_what_it_kept(self, work: Settlements, state: QuoteState) -> None:
        last = await end(work, await keep(work), state)
        assert await held_fen(work) == {"father": 0, "mother": 0, "child": 0, "baby": 0}
        async with work() as repository:
            assert await repository.quotes.find_by_ids([last.quote_id]) == {last.quote_id: last}

    async def test_a_quote_of_cash_alone_keeps_nothing(self, work: Settlements) -> None:
        quote = await keep(work, split=Split(0, 0, 9_000, None))
        assert set((await held_fen(work)).values()) == {0}
        async with work() as repository:
            assert (await repository.quotes.find_by_ids([quote.quote_id]))[quote.quote_id].split == quote.split

    async def test_those_that_have_run_out_are_taken_oldest_first(self, work: Settlements) -> None:
        first, second = await keep(work, 1), await keep(work, 2)
        await end(work, await keep(work, 0), QuoteState.CANCELLED)
        async with work() as repository:
            assert await repository.quotes.take_expired(first.expires_at - timedelta(seconds=1), 10) == []
            assert not (await repository.look(Sought(), first.expires_at - timedelta(seconds=1))).any_due
            seen = await repository.look(Sought([(HOSPITAL, first.order.msgid)]), first.expires_at)
            assert (seen.any_known, seen.any_due) == (True, True)
            assert await repository.quotes.take_expired(first.expires_at, 10) == [first]
            assert await repository.quotes.take_expired(second.expires_at, 1) == [first]
            assert await repository.quotes.take_expired(second.expires_at, 10) == [first, second]

    async def test_of_a_patient_all_are_taken_that_have_run_out_and_of_others_the_rest(self, work: Settlements) -> None:
        first, second, third = await keep(work, 1), await keep(work, 2, "baby"), await keep(work, 3)
        async with work() as repository:
            assert await repository.quotes.lock_due(second.expires_at, ["child", "nobody"]) == [first]
            assert await repository.quotes.lock_due(third.expires_at, ["child"]) == [first, third]
            assert await repository.quotes.take_expired(third.expires_at, 10, [first.quote_id, third.quote_id]) == [
                second
            ]

    async def test_what_is_written_under_the_msgid_of_a_quote_is_told(self, work: Settlements) -> None:
        await keep(work, 1)
        same, other = await pending(work, 1, "baby"), await pending(work, 2, "child")
        async with work() as repository:
            lately = await repository.lately(["child"], [same, other])
            assert lately.taken == {same.settlement_id}
            assert set(lately.outcomes) == {"child"}
            await repository.withdraw_intents([same.settlement_id])
        async with work() as repository:
            assert (await repository.lately(["child"], [other])).taken == set()

    async def test_a_patient_has_one_request_under_way_whatever_it_comes_to(self, work: Settlements) -> None:
        await pending(work, 1, "child")
        order = settle(2, bill("child", 100)).order
        other = Intent(uuid7(), order, order_fingerprint(order), None, "jti-2", TEN_O_CLOCK)
        async with work() as repository:
            assert await repository.add_intents([other]) == {}

    async def test_binding_is_told_what_is_held_or_freed_of_a_patient(self, work: Settlements) -> None:
        gone = await end(work, await keep(work, 1), QuoteState.EXPIRED)
        held = await keep(work, 2)
        await end(work, await keep(work, 3), QuoteState.USED)
        await keep(work, 4, "baby")
        async with work() as repository:
            recent = (await repository.lately(["child"])).outcomes["child"]
        assert [(each.settlement_id, each.state) for each in recent] == [
            (gone.quote_id, QuoteState.EXPIRED),
            (held.quote_id, QuoteState.HELD),
        ]
        assert recent[1].lines == tuple(Paid(line.relation_id, line.amount_fen) for line in SPLIT.lines)

    async def test_what_is_decided_as_it_comes_is_found_as_it_was(self, work: Settlements) -> None:
        quote = await keep(work)
        order = replace(settle(7, quote.order.bill).order, quote_id=quote.quote_id)
        async with work() as repository:
            accounts = await repository.lock_accounts(["father", "mother", "child"])
            settlement = settle_quote(quote, order, accounts, TEN_O_CLOCK)
            await repository.quotes.end([ended(quote, QuoteState.USED, TEN_O_CLOCK)])
            await repository.add_decided([settlement], TODAY)
        async with work() as repository:
            assert await repository.find_by_ids([quote.quote_id]) == {quote.quote_id: settlement}
            assert settlement.state is SettlementState.SETTLED

    async def test_a_request_that_was_given_up_stays_where_it_is(self, work: Settlements) -> None:
        intent = await pending(work, 1, "child")
        given_up = abandoned(intent.settlement)
        async with work() as repository:
            await repository.lock([intent.settlement_id])
            await repository.save([given_up])
        async with work() as repository:
            assert await repository.find_by_ids([intent.settlement_id]) == {intent.settlement_id: given_up}


class TestMemory(QuotesContract):
    @pytest.fixture
    def memory(self) -> MemorySettlements:
        return MemorySettlements()

    @pytest.fixture
    def work(self, memory: MemorySettlements) -> Settlements:
        return MemoryWork(memory)

    @pytest.fixture
    def opening(self, memory: MemorySettlements) -> Opening:
        async def put(accounts: Sequence[Account]) -> None:
            memory.accounts.update({each.psn_no: each for each in accounts})

        return put


class TestPostgres(QuotesContract):
    @pytest.fixture
    async def database(self, database_url: str) -> AsyncIterator[Database]:
        database = Database(database_url, 4)
        await database.connect()
        yield database
        await database.close()

    @pytest.fixture
    def work(self, database: Database) -> Settlements:
        return PostgresWork(database, PostgresSettlementRepository)

    @pytest.fixture
    def opening(self, database: Database) -> Opening:
        async def put(accounts: Sequence[Account]) -> None:
            async with PostgresWork(database, PostgresAccountRepository)() as repository:
                for each in accounts:
                    await repository.add(each)

        return put
