"""The contract of the settlements' repository, on memory and on PostgreSQL alike."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from uuid import UUID

import pytest

from kit.db import Database, PostgresWork, Work
from kit.ids import uuid7
from kit.testing import MemoryWork
from settlement.account_repository import PostgresAccountRepository
from settlement.domain.accounts import Account, AccountState
from settlement.domain.allocate import Decline, Line, Split
from settlement.domain.bill import Bill, BillItem, ItemKind
from settlement.domain.body_hash import order_fingerprint, reversal_fingerprint
from settlement.domain.decided import Paid
from settlement.domain.reasons import Reason
from settlement.domain.settling import postings_of
from settlement.domain.state import (
    Intent,
    Order,
    Refund,
    Settlement,
    SettlementState,
    abandoned,
    fenced,
    refused,
    reversed_with,
    settled,
)
from settlement.domain.visit import InsuranceType, PersonFacts
from settlement.listing import Place, beginning_of, listed_at, page_token, place_of
from settlement.memory import MemorySettlements
from settlement.postgres_repository import PostgresSettlementRepository
from settlement.repository import Backlog, Locked, Projections, Reversal, Seen, SettlementRepository, Sought
from settlement.testing import HOSPITAL, TEN_O_CLOCK, account, bill, hold, msgid, settle

RELATION = UUID("0197a000-0000-7000-8000-00000000000a")
TODAY = date(2025, 6, 10)
OTHER = "H65270100002"
ALL_CASH = Split(0, 0, 9000, None)
Settlements = Work[SettlementRepository]
Opening = Callable[[Sequence[Account]], Awaitable[None]]


def intent(number: int = 1, order: Order | None = None) -> Intent:
    used = order or settle(number, full_bill()).order
    jti = f"jti-{number}"
    return Intent(uuid7(), used, order_fingerprint(used), InsuranceType.RESIDENT, jti, TEN_O_CLOCK)


def full_bill(psn_no: str = "child") -> Bill:
    items = (BillItem(ItemKind.DRUG, 4000), BillItem(ItemKind.SERVICE, 5000))
    return bill(psn_no, 9000, items=items, fulamt_ownpay_amt_fen=0, inscp_scp_amt_fen=9000, act_pay_dedc_fen=500)


def split() -> Split:
    lines = (Line("father", RELATION, 3000, 7000), Line("mother", uuid7(), 1000, 0))
    declines = (Decline("father", "LIMIT_REACHED", "YEAR"), Decline("mother", Reason.INSUFFICIENT_BALANCE))
    return Split(2000, 4000, 3000, 0, lines, declines)


async def begin(work: Settlements, *intents: Intent) -> list[Settlement]:
    async with work() as repository:
        written = await repository.add_intents(intents)
    assert set(written) == {each.settlement_id for each in intents}
    return [each.settlement for each in intents]


async def save(work: Settlements, *settlements: Settlement, day: date = TODAY) -> None:
    async with work() as repository:
        await repository.lock([each.settlement_id for each in settlements])
        await repository.save(settlements, day)


async def begin_for(work: Settlements, number: int, at: datetime) -> Settlement:
    """An intent of a patient of its own."""
    order = settle(number, bill(f"p{number}")).order
    (pending,) = await begin(work, replace(intent(number, order), occurred_at=at))
    return pending


async def listed(work: Settlements, day: date, after: Place | None = None, limit: int = 99) -> list[Settlement]:
    async with work() as repository:
        return await repository.of_day(HOSPITAL, day, after or beginning_of(day), limit)


async def found(work: Settlements, settlement: Settlement) -> Settlement:
    async with work() as repository:
        by_id = await repository.find_by_ids([settlement.settlement_id])
        by_msgid = await repository.find_by_msgids([(settlement.fixmedins_code, settlement.msgid)])
    assert list(by_id.values()) == list(by_msgid.values())
    return by_id[settlement.settlement_id]


class RepositoryContract:
    """What the pipeline may rely on, whatever the rows are kept in."""

    async def test_an_intent_is_found_as_it_was_written(self, work: Settlements) -> None:
        (pending,) = await begin(work, intent())
        assert await found(work, pending) == pending

    async def test_amounts_that_were_not_told_stay_untold(self, work: Settlements) -> None:
        (pending,) = await begin(work, intent(1, settle(1, expected_acct_pay_fen=0).order))
        order = (await found(work, pending)).order
        assert order is not None
        assert order.bill.inscp_scp_amt_fen is None
        assert (order.expected_acct_pay_fen, order.expected_acct_mulaid_pay_fen) == (0, None)

    async def test_a_settled_settlement_is_found_with_its_lines_and_declines(self, work: Settlements) -> None:
        (pending,) = await begin(work, intent())
        done = settled(pending, split(), TEN_O_CLOCK + timedelta(seconds=1))
        await save(work, done)
        assert await found(work, done) == done

    async def test_a_reversed_settlement_is_found_with_its_refunds(self, work: Settlements) -> None:
        (pending,) = await begin(work, intent())
        done = settled(pending, split(), TEN_O_CLOCK)
        await save(work, done)
        back = reversed_with(done, (Refund("child", 2000, 2000), Refund("father", 3000, 10000)), TEN_O_CLOCK)
        await save(work, back)
        assert await found(work, back) == back

    async def test_a_settlement_and_the_one_that_replaces_it_are_found_with_each_other(self, work: Settlements) -> None:
        (pending,) = await begin(work, intent())
        first = settled(pending, split(), TEN_O_CLOCK)
        await save(work, first)
        order = replace(settle(2, full_bill()).order, replaces=first.settlement_id)
        (other,) = await begin(work, intent(2, order))
        again = settled(other, split(), TEN_O_CLOCK)
        gone = reversed_with(first, (Refund("father", 3000, 10000),), TEN_O_CLOCK, again.settlement_id)
        await save(work, again)
        async with work() as repository:
            await repository.lock([gone.settlement_id])
            await repository.save([gone])
        assert await found(work, again) == again
        assert await found(work, gone) == gone

    @pytest.mark.parametrize("state", [SettlementState.REFUSED, SettlementState.ABANDONED])
    async def test_what_took_nothing_is_found_with_its_reason(self, work: Settlements, state: SettlementState) -> None:
        (pending,) = await begin(work, intent())
        refusal = state is SettlementState.REFUSED
        done = refused(pending, Reason.AMOUNT_CHANGED) if refusal else abandoned(pending)
        await save(work, done)
        assert await found(work, done) == done

    async def test_a_msgid_is_taken_once(self, work: Settlements) -> None:
        await begin(work, intent(1))
        async with work() as repository:
            assert await repository.add_intents([intent(1, settle(1, bill("baby")).order)]) == {}

    async def test_a_patient_has_one_settlement_under_way(self, work: Settlements) -> None:
        (first,) = await begin(work, intent(1))
        async with work() as repository:
            assert await repository.add_intents([intent(2)]) == {}
        await save(work, abandoned(first))
        await begin(work, intent(2))

    async def test_of_a_batch_only_those_in_the_way_are_not_written(self, work: Settlements) -> None:
        batch = [intent(1), intent(2), intent(3, settle(3, bill("baby")).order)]
        async with work() as repository:
            written = await repository.add_intents(batch)
        assert set(written) == {batch[0].settlement_id, batch[2].settlement_id}

    async def test_withdrawn_intents_leave_no_trace(self, work: Settlements) -> None:
        first = intent(1)
        async with work() as repository:
            await repository.add_intents([first])
            await repository.withdraw_intents([first.settlement_id])
        async with work() as repository:
            assert await repository.find_by_ids([first.settlement_id]) == {}

    async def test_credentials_stay_with_the_visit_that_they_were_bound_to(self, work: Settlements) -> None:
        first, other = intent(1), intent(2, settle(2, bill("baby")).order)
        async with work() as repository:
            written = await repository.add_intents([first, other])
            assert [written[each.settlement_id].binds for each in (first, other)] == [True, True]
        again = replace(intent(3, settle(3, bill("aunt")).order), jti=first.jti)
        new, without = (
            intent(4, settle(4, bill("uncle")).order),
            replace(intent(5, settle(5, bill("x")).order), jti=None),
        )
        async with work() as repository:
            written = await repository.add_intents([again, new, without])
            assert [written[each.settlement_id].binds for each in (again, new, without)] == [False, True, False]
            bound = await repository.bound_visits(["jti-1", "jti-2", "jti-4", "unknown"])
        assert bound == {"jti-1": "visit-child", "jti-2": "visit-baby", "jti-4": "visit-uncle"}

    async def test_what_is_not_written_binds_nothing(self, work: Settlements) -> None:
        await begin(work, intent(1))
        async with work() as repository:
            assert await repository.add_intents([intent(2)]) == {}  # its patient has one under way
        async with work() as repository:
            assert await repository.bound_visits(["jti-2"]) == {}

    async def test_a_look_finds_what_is_known_and_bound(self, work: Settlements) -> None:
        await begin(work, intent(1))
        sought = Sought([(HOSPITAL, msgid(1)), (HOSPITAL, msgid(2))], ["jti-1", "jti-2"], ["child"], [HOSPITAL])
        nothing = Sought([(HOSPITAL, msgid(2)), (OTHER, msgid(1))])
        async with work() as repository:
            seen = await repository.look(sought, TEN_O_CLOCK)
            assert seen == Seen(True, False, {"jti-1": "visit-child"}, Projections({}, {}))
            assert await repository.look(nothing, TEN_O_CLOCK) == Seen(False, False, {}, Projections({}, {}))

    async def test_a_look_knows_msgids_of_reversals(self, work: Settlements) -> None:
        (pending,) = await begin(work, intent())
        reversal = Reversal(
            HOSPITAL, msgid(9), pending.settlement_id, reversal_fingerprint(HOSPITAL, "a"), "wrong bill"
        )
        async with work() as repository:
            await repository.add_reversals([reversal])
            assert (await repository.look(Sought([reversal.key]), TEN_O_CLOCK)).any_known
            assert not (await repository.look(Sought([(HOSPITAL, msgid(8))]), TEN_O_CLOCK)).any_known

    async def test_only_pending_ones_are_locked_as_pending(self, work: Settlements, opening: Opening) -> None:
        father, mother = account("father", 10000), account("mother", 5000, AccountState.FROZEN)
        await opening([father, mother, account("aunt", 1)])
        first, second = await begin(work, intent(1), intent(2, settle(2, bill("baby")).order))
        await save(work, abandoned(first))
        async with work() as repository:
            await repository.hold_business_day(TODAY)  # the first to post on a day makes its row
        async with work() as repository:
            ids = [first.settlement_id, second.settlement_id, uuid7()]
            locked = await repository.lock_to_settle(ids, ["mother", "father", "nobody"], TODAY)
            assert locked == Locked({second.settlement_id}, {"father": father, "mother": mother}, day_is_open=True)
            assert set(await repository.lock(ids)) == {first.settlement_id, second.settlement_id}

    async def test_recent_outcomes_are_those_of_settlements_that_asked_payers(self, work: Settlements) -> None:
        asking, own = settle(1, bill("child")).order, settle(2, bill("child"), use_mutual_aid=False).order
        nothing, other = settle(3, bill("child", 0)).order, settle(4, bill("baby")).order
        for number, order in enumerate([asking, own, nothing, other]):
            (pending,) = await begin(work, intent(number, order))
            await save(work, abandoned(pending))
        (last,) = await begin(work, intent(5, settle(5, bill("child")).order))
        await save(work, settled(last, split(), TEN_O_CLOCK))
        await begin(work, intent(6, settle(6, bill("child")).order))
        async with work() as repository:
            recent = (await repository.lately(["child", "nobody"])).outcomes
        assert [each.state for each in recent["child"]] == [SettlementState.ABANDONED, SettlementState.SETTLED]
        assert recent["child"][0].lines == ()
        assert recent["child"][1].settlement_id == last.settlement_id
        assert recent["child"][1].lines[0] == Paid(RELATION, 3000)
        assert "nobody" not in recent

    async def test_stale_settlements_are_pending_ones_of_an_age(self, work: Settlements) -> None:
        first, second = await begin(work, intent(1), intent(2, settle(2, bill("baby")).order))
        await save(work, abandoned(first))
        async with work() as repository:
            assert await repository.take_stale(60, 10) == []
            assert await repository.take_stale(0, 10) == [second]

    async def test_what_is_pending_is_counted_with_the_age_of_the_oldest(self, work: Settlements) -> None:
        async with work() as repository:
            assert await repository.pending() == Backlog(0, 0.0)
        first, _ = await begin(work, intent(1), intent(2, settle(2, bill("baby")).order))
        async with work() as repository:
            pending = await repository.pending()
        assert pending.settlements == 2
        assert 0 <= pending.oldest_age_seconds < 60
        await save(work, abandoned(first))
        async with work() as repository:
            assert (await repository.pending()).settlements == 1

    async def test_a_fence_keeps_a_settlement_from_coming(self, work: Settlements) -> None:
        fence = fenced(uuid7(), HOSPITAL, msgid(1), TEN_O_CLOCK)
        async with work() as repository:
            assert await repository.add_fences([fence]) == {fence.settlement_id}
        async with work() as repository:
            assert await repository.add_intents([intent(1)]) == {}
            assert await repository.add_fences([fenced(uuid7(), HOSPITAL, msgid(1), TEN_O_CLOCK)]) == set()
        assert await found(work, fence) == fence

    async def test_a_fence_is_taken_back_without_a_trace(self, work: Settlements) -> None:
        fence, other = (fenced(uuid7(), HOSPITAL, msgid(number), TEN_O_CLOCK) for number in (1, 2))
        async with work() as repository:
            await repository.add_fences([fence, other])
            await repository.withdraw_fences([fence.settlement_id])
        async with work() as repository:
            assert set(await repository.find_by_msgids([(HOSPITAL, msgid(1)), (HOSPITAL, msgid(2))])) == {
                (HOSPITAL, msgid(2))
            }

    async def test_what_is_written_under_the_msgid_of_a_reversal_is_told(self, work: Settlements) -> None:
        (pending,) = await begin(work, intent())
        reversal = Reversal(
            HOSPITAL, msgid(9), pending.settlement_id, reversal_fingerprint(HOSPITAL, "a"), "wrong bill"
        )
        late = intent(9, settle(9, bill("baby")).order)
        async with work() as repository:
            await repository.add_reversals([reversal])
            await repository.add_intents([late])
            assert (await repository.lately([], [late])).taken == {late.settlement_id}

    async def test_a_reversals_msgid_is_kept_as_it_came_first(self, work: Settlements) -> None:
        (pending,) = await begin(work, intent())
        first = Reversal(HOSPITAL, msgid(9), pending.settlement_id, reversal_fingerprint(HOSPITAL, "a"), "wrong bill")
        async with work() as repository:
            await repository.add_reversals([first])
            await repository.add_reversals([replace(first, fingerprint=reversal_fingerprint(HOSPITAL, "b"))])
        async with work() as repository:
            assert await repository.find_reversals([first.key, (HOSPITAL, msgid(8))]) == {first.key: first}

    async def test_a_day_lists_what_was_settled_on_it_and_what_came_on_it_and_was_not(self, work: Settlements) -> None:
        late, tomorrow = TEN_O_CLOCK + timedelta(hours=13, minutes=59), TEN_O_CLOCK + timedelta(hours=14)
        today, overnight, given_up, under_way, refunded = [await begin_for(work, number, late) for number in range(5)]
        await begin(work, replace(intent(70, hold(70, bill("held")).order), occurred_at=late))
        await save(work, settled(today, ALL_CASH, late), settled(refunded, ALL_CASH, late), abandoned(given_up))
        await save(work, settled(overnight, ALL_CASH, tomorrow), day=TODAY + timedelta(days=1))
        await save(work, reversed_with(settled(refunded, ALL_CASH, late), (), tomorrow))
        fences = [fenced(uuid7(), HOSPITAL, msgid(80), late), fenced(uuid7(), HOSPITAL, msgid(81), tomorrow)]
        async with work() as repository:
            await repository.add_fences([*fences, fenced(uuid7(), OTHER, msgid(82, OTHER), late)])
        expected = {each.settlement_id for each in (today, given_up, under_way, refunded, fences[0])}
        found = await listed(work, TODAY)
        assert {each.settlement_id for each in found} == expected
        assert [each.state for each in found if each.order is None] == [SettlementState.ABANDONED]
        after = {each.settlement_id for each in await listed(work, TODAY + timedelta(days=1))}
        assert after == {overnight.settlement_id, fences[1].settlement_id}
        assert await listed(work, TODAY - timedelta(days=1)) == []

    async def test_a_list_goes_on_after_its_place_whatever_states_stand_there(self, work: Settlements) -> None:
        for number in range(7):
            pending = await begin_for(work, number, TEN_O_CLOCK + timedelta(minutes=number // 3))
            if number % 2:
                await save(work, settled(pending, ALL_CASH, TEN_O_CLOCK + timedelta(minutes=number // 3)))
        whole = await listed(work, TODAY)
        assert [listed_at(each) for each in whole] == sorted(filter(None, map(listed_at, whole)))
        paged: list[Settlement] = []
        while page := await listed(work, TODAY, place_of(page_token(paged[-1]) if paged else "", TODAY), limit=2):
            paged += page
        assert paged == whole
        assert len(whole) == 7

    async def test_posting_changes_the_accounts_and_nothing_else(self, work: Settlements, opening: Opening) -> None:
        await opening([account("father", 10000), account("mother", 5000)])
        (pending,) = await begin(work, intent())
        paid = Split(0, 3000, 6000, None, (Line("father", RELATION, 3000, 7000),))
        async with work() as repository:
            accounts = await repository.lock_accounts(["mother", "father", "nobody"])
            assert set(accounts) == {"father", "mother"}
            done = settled(pending, paid, TEN_O_CLOCK)
            await repository.post(postings_of([done], accounts, TODAY), accounts)
        async with work() as repository:
            after = await repository.read_accounts(["father", "mother"])
        assert (after["father"].balance_fen, after["father"].version) == (7000, 2)
        assert after["mother"] == accounts["mother"]

    async def test_a_day_that_nobody_has_closed_can_be_held(self, work: Settlements) -> None:
        async with work() as repository:
            assert await repository.hold_business_day(TODAY)
            assert await repository.hold_business_day(TODAY)


class TestMemory(RepositoryContract):
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


class TestPostgres(RepositoryContract):
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

    async def test_a_look_finds_what_identity_has_told(self, work: Settlements, database: Database) -> None:
        async with database.transaction() as transaction:
            await transaction.raw.execute(TOLD)
        sought = Sought(psn_nos=["child", "nobody", "late"], fixmedins_codes=[HOSPITAL, OTHER])
        async with work() as repository:
            told = (await repository.look(sought, TEN_O_CLOCK)).told
            assert told == await repository.projections(sought.psn_nos, sought.fixmedins_codes)
        assert [fact.enrolment.valid_from.year for fact in told.persons["child"].enrolments] == [2024, 2025]
        assert told.persons["late"] == PersonFacts(died_on=date(2025, 1, 2))
        assert set(told.institutions) == {HOSPITAL}
        assert [period.valid_to for period in told.institutions[HOSPITAL].designations] == [date(2024, 6, 30), None]


TOLD = f"""
INSERT INTO person_fact (psn_no, sequence, as_of, died_on, died_sequence)
VALUES ('child', 1, now(), NULL, NULL), ('late', 1, now(), '2025-01-02', 1), ('other', 1, now(), NULL, NULL);
INSERT INTO person_enrolment (psn_no, sequence, as_of, valid_from, valid_to, insutype, insuplc_admdvs, psn_insu_stas,
                              arrears)
VALUES ('child', 1, now(), '2025-01-01', NULL, 390, '652701', 1, false),
       ('child', 1, now(), '2024-01-01', '2024-12-31', 310, '652701', 2, true),
       ('other', 1, now(), '2024-01-01', NULL, 310, '652701', 1, false);
INSERT INTO institution_fact (fixmedins_code, sequence, as_of, fixmedins_type, admdvs, designations_from,
                              designations_to, remote_settlement, suspended)
VALUES ('{HOSPITAL}', 1, now(), 1, '652701', '{{2024-01-01,2025-01-01}}', '{{2024-06-30,NULL}}', true, false);
"""  # noqa: S608 - constants of this file
