"""The audit finds nothing in books that were kept, and finds each way in which they can be tampered with."""

import re
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest

from kit.clock import FixedClock
from kit.db import Database, PostgresWork
from kit.ids import uuid7
from settlement.account_repository import AccountRepository, PostgresAccountRepository
from settlement.account_service import AccountService
from settlement.audit import SHOWN_FINDINGS, Report, Result, audit, lines_of
from settlement.audit_checks import all_checks
from settlement.closing_repository import ClosedRefundsAsked, PostgresClosingRepository
from settlement.closing_service import ClosingService
from settlement.contribution_repository import PostgresContributionRepository
from settlement.contribution_service import ContributionService
from settlement.domain.accounts import Account, AccountState, ContributionKind, Instruction
from settlement.domain.allocate import Line, Split
from settlement.domain.bill import Bill, MedicalType
from settlement.domain.closing import PayoutOrder, PayoutWay
from settlement.domain.contributing import Row
from settlement.domain.quotes import hold
from settlement.domain.settling import postings_of, reverse_all
from settlement.domain.state import Fingerprint, Intent, Order, OrderKind, Settlement, abandoned, fenced, settled
from settlement.domain.visit import InsuranceType
from settlement.postgres_repository import PostgresSettlementRepository
from settlement.settlement_events import moved

NOON = datetime(2025, 3, 10, 4, tzinfo=UTC)
TODAY = date(2025, 3, 10)
HOSPITAL = "H65270100001"
PENDING_AGE_SECONDS = 30.0
PAID, REVERSED, GIVEN_UP, HELD, WAITS, PAID_OUT = (UUID(int=number) for number in (1, 2, 3, 4, 5, 6))


LINES = "a settlement's lines and refunds are its entries; what is reversed nets to zero"


