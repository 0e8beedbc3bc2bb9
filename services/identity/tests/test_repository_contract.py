"""One suite for both repositories: what the fake promises to the unit tests, PostgreSQL keeps."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from identity.domain.certificate import Certificate, CertificateType
from identity.domain.enrolment import InsuranceStatus
from identity.domain.institution import Designation, KnownInstitution
from identity.domain.institution_change import ChangeState, InstitutionChange
from identity.domain.person import Person, Registration
from identity.domain.remote_care import RemoteCareKind, RemoteFiling
from identity.domain.visit import Voucher
from identity.events import enrolment_changed
from identity.memory import MemoryRepository
from identity.postgres import PostgresRepository
from identity.repository import RECOGNISED, Access, AccessFilter, CorrectionMade, Operation, Repository
from identity.testing import (
    ADULT,
    CARD_SN,
    CHILD,
    HOSPITAL,
    NAME,
    NOW,
    SINCE_2020,
    TODAY,
    enrolment,
    identity_card,
    institution,
    keyring,
    person,
)
from identity.vault import Vault
from kit.crypto import KeyRing
from kit.db import Database, PostgresWork, Work
from kit.testing import MemoryWork

PASSPORT = Certificate(CertificateType.PASSPORT, "G12345678")


class Abort(Exception):
    """Ends a unit of work without keeping anything."""


async def keep(work: Work[Repository], *persons: Person) -> None:
    async with work() as repository:
        await repository.save_persons(persons)


async def found(work: Work[Repository], psn_no: str = "P1") -> Person | None:
    async with work() as repository:
        return await repository.person(psn_no)


class Contract:
    """The suite; the two classes below say on what."""

    async def test_a_person_comes_back_as_kept(self, work: Work[Repository]) -> None:
        parent = person(registration=Registration(NOW, "P1"), version=2)
        full = person(
            "P2",
            CHILD,
            2,
            certificates=(identity_card(CHILD, 2), PASSPORT),
            died_on=TODAY,
            enrolments=(enrolment(), enrolment(TODAY, TODAY, psn_insu_stas=InsuranceStatus.INVALID, arrears=True)),
            registration=Registration(NOW, "P1"),
            guardians=frozenset({"P1"}),
            version=7,
        )
        bare = person("P3", sequence=3, tel="", card_sn="", enrolments=(), version=0)
        await keep(work, parent, full, bare)
        assert [await found(work, one) for one in ("P1", "P2", "P3", "P4")] == [parent, full, bare, None]

    async def test_a_person_is_replaced_and_enrolments_are_added(self, work: Work[Repository]) -> None:
        await keep(work, person())
        changed = person(
            name="李四",
            tel="",
            certificates=(identity_card(ADULT, 5),),
            enrolments=(enrolment(), enrolment(TODAY)),
            version=2,
        )
        await keep(work, changed)
        assert await found(work) == changed

    async def test_only_persons_that_exist_are_locked(self, work: Work[Repository]) -> None:
        await keep(work, person(), person("P2", sequence=2))
        async with work() as repository:
            assert set(await repository.lock_persons(["P2", "P1", "P9"])) == {"P1", "P2"}
            assert await repository.lock_persons([]) == {}

    async def test_certificates_lead_to_their_holders(self, work: Work[Repository]) -> None:
        await keep(work, person(certificates=(identity_card(), PASSPORT)), person("P2", sequence=2))
        unknown = Certificate(CertificateType.OTHER, PASSPORT.number)
        async with work() as repository:
            owners = await repository.owners([PASSPORT, unknown, identity_card(ADULT, 2)])
        assert owners == {PASSPORT: "P1", identity_card(ADULT, 2): "P2"}

    async def test_a_number_moves_from_one_person_to_another_in_one_step(self, work: Work[Repository]) -> None:
        await keep(work, person())
        await keep(work, person("P2", sequence=1), person(certificates=(PASSPORT,)))
        async with work() as repository:
            assert await repository.owners([identity_card(), PASSPORT]) == {identity_card(): "P2", PASSPORT: "P1"}

    @pytest.mark.parametrize("name", [NAME, " 买买提 • 艾力 "])
    async def test_name_and_certificate_together_lead_to_the_person(self, work: Work[Repository], name: str) -> None:
        await keep(work, person())
        async with work() as repository:
            assert await repository.psn_no_by_name(name, identity_card()) == "P1"

    async def test_name_or_certificate_alone_lead_nowhere(self, work: Work[Repository]) -> None:
        await keep(work, person())
        async with work() as repository:
            assert await repository.psn_no_by_name("李四", identity_card()) is None
            assert await repository.psn_no_by_name(NAME, identity_card(ADULT, 2)) is None
            assert await repository.psn_no_by_name(NAME, replace(identity_card(), type=CertificateType.OTHER)) is None

    async def test_a_former_name_leads_nowhere(self, work: Work[Repository]) -> None:
        await keep(work, person())
        await keep(work, person(name="李四"))
        async with work() as repository:
            assert await repository.psn_no_by_name(NAME, identity_card()) is None
            assert await repository.psn_no_by_name("李四", identity_card()) == "P1"

    async def test_number_and_card_together_lead_to_the_person(self, work: Work[Repository]) -> None:
        await keep(work, person(card_sn=CARD_SN, certificates=(identity_card(), PASSPORT)), person("P2", sequence=2))
        async with work() as repository:
            assert await repository.psn_no_by_card(identity_card().number, CARD_SN) == "P1"
            assert await repository.psn_no_by_card(PASSPORT.number, CARD_SN) == "P1"
            assert await repository.psn_no_by_card(identity_card(ADULT, 2).number, CARD_SN) is None
            assert await repository.psn_no_by_card(identity_card().number, "") is None

    async def test_a_number_and_card_of_two_persons_lead_nowhere(self, work: Work[Repository]) -> None:
        other = replace(PASSPORT, type=CertificateType.OTHER)
        await keep(work, person(card_sn=CARD_SN, certificates=(PASSPORT,)))
        await keep(work, person("P2", card_sn=CARD_SN, certificates=(other,)))
        async with work() as repository:
            assert await repository.psn_no_by_card(PASSPORT.number, CARD_SN) is None

    async def test_the_same_filing_is_kept_once(self, work: Work[Repository]) -> None:
        await keep(work, person())
        first = RemoteFiling(UUID(int=1), "P1", "310000", TODAY, None)
        other = RemoteFiling(UUID(int=2), "P1", "310000", TODAY, TODAY, RemoteCareKind.TEMPORARY)
        async with work() as repository:
            assert await repository.file_remote_care(first) == first
            assert await repository.file_remote_care(replace(first, filing_id=UUID(int=9))) == first
            assert await repository.file_remote_care(other) == other
        async with work() as repository:
            assert list(await repository.filings("P1")) == [first, other]
            assert list(await repository.filings("P2")) == []

    async def test_a_cancelled_filing_stays_and_the_same_care_is_filed_anew(self, work: Work[Repository]) -> None:
        await keep(work, person(), person("P2", sequence=2))
        first = RemoteFiling(UUID(int=1), "P1", "310000", TODAY, TODAY, RemoteCareKind.TEMPORARY)
        long_term = replace(first, filing_id=UUID(int=2), kind=RemoteCareKind.LONG_TERM)
        cancelled, anew = replace(first, cancelled_on=TODAY), replace(first, filing_id=UUID(int=3))
        async with work() as repository:
            for filing in (first, long_term):
                assert await repository.file_remote_care(filing) == filing
            assert await repository.lock_filing("P2", first.filing_id) is None
            assert await repository.lock_filing("P1", first.filing_id) == first
            await repository.save_cancellation(cancelled)
            assert await repository.file_remote_care(anew) == anew
        async with work() as repository:
            assert await repository.file_remote_care(replace(anew, filing_id=UUID(int=9))) == anew
            assert list(await repository.filings_listed("P1", None, 2)) == [anew, long_term]
            assert list(await repository.filings_listed("P1", long_term.filing_id, 2)) == [cancelled]

    async def test_statements_of_enrolment_are_listed_newest_first(self, work: Work[Repository]) -> None:
        stated = tuple(enrolment(date(2025, month, 1)) for month in (1, 2, 3))
        await keep(work, person(enrolments=stated))
        async with work() as repository:
            newest = await repository.enrolments_recorded("P1", None, 2)
            oldest = await repository.enrolments_recorded("P1", 2, 2)
            assert await repository.enrolments_recorded("P9", None, 2) == []
        assert [(one.position, one.enrolment) for one in newest] == [(3, stated[2]), (2, stated[1])]
        assert [(one.position, one.enrolment) for one in oldest] == [(1, stated[0])]

    async def corrections(self, work: Work[Repository]) -> list[CorrectionMade]:
        """What is kept of corrections, which the services themselves never read."""
        raise AssertionError(f"the suite does not say where {work} keeps them")

    async def test_corrections_are_kept(self, work: Work[Repository]) -> None:
        await keep(work, person())
        made = CorrectionMade("P1", NOW, "service/operator", ("psn_name", "tel"), "改名")
        async with work() as repository:
            await repository.add_correction(made)
        assert await self.corrections(work) == [made]

    async def test_a_voucher_is_found_by_its_token_and_bound_once(self, work: Work[Repository]) -> None:
        await keep(work, person(registration=Registration(NOW, "P1")))
        voucher = Voucher("P1", NOW)
        async with work() as repository:
            await repository.add_voucher("a" * 43, voucher, NOW)
        async with work() as repository:
            assert await repository.lock_voucher("a" * 43) == voucher
            assert await repository.lock_voucher("b" * 43) is None
            await repository.bind_voucher("a" * 43, HOSPITAL)
        async with work() as repository:
            assert await repository.lock_voucher("a" * 43) == replace(voucher, fixmedins_code=HOSPITAL)

    async def test_old_vouchers_of_the_same_person_are_forgotten(self, work: Work[Repository]) -> None:
        await keep(
            work,
            person(registration=Registration(NOW, "P1")),
            person("P2", sequence=2, registration=Registration(NOW, "P2")),
        )
        long_ago = NOW - timedelta(seconds=1)
        async with work() as repository:
            await repository.add_voucher("old", Voucher("P1", long_ago), long_ago)
            await repository.add_voucher("others", Voucher("P2", long_ago), long_ago)
            await repository.add_voucher("new", Voucher("P1", NOW), NOW)
            assert await repository.lock_voucher("old") is None
            assert await repository.lock_voucher("others") is not None
            assert await repository.lock_voucher("new") is not None

    async def test_an_institution_comes_back_as_kept_and_is_replaced(self, work: Work[Repository]) -> None:
        full = institution(designations=(Designation(date(2018, 1, 1), date(2019, 12, 31)), SINCE_2020), suspended=True)
        bare = institution(designations=(), remote_settlement=False)
        for version, known in enumerate((full, bare), start=1):
            async with work() as repository:
                await repository.save_institution(KnownInstitution(known, version, known.suspended))
            async with work() as repository:
                assert await repository.lock_institution(HOSPITAL) == KnownInstitution(known, version, known.suspended)
                assert await repository.institution(HOSPITAL) == known
        async with work() as repository:
            assert await repository.institution("H65270100009") is None
            assert await repository.lock_institution("H65270100009") is None

    async def test_institutions_are_listed_by_region_code_and_suspension(self, work: Work[Repository]) -> None:
        away = institution("H31010400003", admdvs="310104")
        one, two = institution("H65270100001"), institution("H65270100002", suspended=True)
        async with work() as repository:
            for known in (two, away, one):
                await repository.save_institution(KnownInstitution(known, 1))
        async with work() as repository:
            listed = repository.institutions_by_code
            assert await listed("", "", 9, suspended_only=False) == [away, one, two]
            assert await listed("6527", "", 1, suspended_only=False) == [one]
            assert await listed("6527", "H65270100001", 9, suspended_only=False) == [two]
            assert await listed("", "", 9, suspended_only=True) == [two]

    async def test_a_proposal_comes_back_as_kept_and_then_as_decided(self, work: Work[Repository]) -> None:
        stated = institution(designations=(Designation(date(2018, 1, 1), date(2019, 12, 31)), SINCE_2020))
        waiting = InstitutionChange(UUID(int=1), stated, 0, "clerk:wang", NOW, "新增")
        decided = replace(waiting, state=ChangeState.REJECTED, decided_by="clerk:li", decided_at=NOW)
        decided = replace(decided, rejection_reason="材料不足")
        async with work() as repository:
            await repository.add_change(waiting)
            assert await repository.change(UUID(int=1)) == waiting
            assert await repository.change(UUID(int=9)) is None
        async with work() as repository:
            assert await repository.lock_change(UUID(int=1)) == waiting
            assert await repository.lock_change(UUID(int=9)) is None
            await repository.save_decision(decided)
        async with work() as repository:
            assert await repository.change(UUID(int=1)) == decided

    async def test_proposals_are_listed_with_the_version_of_their_institution(self, work: Work[Repository]) -> None:
        other = institution("H65270100002")
        old, new = (InstitutionChange(UUID(int=n), institution(), 3, "clerk:wang", NOW, "改") for n in (1, 3))
        unknown = InstitutionChange(UUID(int=2), other, 0, "clerk:wang", NOW, "新增")
        async with work() as repository:
            await repository.save_institution(KnownInstitution(institution(), 4))
            for change in (old, new, unknown):
                await repository.add_change(change)
            await repository.save_decision(
                replace(new, state=ChangeState.CONFIRMED, decided_by="clerk:li", decided_at=NOW)
            )
        async with work() as repository:
            everything = await repository.changes(None, None, None, 9)
            assert [(one.change.change_id.int, one.current_version) for one in everything] == [(3, 4), (2, 0), (1, 4)]
            of_one = await repository.changes(HOSPITAL, ChangeState.PROPOSED, None, 9)
            assert [one.change for one in of_one] == [old]
            assert [one.change.change_id.int for one in await repository.changes(None, None, UUID(int=3), 1)] == [2]

    async def test_lines_of_the_access_log_are_found_newest_first(self, work: Work[Repository]) -> None:
        early = Access(NOW, "institution/X", Operation.IDENTIFY, "02", RECOGNISED, "r1", "P1", UUID(int=1))
        late = replace(early, occurred_at=NOW + timedelta(days=1), request_id="r2", jti=None).because("复诊")
        other = Access(NOW, "service/operator", Operation.FIND_PERSON, "OPERATOR", "NOT_FOUND", "r3")
        async with work() as repository:
            for line in (early, late, other):
                await repository.log_access(line)
        async with work() as repository:

            async def found(limit: int = 9, before: int | None = None, **wanted: Any) -> list[Access]:
                lines = await repository.accesses_logged(AccessFilter(**wanted), before, limit)
                return [line.access for line in lines]

            assert await found(psn_no="P1") == [late, early]
            assert await found(caller="service/operator") == [other]
            assert await found(psn_no="P1", since=NOW + timedelta(seconds=1)) == [late]
            assert await found(psn_no="P1", until=NOW + timedelta(days=1)) == [early]
            (newest,) = await repository.accesses_logged(AccessFilter(), None, 1)
            assert newest.access == other
            assert await found(before=newest.line_id) == [late, early]

    async def test_accesses_of_known_and_unknown_persons_are_kept(self, work: Work[Repository]) -> None:
        unknown = Access(NOW, "institution/X", Operation.IDENTIFY, "01", "VOUCHER_INVALID", "r")
        known = Access(NOW, "institution/X", Operation.IDENTIFY, "02", RECOGNISED, "r", "P1", UUID(int=1))
        async with work() as repository:
            await repository.log_access(unknown)
            await repository.log_access(known)
        async with work() as repository:
            kept = await repository.accesses_logged(AccessFilter(), None, 10)
        assert [each.access for each in kept] == [known, unknown]

    async def test_nothing_of_an_aborted_unit_of_work_stays(self, work: Work[Repository]) -> None:
        with pytest.raises(Abort):
            await self.abort(work)
        assert await found(work) is None

    async def abort(self, work: Work[Repository]) -> None:
        async with work() as repository:
            await repository.lock_import()
            await repository.save_persons([person()])
            await repository.outbox.add([enrolment_changed(person(), NOW)])
            raise Abort


class TestInMemory(Contract):
    @pytest.fixture
    def work(self) -> Work[Repository]:
        return MemoryWork[Repository](MemoryRepository())

    async def corrections(self, work: Work[Repository]) -> list[CorrectionMade]:
        async with work() as repository:
            assert isinstance(repository, MemoryRepository)
            return list(repository.corrections)


class TestOnPostgres(Contract):
    @pytest.fixture
    async def work(self, database_url: str, tmp_path: Path) -> AsyncIterator[Work[Repository]]:
        database = Database(database_url, 2)
        vault = Vault(KeyRing.load(keyring(tmp_path)))
        yield PostgresWork[Repository](database, lambda transaction: PostgresRepository(transaction, vault))
        await database.close()

    async def corrections(self, work: Work[Repository]) -> list[CorrectionMade]:
        async with work() as repository:
            assert isinstance(repository, PostgresRepository)
            rows = await repository._raw.fetch(
                "SELECT psn_no, corrected_at, corrected_by, fields, reason FROM correction"
            )
        return [
            CorrectionMade(psn_no, at, by, tuple(fields), reason) for psn_no, at, by, fields, reason in map(tuple, rows)
        ]
