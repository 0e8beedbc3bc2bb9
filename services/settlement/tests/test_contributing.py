"""Crediting many contributions: the fold against crediting one by one, the service, and the stream of the contract."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gongji.common.v1 import reason_pb2
from gongji.settlement.events.v1 import account_events_pb2 as events_pb2
from gongji.settlement.v1 import account_pb2
from kit.clock import FixedClock
from kit.errors import Refusal
from kit.ids import uuid7
from kit.testing import MemoryWork
from settlement.account_repository import AccountRepository
from settlement.account_service import AccountService
from settlement.account_servicer import IMPORTS_AT_ONCE, AccountServicer
from settlement.closing_memory import MemoryClosing
from settlement.closing_repository import ClosingRepository
from settlement.closing_service import ClosingService
from settlement.contribution_codec import MAX_REFUSED_ROWS
from settlement.contribution_memory import MemoryContributions
from settlement.contribution_repository import ContributionRepository
from settlement.contribution_service import ContributionService
from settlement.domain.accounts import (
    Account,
    AccountClosedError,
    AccountState,
    Contribution,
    ContributionKind,
    ContributionReusedError,
)
from settlement.domain.contributing import MAX_AMOUNT_FEN, Books, Row, RowRefused, contribution_hash, row_of, take
from settlement.domain.ledger import INTEREST_FUND, AccountKind, EntryKind
from settlement.domain.reasons import SettlementRefusedError
from settlement.statement_export import StatementExport
from settlement.statement_memory import MemoryStatements
from settlement.statement_printing import Printing
from settlement.statement_repository import StatementRepository
from settlement.statement_service import StatementService

NOON = datetime(2025, 3, 10, 4, tzinfo=UTC)
DAY = date(2025, 3, 10)
INTEREST = ContributionKind.INTEREST


def account(psn_no: str, state: AccountState = AccountState.OPEN) -> Account:
    return Account(psn_no, state, 0, 0, version=0)


class World:
    """Three accounts, one of them closed."""

    def __init__(self) -> None:
        self.accounts = MemoryContributions()
        closed = account("closed", AccountState.CLOSED)
        self.accounts.accounts = {each.psn_no: each for each in (account("father"), account("mother"), closed)}
        self.clock = FixedClock(NOON)
        self.service = ContributionService(MemoryWork[ContributionRepository](self.accounts), self.clock)
        self.one_by_one = AccountService(MemoryWork[AccountRepository](self.accounts), self.clock)

    @property
    def servicer(self) -> AccountServicer:
        closing = ClosingService(MemoryWork[ClosingRepository](MemoryClosing()), self.clock)
        statements = StatementService(MemoryWork[StatementRepository](MemoryStatements()))
        exports = StatementExport(statements, Printing(), self.clock)
        return AccountServicer(self.one_by_one, self.service, closing, statements, exports)

    def balances(self) -> dict[str, tuple[int, int]]:
        return {psn_no: (each.balance_fen, each.version) for psn_no, each in self.accounts.accounts.items()}


@pytest.fixture
def world() -> World:
    return World()


def numbered(*rows: Row | RowRefused) -> list[tuple[int, Row | RowRefused]]:
    return list(enumerate(rows, start=1))


async def test_rows_are_credited_in_their_order_and_told(world: World) -> None:
    taken = await world.service.take(
        numbered(Row("father", "c1", 500), Row("mother", "c2", 70), Row("father", "c3", 7, INTEREST))
    )
    assert [each.balance_after_fen for each in taken.credited] == [500, 70, 507]
    assert (taken.credited_fen, taken.repeated_count, taken.refused) == (577, 0, ())
    assert world.balances() == {"father": (507, 2), "mother": (70, 1), "closed": (0, 0)}
    assert world.accounts.contributions["c3"].kind is INTEREST
    told = world.accounts.outbox.messages
    assert all(isinstance(each, events_pb2.AccountCredited) for each in told)
    assert [row.occasion.kind for row in world.accounts.entries[::2]] == [
        EntryKind.CONTRIBUTION,
        EntryKind.CONTRIBUTION,
        EntryKind.INTEREST,
    ]
    assert (world.accounts.entries[4].account_kind, world.accounts.entries[4].account_key) == (
        AccountKind.CONTRIBUTION,
        INTEREST_FUND,
    )


async def test_interest_is_told_apart_from_contributions(world: World) -> None:
    await world.service.take(numbered(Row("father", "c1", 5), Row("father", "i1", 6, INTEREST)))
    assert [getattr(each, "kind", None) for each in world.accounts.outbox.messages] == [
        events_pb2.CONTRIBUTION_KIND_CONTRIBUTION,
        events_pb2.CONTRIBUTION_KIND_INTEREST,
    ]


async def test_the_same_rows_again_credit_nothing(world: World) -> None:
    rows = numbered(Row("father", "c1", 500), Row("mother", "c2", 70))
    await world.service.take(rows)
    again = await world.service.take(rows)
    assert (again.credited, again.repeated_count, again.refused) == ((), 2, ())
    assert world.balances()["father"] == (500, 1)
    assert await world.one_by_one.contribute(Row("father", "c1", 500)) == 500


@pytest.mark.parametrize(
    "other", [Row("mother", "c1", 500), Row("father", "c1", 501), Row("father", "c1", 500, INTEREST)]
)
async def test_an_id_with_another_body_is_refused_by_number_also_within_one_list(world: World, other: Row) -> None:
    within = await world.service.take(numbered(Row("father", "c1", 500), other))
    later = await world.service.take(numbered(other))
    assert [(each.number, each.reason) for each in within.refused] == [(2, "REQUEST_ID_REUSED")]
    assert [(each.number, each.reason) for each in later.refused] == [(1, "REQUEST_ID_REUSED")]
    assert world.balances()["father"] == (500, 1)


async def test_bad_rows_do_not_stop_the_others(world: World) -> None:
    bad = row_of("father", "", 5, ContributionKind.CONTRIBUTION)
    taken = await world.service.take(
        numbered(bad, Row("closed", "c1", 5), Row("stranger", "c2", 5), Row("father", "c3", 5))
    )
    assert [(each.number, each.reason) for each in taken.refused] == [
        (1, "INVALID_FIELDS"),
        (2, "ACCOUNT_CLOSED"),
        (3, "ACCOUNT_CLOSED"),
    ]
    assert [each.contribution_id for each in taken.credited] == ["c3"]
    assert set(world.accounts.contributions) == {"c3"}


async def test_nothing_is_credited_on_a_day_that_is_closed(world: World) -> None:
    world.accounts.closed_days.add(DAY)
    with pytest.raises(SettlementRefusedError):
        await world.service.take(numbered(Row("father", "c1", 5)))


async def test_who_is_overtaken_looks_again_and_gives_up_in_the_end(world: World) -> None:
    answers = iter([False, False, True])

    class Overtaken(MemoryContributions):
        async def claim_all(self, contributions: Sequence[Contribution]) -> bool:
            return next(answers, False) and await super().claim_all(contributions)

    store = Overtaken()
    store.accounts = world.accounts.accounts
    service = ContributionService(MemoryWork[ContributionRepository](store), world.clock)
    assert len((await service.take(numbered(Row("father", "c1", 5)))).credited) == 1
    with pytest.raises(SettlementRefusedError) as refused:
        await service.take(numbered(Row("father", "c2", 5)))
    assert refused.value.reason == "UNAVAILABLE"


@pytest.mark.parametrize(
    ("psn_no", "contribution_id", "amount_fen"),
    [
        ("", "c1", 1),
        ("p" * 31, "c1", 1),
        ("p 1", "c1", 1),
        ("p1\n", "c1", 1),
        ("p1", "", 1),
        ("p1", "c" * 65, 1),
        ("p1", "c/1", 1),
        ("p1", "c1", 0),
        ("p1", "c1", -1),
        ("p1", "c1", MAX_AMOUNT_FEN + 1),
    ],
)
def test_a_row_of_another_form_is_refused_without_its_content(
    psn_no: str, contribution_id: str, amount_fen: int
) -> None:
    row = row_of(psn_no, contribution_id, amount_fen, ContributionKind.CONTRIBUTION)
    assert isinstance(row, RowRefused)
    assert row.reason == "INVALID_FIELDS"
    assert "p 1" not in str(row)


rows_of_few_ids = st.lists(
    st.builds(
        Row,
        st.sampled_from(["father", "mother", "closed", "stranger"]),
        st.sampled_from(["c1", "c2", "c3", "c4"]),
        st.sampled_from([1, 500, MAX_AMOUNT_FEN]),
        st.sampled_from(list(ContributionKind)),
    ),
    max_size=12,
)


@given(rows_of_few_ids, st.integers(0, 12))
async def test_a_list_gives_what_its_rows_give_one_by_one(rows: list[Row], cut: int) -> None:
    at_once, serial = World(), World()
    refused, repeated = list[tuple[int, str]](), 0
    for part, offset in ((rows[:cut], 0), (rows[cut:], len(rows[:cut]))):
        taken = await at_once.service.take(list(enumerate(part, start=offset + 1)))
        refused += [(each.number, each.reason) for each in taken.refused]
        repeated += taken.repeated_count
    expected = list[tuple[int, str]]()
    credited = 0
    for number, row in enumerate(rows, start=1):
        before = len(serial.accounts.contributions)
        try:
            await serial.one_by_one.contribute(row)
        except (AccountClosedError, ContributionReusedError) as refusal:
            expected.append((number, refusal.reason))
        credited += len(serial.accounts.contributions) - before
    assert refused == expected
    assert repeated == len(rows) - len(expected) - credited
    assert at_once.balances() == serial.balances()
    assert at_once.accounts.contributions == serial.accounts.contributions


@given(rows_of_few_ids)
def test_what_is_credited_is_what_the_accounts_gain(rows: list[Row]) -> None:
    accounts = {psn_no: replace(account(psn_no), balance_fen=9) for psn_no in ("father", "mother")}
    taken = take(numbered(*rows), Books({}, accounts, NOON, DAY, uuid7))
    gained = sum(each.balance_fen - 9 for each in taken.posted.standings.values())
    assert gained == taken.credited_fen
    assert sum(row.amount_fen for row in taken.posted.rows) == 0
    assert len(taken.credited) + taken.repeated_count + len(taken.refused) == len(rows)


def test_the_id_of_a_contribution_stays_bound_as_before_there_were_kinds() -> None:
    before = bytes.fromhex("52818459eb6453c312956eab08fb0397d35a445e029387e6379fed7020da0614")
    assert contribution_hash(Row("p1", "c1", 5)) == before
    assert contribution_hash(Row("p1", "c1", 5)) != contribution_hash(Row("p1", "c1", 5, INTEREST))


async def stream(
    *messages: Sequence[account_pb2.ContributionRow],
) -> AsyncIterator[account_pb2.ImportContributionsRequest]:
    for rows in messages:
        yield account_pb2.ImportContributionsRequest(rows=rows)


def row(psn_no: str, contribution_id: str, amount: int = 5) -> account_pb2.ContributionRow:
    return account_pb2.ContributionRow(psn_no=psn_no, contribution_id=contribution_id, amount=amount)


async def test_a_stream_is_answered_with_what_all_its_messages_came_to(world: World) -> None:
    messages = (
        [row("father", "c1"), row("closed", "c2")],
        [row("father", "c1"), row("mother", "c1"), row("mother", "c3")],
    )
    answer = await world.servicer.ImportContributions(stream(*messages), None)
    assert (answer.received_count, answer.credited_count, answer.repeated_count) == (5, 2, 1)
    assert (answer.refused_count, answer.credited_amount) == (2, 10)
    assert [(each.row_number, each.reason) for each in answer.refused] == [
        (2, reason_pb2.REASON_ACCOUNT_CLOSED),
        (4, reason_pb2.REASON_REQUEST_ID_REUSED),
    ]


async def test_the_answer_to_a_stream_describes_only_so_many_refused_rows(world: World) -> None:
    bad = [row("closed", f"c{number}") for number in range(MAX_REFUSED_ROWS)]
    answer = await world.servicer.ImportContributions(stream(bad, bad), None)
    assert (answer.refused_count, len(answer.refused)) == (2 * MAX_REFUSED_ROWS, MAX_REFUSED_ROWS)


async def test_one_stream_too_many_is_told_to_come_again_and_a_place_is_given_back(world: World) -> None:
    servicer, begun, go_on = world.servicer, asyncio.Semaphore(0), asyncio.Event()

    async def held(number: int) -> AsyncIterator[account_pb2.ImportContributionsRequest]:
        begun.release()
        await go_on.wait()
        yield account_pb2.ImportContributionsRequest(rows=[row("father", f"c{number}")])

    streams = [
        asyncio.ensure_future(servicer.ImportContributions(held(number), None)) for number in range(IMPORTS_AT_ONCE)
    ]
    for _ in streams:
        await begun.acquire()
    with pytest.raises(Refusal, match="later") as refused:
        await servicer.ImportContributions(stream([row("father", "late")]), None)
    assert refused.value.reason == "OVERLOADED"
    go_on.set()
    assert [answer.credited_count for answer in await asyncio.gather(*streams)] == [1] * IMPORTS_AT_ONCE
    assert (await servicer.ImportContributions(stream([row("father", "late")]), None)).credited_count == 1


async def test_a_stream_that_broke_gives_its_place_back_and_is_sent_again_as_a_whole(world: World) -> None:
    servicer = world.servicer

    async def breaks() -> AsyncIterator[account_pb2.ImportContributionsRequest]:
        yield account_pb2.ImportContributionsRequest(rows=[row("father", "c1")])
        raise Refusal("UNAVAILABLE", "this process is stopping")

    for _ in range(IMPORTS_AT_ONCE + 1):
        with pytest.raises(Refusal, match="stopping"):
            await servicer.ImportContributions(breaks(), None)
    answer = await servicer.ImportContributions(stream([row("father", "c1")], [row("father", "c2")]), None)
    assert (answer.repeated_count, answer.credited_count) == (1, 1)