class Books:
    """A service's books as the service itself keeps them, and a pen for whoever tampers with them."""

    def __init__(self, database: Database) -> None:
        self.database = database
        accounts = PostgresWork[AccountRepository](database, PostgresAccountRepository)
        self.accounts_work = accounts
        self.accounts = AccountService(accounts, FixedClock(NOON))
        self.contributions = ContributionService(
            PostgresWork(database, PostgresContributionRepository), FixedClock(NOON)
        )
        self.closing = ClosingService(PostgresWork(database, PostgresClosingRepository), FixedClock(NOON))
        self.settlements = PostgresWork(database, PostgresSettlementRepository)

    async def keep(self) -> None:
        """Accounts with contributions and a freeze, and one closed to which refunds came, of which one was paid out; a
        settlement paid, some reversed, one given up, one fenced.
        """
        for psn_no, amount_fen in (("father", 10_000), ("child", 1_000), ("mother", 500), ("son", 1)):
            async with self.accounts_work() as repository:
                await repository.add(Account(psn_no, AccountState.OPEN, 0, 0, 0))
            await self.accounts.contribute(Row(psn_no, f"first-{psn_no}", amount_fen))
        await self.contributions.take([(1, Row("son", "interest-son", 7, ContributionKind.INTEREST))])
        await self.accounts.freeze("father", Instruction("order"))
        await self.accounts.unfreeze("father", Instruction("lifted"))
        await self.settle(PAID, Split(1_000, 3_000, 2_000, 0, (Line("father", uuid7(), 3_000, 7_000),)))
        await self.settle(REVERSED, Split(0, 6_000, 0, 0, (Line("father", uuid7(), 6_000, 1_000),)))
        await self.reverse(REVERSED)
        await self.hold(HELD, Split(0, 300, 200, 0, (Line("mother", uuid7(), 300, 200),)))
        await self.close()
        await self.begin(GIVEN_UP)
        async with self.settlements() as repository:
            await repository.save([abandoned(each) for each in (await repository.lock([GIVEN_UP])).values()])
            await repository.add_fences([fenced(uuid7(), HOSPITAL, "never-came", NOON)])

    async def close(self) -> None:
        """An account that paid twice is closed, gets both back, and one of them is paid out."""
        async with self.accounts_work() as repository:
            await repository.add(Account("aunt", AccountState.OPEN, 0, 0, 0))
        await self.accounts.contribute(Row("aunt", "first-aunt", 900))
        for settlement_id, amount_fen, left_fen in ((WAITS, 200, 700), (PAID_OUT, 300, 400)):
            await self.settle(
                settlement_id,
                Split(0, amount_fen, 6_000 - amount_fen, 0, (Line("aunt", uuid7(), amount_fen, left_fen),)),
            )
        order = PayoutOrder(PayoutWay.TRANSFER, Instruction("moved", "letter 7", "operator"))
        assert (await self.closing.close("aunt", order)).payout is not None
        for settlement_id in (WAITS, PAID_OUT):
            await self.reverse(settlement_id)
        (_, first), _ = await self.closing.refunds(ClosedRefundsAsked())
        assert first.settlement_id == WAITS
        found = await self.closing.refunds(ClosedRefundsAsked(is_open=True, after_position=1))
        await self.closing.pay_out(found[-1][1].closed_refund_id, order)

    async def begin(
        self, settlement_id: UUID, psn_no: str = "child", kind: OrderKind = OrderKind.BILL, part_fen: int = 6_000
    ) -> Settlement:
        bill = Bill(psn_no, "visit", MedicalType.OUTPATIENT, 10_000, 10_000 - part_fen, part_fen)
        order = Order(HOSPITAL, f"msg-{settlement_id}", bill, acct_used_flag=True, use_mutual_aid=True, kind=kind)
        fingerprint = Fingerprint(1, b"body")
        intent = Intent(settlement_id, order, fingerprint, InsuranceType.EMPLOYEE, "jti", NOON)
        async with self.settlements() as repository:
            assert await repository.add_intents([intent])
        return intent.settlement

    async def settle(self, settlement_id: UUID, split: Split) -> None:
        paid = settled(await self.begin(settlement_id), split, NOON)
        async with self.settlements() as repository:
            accounts = await repository.lock_accounts(["father", "child", "aunt"])
            posted = postings_of([paid], accounts, TODAY)
            await repository.post(posted, accounts)
            await repository.save([paid], TODAY)
            await repository.outbox.add(moved(posted))

    async def hold(self, settlement_id: UUID, split: Split) -> None:
        quote = hold(await self.begin(settlement_id, "child", OrderKind.QUOTE, 500), split, NOON, timedelta(minutes=10))
        async with self.settlements() as repository:
            await repository.lock_accounts(["child", "mother"])
            await repository.quotes.keep([quote])

    async def reverse(self, settlement_id: UUID) -> None:
        async with self.settlements() as repository:
            locked = await repository.lock([settlement_id])
            accounts = await repository.lock_accounts(["father", "child", "aunt"])
            given_back, posted = reverse_all(list(locked.values()), accounts, NOON, TODAY)
            await repository.post(posted, accounts)
            await repository.save(given_back, TODAY)
            await repository.outbox.add(moved(posted))

    async def tamper(self, *statements: str) -> None:
        """As the tables' owner may, with every guard taken away first."""
        async with self.database.transaction() as transaction:
            for statement in (*NO_GUARDS, *statements):
                await transaction.raw.execute(statement)

    async def audit_tampered(self, statement: str) -> Report:
        """What the audit says of tampered books that are then put right again."""
        async with self.database.shared() as transaction:
            inside = transaction.raw.transaction()
            await inside.start()
            for each in (*NO_GUARDS, statement):
                await transaction.raw.execute(each)
            report = await audit(self.database, PENDING_AGE_SECONDS)
            await inside.rollback()
        return report

    async def audit(self, chunk_keys: int | None = None) -> Report:
        return await audit(self.database, PENDING_AGE_SECONDS, chunk_keys=chunk_keys)


