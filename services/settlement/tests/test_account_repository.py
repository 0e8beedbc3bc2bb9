"""The contract of the accounts' repository, on memory and on PostgreSQL alike."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from kit.clock import FixedClock
from kit.db import Database, PostgresWork, Work
from kit.ids import uuid7
from kit.testing import MemoryWork, patient_database, until_somebody_waits
from settlement.account_memory import MemoryAccounts
from settlement.account_service import AccountService
from settlement.domain.accounts import (
    Account,
    AccountChange,
    AccountChangeKind,
    AccountState,
    Contribution,
    ContributionReusedError,
    Insured,
    NotEligibleError,
)
from settlement.domain.bill import InstitutionType
from settlement.domain.contributing import Row
from settlement.domain.ledger import (
    EntryKind,
    MovedAccountError,
    Occasion,
    Standing,
    contribution_posting,
    post,
    settlement_posting,
)
from settlement.domain.projection import Died, Enrolled, InstitutionTold, PersonKnown, Verified
from settlement.domain.visit import Designation, InsuranceStatus, InsuranceType
from settlement.projection import Projection
from settlement.projection_repository import PostgresProjectionRepository, ProjectionRepository

NOON = datetime(2025, 3, 10, 4, tzinfo=UTC)
TODAY = date(2025, 3, 10)
HOSPITAL = "H65270100001"
INSURED = Insured(310, 1, None)
NOT_TODAY = Insured(None, None, None)
CAME = Occasion(EntryKind.CONTRIBUTION, NOON, TODAY, contribution_id="c1")
Accounts = Work[ProjectionRepository]


def account(psn_no: str = "father", **facts: int) -> Account:
    return Account(psn_no, AccountState.OPEN, facts.get("balance_fen", 0), 0, facts.get("version", 0))


def enrolled(valid_from: date, valid_to: date | None = None, sequence: int = 1) -> Enrolled:
    return Enrolled(
        psn_no="father",
        sequence=sequence,
        as_of=NOON,
        valid_from=valid_from,
        valid_to=valid_to,
        insutype=InsuranceType.EMPLOYEE,
        insuplc_admdvs="652701",
        psn_insu_stas=InsuranceStatus.NORMAL,
        arrears=True,
    )


async def add_and_fail(work: Accounts) -> None:
    async with work() as repository:
        await repository.add(account())
        raise ConnectionError


class RepositoryContract:
    """What the service may rely on, whatever the rows are kept in."""

    async def test_what_was_opened_is_found_and_not_opened_again(self, work: Accounts) -> None:
        async with work() as repository:
            assert await repository.find("father") is None
            assert await repository.add(account())
        async with work() as repository:
            assert not await repository.add(account(balance_fen=9))
            assert await repository.find("father") == account()

    async def test_accounts_are_locked_in_order_and_only_those_that_exist(self, work: Accounts) -> None:
        async with work() as repository:
            for psn_no in ("mother", "father"):
                await repository.add(account(psn_no))
        async with work() as repository:
            locked = await repository.lock(["mother", "stranger", "father", "mother"])
            assert [each.psn_no for each in locked] == ["father", "mother"]

    async def test_saving_writes_state_balance_and_version(self, work: Accounts) -> None:
        saved = Account("father", AccountState.FROZEN, 700, 0, 5)
        async with work() as repository:
            await repository.add(account())
            await repository.add(account("mother"))
            await repository.save([saved])
        async with work() as repository:
            assert await repository.find("father") == saved
            assert await repository.find("mother") == account("mother")

    @pytest.mark.parametrize("version", [0, 4, 5])
    async def test_a_change_of_an_account_that_came_as_far_meanwhile_is_not_written(
        self, work: Accounts, version: int
    ) -> None:
        kept = Account("father", AccountState.OPEN, 700, 0, 5)
        async with work() as repository:
            await repository.add(kept)
        with pytest.raises(MovedAccountError):
            async with work() as repository:
                await repository.save([Account("father", AccountState.FROZEN, 700, 0, version)])
        async with work() as repository:
            assert await repository.find("father") == kept

    @pytest.mark.parametrize("version", [0, 4, 6])
    async def test_entries_that_go_on_from_elsewhere_than_their_account_is_are_not_written(
        self, work: Accounts, version: int
    ) -> None:
        kept = Account("father", AccountState.OPEN, 700, 0, 5)
        mother = account("mother")
        async with work() as repository:
            await repository.add(kept)
            await repository.add(mother)
        came = [contribution_posting(uuid7(), CAME, psn_no, 500) for psn_no in ("mother", "father")]
        posted = post(came, {"mother": mother.standing, "father": Standing(700, version)})
        changed = [mother.after(posted.standings["mother"]), kept.after(posted.standings["father"])]
        with pytest.raises(MovedAccountError):
            async with work() as repository:
                await repository.post(posted.rows, changed)
        async with work() as repository:
            assert await repository.find("father") == kept
            assert await repository.find("mother") == mother
            assert await repository.statement("father", None, 10) == []
            assert await repository.statement("mother", None, 10) == []

    async def test_a_unit_of_work_that_fails_leaves_nothing(self, work: Accounts) -> None:
        with pytest.raises(ConnectionError):
            await add_and_fail(work)
        async with work() as repository:
            assert await repository.find("father") is None

    async def test_a_contribution_is_claimed_once(self, work: Accounts) -> None:
        first = Contribution("c1", "father", 500, 500, b"body")
        async with work() as repository:
            await repository.add(account())
            assert await repository.contribution("c1") is None
            assert await repository.claim(first)
        async with work() as repository:
            assert not await repository.claim(replace(first, amount_fen=7))
            assert await repository.contribution("c1") == first

    async def test_a_statement_shows_personal_entries_newest_first(self, work: Accounts) -> None:
        paid = Occasion(
            EntryKind.SETTLEMENT,
            NOON,
            TODAY,
            settlement_id=UUID(int=7),
            patient_psn_no="child",
            fixmedins_code=HOSPITAL,
        )
        async with work() as repository:
            await repository.add(account())
            opened = {"father": account().standing}
            postings = [
                contribution_posting(uuid7(), CAME, "father", 500),
                settlement_posting(uuid7(), paid, "father", 200),
            ]
            posted = post(postings, opened)
            await repository.post(posted.rows, [account().after(posted.standings["father"])])
        async with work() as repository:
            newest, oldest = await repository.statement("father", None, 10)
            assert (newest.version, newest.kind, newest.amount_fen, newest.balance_after_fen) == (
                2,
                EntryKind.SETTLEMENT,
                -200,
                300,
            )
            assert (newest.reference, newest.patient_psn_no, newest.fixmedins_code, newest.posted_at) == (
                str(UUID(int=7)),
                "child",
                HOSPITAL,
                NOON,
            )
            assert (oldest.reference, oldest.patient_psn_no, oldest.fixmedins_code) == ("c1", "", "")
            assert await repository.statement("father", 2, 10) == [oldest]
            assert await repository.statement("father", None, 1) == [newest]
            assert await repository.statement("mother", None, 10) == []

    async def test_an_open_day_can_be_held_by_several(self, work: Accounts) -> None:
        for _ in range(2):
            async with work() as repository:
                assert await repository.hold_day(TODAY)
                assert await repository.hold_day(TODAY)

    async def test_of_an_unknown_person_nothing_is_known(self, work: Accounts) -> None:
        async with work() as repository:
            assert await repository.insured("father", TODAY) is None
            assert await repository.died_on("father") is None

    @pytest.mark.parametrize(
        ("valid_from", "valid_to", "expected"),
        [
            (TODAY, TODAY, INSURED),
            (TODAY - timedelta(9), None, INSURED),
            (TODAY + timedelta(1), None, NOT_TODAY),
            (TODAY - timedelta(9), TODAY - timedelta(1), NOT_TODAY),
        ],
    )
    async def test_an_enrolment_holds_from_its_first_to_its_last_day(
        self, work: Accounts, valid_from: date, valid_to: date | None, expected: Insured
    ) -> None:
        async with work() as repository:
            await repository.people([PersonKnown("father", 1, NOON)])
            await repository.save_people([PersonKnown("father", 1, NOON, enrolments=(enrolled(valid_from, valid_to),))])
        async with work() as repository:
            assert await repository.insured("father", TODAY) == expected

    async def test_an_enrolment_that_ended_does_not_uncover_the_one_before(self, work: Accounts) -> None:
        history = (enrolled(date(2020, 1, 1)), enrolled(date(2025, 1, 1), date(2025, 2, 1), sequence=2))
        async with work() as repository:
            await repository.people([PersonKnown("father", 2, NOON)])
            await repository.save_people([PersonKnown("father", 2, NOON, enrolments=history)])
            assert await repository.insured("father", TODAY) == NOT_TODAY

    async def test_all_that_is_known_of_a_person_is_kept(self, work: Accounts) -> None:
        known = PersonKnown(
            "father", 4, NOON, date(2025, 3, 9), 4, (enrolled(date(2024, 1, 1)), enrolled(date(2025, 1, 1), sequence=3))
        )
        first = PersonKnown("father", 1, NOON)
        async with work() as repository:
            assert await repository.people([first]) == {"father": first}
            await repository.save_people([known])
        async with work() as repository:
            assert await repository.people([first]) == {"father": known}
            assert await repository.died_on("father") == date(2025, 3, 9)
            await repository.save_people([replace(known, enrolments=known.enrolments[:1])])
        async with work() as repository:
            assert (await repository.people([first]))["father"].enrolments == known.enrolments[:1]

    async def test_only_a_newer_word_on_an_institution_is_kept(self, work: Accounts) -> None:
        def told(sequence: int, *, suspended: bool) -> InstitutionTold:
            kind = InstitutionType.MEDICAL
            return InstitutionTold(
                HOSPITAL,
                sequence,
                NOON,
                kind,
                "652701",
                (Designation(TODAY),),
                remote_settlement=True,
                suspended=suspended,
            )

        for sequence, suspended in ((2, True), (1, False), (2, False)):
            async with work() as repository:
                await repository.save_institutions([told(sequence, suspended=suspended)])
        assert await self.institutions(work) == {HOSPITAL: told(2, suspended=True)}

    async def test_events_are_taken_in_and_told_in_one_transaction(self, work: Accounts) -> None:
        projection = Projection(work, FixedClock(NOON))
        async with work() as repository:
            await repository.add(account())
        died = (uuid7(), Died("father", 2, NOON, TODAY))
        await projection.take([(uuid7(), enrolled(date(2024, 1, 1))), died, (uuid7(), Verified("mother", 1, NOON))])
        await projection.take([died])
        async with work() as repository:
            assert await repository.find("father") == Account("father", AccountState.FROZEN, 0, 0, 1)

    async def test_changes_of_state_are_kept_whole(self, work: Accounts) -> None:
        frozen = AccountChange("father", 1, AccountChangeKind.FROZEN, "inquiry", NOON, "court, order 7", "clerk:wang")
        died = AccountChange("mother", 1, AccountChangeKind.FROZEN, "died", NOON)
        async with work() as repository:
            for psn_no in ("father", "mother"):
                await repository.add(account(psn_no))
            await repository.add_changes([frozen, died])
        assert await self.changes(work) == [frozen, died]

    async def institutions(self, work: Accounts) -> dict[str, InstitutionTold]:
        raise AssertionError(work)

    async def changes(self, work: Accounts) -> list[AccountChange]:
        raise AssertionError(work)


class TestMemoryAccounts(RepositoryContract):
    @pytest.fixture
    def work(self) -> Accounts:
        return MemoryWork[ProjectionRepository](MemoryAccounts())

    async def institutions(self, work: Accounts) -> dict[str, InstitutionTold]:
        async with work() as repository:
            assert isinstance(repository, MemoryAccounts)
            return repository.institutions

    async def changes(self, work: Accounts) -> list[AccountChange]:
        async with work() as repository:
            assert isinstance(repository, MemoryAccounts)
            return repository.changes


class TestPostgresAccounts(RepositoryContract):
    @pytest.fixture
    async def database(self, database_url: str) -> AsyncIterator[Database]:
        database = patient_database(database_url, 4)
        yield database
        await database.close()

    @pytest.fixture
    def work(self, database: Database) -> Accounts:
        return PostgresWork[ProjectionRepository](database, PostgresProjectionRepository)

    @pytest.fixture
    async def watcher(self, database_url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
        connection = await asyncpg.connect(database_url)
        yield connection
        await connection.close()

    async def institutions(self, work: Accounts) -> dict[str, InstitutionTold]:
        async with work() as repository:
            assert isinstance(repository, PostgresProjectionRepository)
            rows = await repository._raw.fetch("SELECT * FROM institution_fact")
        return {row["fixmedins_code"]: self.institution(dict(row)) for row in rows}

    async def changes(self, work: Accounts) -> list[AccountChange]:
        async with work() as repository:
            assert isinstance(repository, PostgresProjectionRepository)
            rows = await repository._raw.fetch("SELECT * FROM account_change ORDER BY psn_no, version")
        return [self.change(dict(row)) for row in rows]

    def change(self, row: dict[str, Any]) -> AccountChange:
        del row["created_at"]  # of the database alone
        return AccountChange(kind=AccountChangeKind(row.pop("change")), **row)

    def institution(self, row: dict[str, Any]) -> InstitutionTold:
        del row["designated_from"], row["designated_to"]  # for the release before
        periods = zip(row.pop("designations_from"), row.pop("designations_to"), strict=True)
        row["fixmedins_type"] = InstitutionType(row["fixmedins_type"])
        return InstitutionTold(**row, designations=tuple(Designation(*period) for period in periods))

    async def test_a_closed_day_is_not_held(
        self, work: Accounts, watcher: "asyncpg.Connection[asyncpg.Record]"
    ) -> None:
        await watcher.execute("INSERT INTO business_day VALUES ($1, 'CLOSED', clock_timestamp(), 'operator')", TODAY)
        async with work() as repository:
            assert not await repository.hold_day(TODAY)

    async def test_two_at_once_with_one_contribution_id_credit_it_once(
        self, work: Accounts, database: Database
    ) -> None:
        service = AccountService(work, FixedClock(NOON))
        async with work() as repository:
            for psn_no in ("father", "mother"):
                await repository.add(account(psn_no))
        same = [service.contribute(Row("father", "c1", 500)) for _ in range(3)]
        answers = await asyncio.gather(*same, service.contribute(Row("mother", "c1", 500)), return_exceptions=True)
        credited = [answer for answer in answers if answer == 500]
        refused = [answer for answer in answers if isinstance(answer, ContributionReusedError)]
        assert len(credited) + len(refused) == 4
        assert len(credited) in {1, 3}
        async with database.transaction() as transaction:
            assert await transaction.raw.fetchval("SELECT sum(balance_fen) FROM account") == 500
            assert await transaction.raw.fetchval("SELECT count(*) FROM entry") == 2
            assert await transaction.raw.fetchval("SELECT count(*) FROM outbox_event") == 1

    async def test_a_death_and_an_opening_at_once_never_leave_the_account_open(
        self, work: Accounts, database: Database
    ) -> None:
        service, projection = AccountService(work, FixedClock(NOON)), Projection(work, FixedClock(NOON))
        await projection.take([(uuid7(), enrolled(date(2024, 1, 1)))])
        async with work() as repository:
            assert await repository.insured("father", TODAY) == INSURED
            dying = asyncio.create_task(projection.take([(uuid7(), Died("father", 2, NOON, TODAY))]))
            await until_somebody_waits(database)
            await repository.add(account())
            await repository.add_changes([AccountChange("father", 0, AccountChangeKind.OPENED, "opened", NOON)])
        await dying
        assert (await service.get("father")).state is AccountState.FROZEN
        with pytest.raises(NotEligibleError):
            await AccountService(work, FixedClock(NOON)).open("mother")
