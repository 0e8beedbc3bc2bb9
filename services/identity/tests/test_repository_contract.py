"""One suite for both repositories: what the fake promises to the unit tests, PostgreSQL keeps."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from identity.domain.certificate import Certificate, CertificateType
from identity.domain.enrolment import InsuranceStatus
from identity.domain.institution import KnownInstitution
from identity.domain.person import Person, Registration
from identity.domain.visit import RemoteFiling, Voucher
from identity.events import enrolment_changed
from identity.memory import MemoryRepository
from identity.postgres import PostgresRepository
from identity.repository import RECOGNISED, Access, Repository
from identity.testing import (
    ADULT,
    CARD_SN,
    CHILD,
    HOSPITAL,
    NAME,
    NOW,
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
        other = RemoteFiling(UUID(int=2), "P1", "310000", TODAY, TODAY)
        async with work() as repository:
            assert await repository.file_remote_care(first) == first
            assert await repository.file_remote_care(replace(first, filing_id=UUID(int=9))) == first
            assert await repository.file_remote_care(other) == other
        async with work() as repository:
            assert list(await repository.filings("P1")) == [first, other]
            assert list(await repository.filings("P2")) == []

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
        full = institution(designated_to=date(2025, 12, 31), suspended=True)
        bare = institution(designated_from=None, remote_settlement=False)
        for version, known in enumerate((full, bare), start=1):
            async with work() as repository:
                await repository.save_institution(KnownInstitution(known, version))
            async with work() as repository:
                assert await repository.lock_institution(HOSPITAL) == KnownInstitution(known, version)
                assert await repository.institution(HOSPITAL) == known
        async with work() as repository:
            assert await repository.institution("H65270100009") is None
            assert await repository.lock_institution("H65270100009") is None

    async def test_accesses_of_known_and_unknown_persons_are_taken(self, work: Work[Repository]) -> None:
        async with work() as repository:
            await repository.log_access(Access(NOW, "institution/X", "IDENTIFY", "01", "VOUCHER_INVALID", "r"))
            await repository.log_access(
                Access(NOW, "institution/X", "IDENTIFY", "02", RECOGNISED, "r", "P1", UUID(int=1))
            )

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


class TestOnPostgres(Contract):
    @pytest.fixture
    async def work(self, database_url: str, tmp_path: Path) -> AsyncIterator[Work[Repository]]:
        database = Database(database_url, 2)
        vault = Vault(KeyRing.load(keyring(tmp_path)))
        yield PostgresWork[Repository](database, lambda transaction: PostgresRepository(transaction, vault))
        await database.close()