NO_GUARDS = (
    "ALTER TABLE entry DISABLE TRIGGER USER",
    """
    DO $$ DECLARE guard record; BEGIN
        FOR guard IN SELECT conrelid::regclass AS owner, conname FROM pg_constraint
                     WHERE contype IN ('c', 'f') AND connamespace = 'public'::regnamespace AND conparentid = 0
                       AND coninhcount = 0 AND conrelid::regclass::text NOT LIKE 'outbox%'
        LOOP EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', guard.owner, guard.conname); END LOOP;
    END $$
    """,
)


@pytest.fixture
async def books(database_url: str) -> AsyncIterator[Books]:
    database = Database(database_url, pool_size=2)
    books = Books(database)
    await books.keep()
    yield books
    await database.close()


def findings(report: Report) -> dict[str, Sequence[str]]:
    return {result.name: result.findings for result in report.results if result.found}


async def test_books_that_were_kept_are_in_order(books: Books) -> None:
    report = await books.audit()
    assert findings(report) == {}
    looked_at = {result.name: result.looked_at for result in report.results}
    assert looked_at["postings sum to zero"] == 16
    assert looked_at["a balance is the sum of its entries, never negative"] == 5
    assert looked_at["every version of an account was told once, in order"] == 5
    assert looked_at["the parts of a bill and of its split add up (R16)"] == 6


async def test_the_size_of_the_chunks_makes_no_difference(books: Books) -> None:
    await books.tamper("UPDATE entry SET amount_fen = amount_fen + 1 WHERE account_kind = 'CLEARING'")
    small, large = await books.audit(chunk_keys=1), await books.audit()
    assert [(each.name, each.findings) for each in large.results if each.name != "postings sum to zero"] == [
        (each.name, each.findings) for each in small.results if each.name != "postings sum to zero"
    ]
    # A posting whose entries lie in two chunks is told at each; a whole one in small chunks is told at none.
    assert small.results[0].found >= large.results[0].found == 8


async def test_an_empty_database_is_in_order(database_url: str) -> None:
    database = Database(database_url, pool_size=1)
    report = await audit(database, PENDING_AGE_SECONDS)
    await database.close()
    assert (report.found, report.unsent_events) == (0, 0)


TAMPERED = [
    (
        "UPDATE entry SET amount_fen = 2999 WHERE account_kind = 'CLEARING' AND amount_fen = 3000",
        "postings sum to zero",
    ),
    ("UPDATE account SET balance_fen = 7001 WHERE psn_no = 'father'", "a balance is the sum of its entries"),
    ("UPDATE account SET held_fen = 7001 WHERE psn_no = 'father'", "a balance is the sum of its entries"),
    ("UPDATE account SET held_fen = held_fen + 1 WHERE psn_no = 'mother'", "what is held on an account"),
    ("UPDATE account SET held_fen = 1 WHERE psn_no = 'father'", "what is held on an account"),
    ("UPDATE quote_line SET amount_fen = 299", "what is held on an account"),
    ("UPDATE quote SET acct_pay_fen = 1", "what is held on an account"),
    ("UPDATE quote SET state = 'EXPIRED'", "what is held on an account"),
    ("DELETE FROM quote_line", "what is held on an account"),
    ("UPDATE account SET held_fen = -1 WHERE psn_no = 'father'", "a balance is the sum of its entries"),
    (
        "UPDATE entry SET balance_after_fen = 6999 WHERE account_key = 'father' AND version = 4",
        "balances follow from entry to",
    ),
    ("UPDATE entry SET version = 9 WHERE account_key = 'father' AND version = 6", "balances follow from entry to"),
    ("DELETE FROM account_change WHERE version = 2", "balances follow from entry to"),
    ("UPDATE account_change SET version = 1 WHERE version = 2", "balances follow from entry to"),
    ("UPDATE account SET version = 7 WHERE psn_no = 'father'", "balances follow from entry to"),
    (
        "UPDATE entry SET account_key = 'ghost' WHERE account_key = 'father' AND version = 6",
        "every personal entry is on an account",
    ),
    ("UPDATE contribution SET amount_fen = 1 WHERE psn_no = 'mother'", "every contribution is one entry"),
    ("UPDATE contribution SET kind = 'INTEREST' WHERE psn_no = 'mother'", "every contribution is one entry"),
    ("UPDATE entry SET entry_kind = 'CONTRIBUTION' WHERE entry_kind = 'INTEREST'", "every contribution is one entry"),
    ("UPDATE contribution SET balance_after_fen = 1 WHERE psn_no = 'mother'", "every contribution is one entry"),
    ("UPDATE contribution SET psn_no = 'father' WHERE psn_no = 'mother'", "every contribution is one entry"),
    ("DELETE FROM contribution WHERE psn_no = 'mother'", "every contribution is one entry"),
    (
        "INSERT INTO contribution VALUES ('never-posted', 'mother', 1, 501, '')",
        "every contribution is one entry",
    ),
    ("UPDATE payout SET amount_fen = 1 WHERE amount_fen = 400", "every payout is one entry"),
    ("UPDATE payout SET balance_after_fen = 1 WHERE amount_fen = 400", "every payout is one entry"),
    ("UPDATE payout SET psn_no = 'mother' WHERE amount_fen = 400", "every payout is one entry"),
    ("DELETE FROM payout WHERE amount_fen = 400", "every payout is one entry"),
    (
        "INSERT INTO payout VALUES (gen_random_uuid(), 'aunt', 1, 0, 'HEIRS', '', 'r', 'a', 'b', now())",
        "every payout is one entry",
    ),
    ("UPDATE account SET state = 'FROZEN' WHERE psn_no = 'aunt'", "every payout is one entry"),
    ("UPDATE account SET state = 'FROZEN' WHERE psn_no = 'aunt'", "a closed account has what"),
    ("UPDATE closed_refund SET amount_fen = 199 WHERE payout_id IS NULL", "a closed account has what"),
    ("UPDATE closed_refund SET amount_fen = 299 WHERE payout_id IS NOT NULL", "a closed account has what"),
    ("UPDATE closed_refund SET psn_no = 'mother' WHERE payout_id IS NULL", "a closed account has what"),
    ("UPDATE closed_refund SET payout_id = gen_random_uuid() WHERE payout_id IS NULL", "a closed account has what"),
    ("UPDATE closed_refund SET payout_id = NULL", "a closed account has what"),
    ("DELETE FROM closed_refund WHERE payout_id IS NULL", "a closed account has what"),
    ("UPDATE account SET state = 'FROZEN' WHERE psn_no = 'father'", "an account's state is"),
    ("UPDATE account SET state = 'CLOSED' WHERE psn_no = 'mother'", "an account's state is"),
    ("UPDATE account_change SET change = 'FROZEN' WHERE psn_no = 'aunt'", "an account's state is"),
    ("UPDATE settlement_line SET amount_fen = 2999 WHERE amount_fen = 3000", "a settlement's lines and refunds"),
    ("UPDATE settlement_line SET payer_psn_no = 'mother' WHERE amount_fen = 3000", "a settlement's lines and refunds"),
    ("UPDATE settlement_line SET balance_after_fen = 1 WHERE amount_fen = 3000", "a settlement's lines and refunds"),
    ("UPDATE settlement SET acct_pay_fen = 0 WHERE acct_pay_fen = 1000", "a settlement's lines and refunds"),
    ("UPDATE settlement SET state = 'SETTLED' WHERE state = 'REVERSED'", "a settlement's lines and refunds"),
    ("UPDATE settlement SET state = 'REVERSED' WHERE acct_pay_fen = 1000", "a settlement's lines and refunds"),
    ("UPDATE settlement SET state = 'ABANDONED' WHERE acct_pay_fen = 1000", "a settlement's lines and refunds"),
    ("UPDATE settlement SET state = 'REFUSED' WHERE state = 'REVERSED'", "a settlement's lines and refunds"),
    ("UPDATE refund SET amount_fen = 5999", "a settlement's lines and refunds"),
    ("DELETE FROM refund", "a settlement's lines and refunds"),
    (
        "UPDATE entry SET account_key = 'H65270100002' WHERE account_kind = 'CLEARING' AND amount_fen = 3000",
        "a settlement's lines and refunds",
    ),
    ("DELETE FROM settlement WHERE acct_pay_fen = 1000", "every entry and line of a settlement belongs"),
    (
        "INSERT INTO settlement_line VALUES (gen_random_uuid(), 0, 'father', gen_random_uuid(), 1, 1)",
        "every entry and line of a settlement belongs",
    ),
    ("UPDATE settlement SET psn_cash_pay_fen = 1999 WHERE psn_cash_pay_fen = 2000", "the parts of a bill"),
    ("UPDATE settlement SET medfee_sumamt_fen = 1 WHERE state = 'REVERSED'", "the parts of a bill"),
    ("UPDATE settlement SET acct_mulaid_pay_fen = 2999 WHERE psn_cash_pay_fen = 2000", "the parts of a bill"),
    ("DELETE FROM outbox_event WHERE key = 'father' AND sequence = 2", "every version of an account was told"),
    ("DELETE FROM outbox_event WHERE key = 'father' AND sequence = 1", "every version of an account was told"),
    ("DELETE FROM outbox_event WHERE key = 'father' AND sequence = 6", "every version of an account was told"),
    ("DELETE FROM outbox_event WHERE key = 'mother'", "every version of an account was told"),
    ("UPDATE outbox_event SET key = 'ghost' WHERE key = 'mother'", "every version of an account was told"),
    (
        "UPDATE outbox_event SET sequence = 5 - sequence WHERE key = 'father' AND sequence IN (2, 3)",
        "every version of an account was told",
    ),
    (
        "UPDATE outbox_event SET sequence = 2 WHERE key = 'father' AND sequence = 3",
        "every version of an account was told",
    ),
]


async def test_what_was_tampered_with_is_found(books: Books) -> None:
    unnoticed = []
    for statement, name in TAMPERED:
        found = findings(await books.audit_tampered(statement))
        if not any(told.startswith(name) for told in found):
            unnoticed.append((statement, found))
    assert unnoticed == []
    assert findings(await books.audit()) == {}


async def test_a_balance_below_zero_is_found_even_if_the_entries_agree(books: Books) -> None:
    await books.tamper(
        "UPDATE entry SET amount_fen = amount_fen - 20000, balance_after_fen = balance_after_fen - 20000 "
        "WHERE account_key = 'father' AND version = 6",
        "UPDATE account SET balance_fen = balance_fen - 20000 WHERE psn_no = 'father'",
    )
    found = findings(await books.audit())
    assert found["a balance is the sum of its entries, never negative"] == (
        "father: the balance is -13000 fen with 0 held",
    )


async def test_a_refund_to_another_account_than_paid_is_found(books: Books) -> None:
    await books.tamper(
        "UPDATE entry SET account_key = 'mother', version = 2, balance_after_fen = 6500 "
        "WHERE account_key = 'father' AND entry_kind = 'REFUND'",
        "UPDATE refund SET psn_no = 'mother', balance_after_fen = 6500 WHERE psn_no = 'father'",
    )
    found = findings(await books.audit())[LINES]
    assert found == (f"{REVERSED}: reversed, yet 2 account(s) did not get back what they paid",)


async def test_a_settlement_pending_for_longer_than_the_sweeper_lets_it_is_found(books: Books) -> None:
    await books.begin(UUID(int=9))
    assert findings(await books.audit()) == {}
    await books.tamper("UPDATE settlement SET created_at = created_at - interval '31 s' WHERE state = 'PENDING'")
    told = str(findings(await books.audit()))
    assert re.search(f"{UUID(int=9)}: PENDING for 3[0-9] s", told)


async def test_money_on_a_settlement_that_took_nothing_is_found(books: Books) -> None:
    await books.tamper(
        "UPDATE entry SET settlement_id = lpad('3', 32, '0')::uuid WHERE settlement_id = lpad('1', 32, '0')::uuid"
    )
    found = findings(await books.audit())[LINES]
    assert [told.split(":")[0] for told in found] == [str(PAID), str(GIVEN_UP)]


async def test_events_that_policy_has_dropped_are_not_missed(books: Books) -> None:
    await books.tamper(
        "INSERT INTO purged_month (table_name, partition_name, until, kept_days, about_rows, bytes)"
        " VALUES ('outbox_event', 'outbox_event_before', now(), 190, 3, 8192)",
        "DELETE FROM outbox_event WHERE NOT (key = 'father' AND sequence > 3)",
    )
    async with books.database.transaction() as transaction:
        assert await transaction.raw.fetchval("SELECT count(*) FROM outbox_event") == 3
    assert findings(await books.audit()) == {}


async def test_unsent_events_are_told_but_are_no_finding(books: Books) -> None:
    report = await books.audit()
    assert report.unsent_events == 19
    assert report.unsent_age_seconds >= 0


def test_the_report_says_what_was_looked_at_and_what_was_found() -> None:
    many = tuple(f"account-{number}: wrong" for number in range(SHOWN_FINDINGS))
    clean, wrong = Result("postings sum to zero", 12, 0, ()), Result("a balance", 40, SHOWN_FINDINGS + 3, many)
    assert list(lines_of(Report((clean,), 2, 1.4))) == [
        "what must be true      looked at  findings",
        "postings sum to zero          12         0",
        "outbox: 2 event(s) wait to be sent, the oldest for 1 s",
        "the books are in order",
    ]
    told = list(lines_of(Report((clean, wrong), 0, 0.0)))
    assert told[4:6] == ["NOT TRUE: a balance", "  account-0: wrong"]
    assert told[-2:] == ["  … and 3 more", f"{SHOWN_FINDINGS + 3} finding(s): see above"]


def test_a_report_without_bindings_answer_says_what_is_missing_and_is_not_clean() -> None:
    clean, wrong = Result("postings", 7, 0, ()), Result("a balance", 3, 1, ("father: wrong",))
    silent = Report((clean,), 0, 0.0, "binding did not say what it holds: UNAVAILABLE")
    told = list(lines_of(silent))
    assert told[-2].startswith("NOT COMPLETE: binding did not say what it holds: UNAVAILABLE; limits were not compared")
    assert told[-1] == "what was looked at is in order"
    assert list(lines_of(Report((clean, wrong), 0, 0.0, "silence")))[-1] == "1 finding(s): see above"
    assert [report.clean for report in (Report((clean,), 0, 0.0), Report((wrong,), 0, 0.0), silent)] == [
        True,
        False,
        False,
    ]


async def test_whoever_watches_is_told_of_each_check_as_it_goes(books: Books) -> None:
    watched = list[Result]()
    report = await audit(books.database, PENDING_AGE_SECONDS, chunk_keys=3, watch=watched.append)
    postings = [result.looked_at for result in watched if result.name == "postings sum to zero"]
    assert postings == sorted(postings)
    assert (postings[0], postings[-1]) == (0, report.results[0].looked_at)
    assert len(postings) > 2
    assert {result.name for result in watched} == {result.name for result in report.results}


async def test_no_check_reads_the_whole_ledger_for_each_key(books: Books) -> None:
    """Books that grow are audited in time that grows with them: what is looked up for each key has an index."""
    async with books.database.transaction() as transaction:
        await transaction.raw.execute("SET LOCAL enable_seqscan = off")
        for check in all_checks(PENDING_AGE_SECONDS):
            if check.chunk_keys is None:
                continue
            arguments = (check.first_key, check.chunk_keys, *check.arguments)
            plan = "\n".join(row[0] for row in await transaction.raw.fetch("EXPLAIN " + check.sql, *arguments))
            assert not re.search(r"Seq Scan on (entry|settlement|contribution|payout|settlement_line)\b", plan), (
                check.name
            )
