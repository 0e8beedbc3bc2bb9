"""Verifications and attempts: one suite for both repositories."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from identity.domain.attempts import AttemptKind, Bound
from identity.domain.verification import LIFETIME, Purpose, Verification
from identity.memory import MemoryRepository
from identity.postgres import PostgresRepository
from identity.repository import Access, Attempt, Operation, Repository
from identity.testing import NOW, keyring, person
from identity.vault import Vault
from kit.crypto import KeyRing
from kit.db import Database, LeavesTrace, PostgresWork, Work
from kit.testing import MemoryWork

SENT = Verification(UUID(int=1), "P1", Purpose.REGISTRATION, "portal new:1", b"index", NOW + LIFETIME)
BOUND = Bound(3)
MISMATCH = AttemptKind.MISMATCH


class Refused(LeavesTrace):
    """A refusal whose trace stays."""


class Contract:
    @pytest.fixture(autouse=True)
    async def persons(self, work: Work[Repository]) -> None:
        async with work() as repository:
            await repository.save_persons([person(), person("P2", sequence=2)])

    async def test_a_verification_comes_back_as_kept(self, work: Work[Repository]) -> None:
        async with work() as repository:
            await repository.add_verification(SENT, NOW)
            assert await repository.lock_verification(UUID(int=1)) == SENT
            assert await repository.lock_verification(UUID(int=2)) is None
        changed = replace(SENT, wrong_tries=5, used_at=NOW)
        async with work() as repository:
            await repository.save_verification(changed)
        async with work() as repository:
            assert await repository.lock_verification(UUID(int=1)) == changed

    async def test_a_new_one_forgets_the_persons_old_ones(self, work: Work[Repository]) -> None:
        long_ago = NOW - timedelta(days=2)
        async with work() as repository:
            await repository.add_verification(replace(SENT, expires_at=long_ago), long_ago)
            await repository.add_verification(
                replace(SENT, verification_id=UUID(int=2), psn_no="P2", expires_at=long_ago), long_ago
            )
            await repository.add_verification(replace(SENT, verification_id=UUID(int=3)), NOW)
            assert await repository.lock_verification(UUID(int=1)) is None
            assert await repository.lock_verification(UUID(int=2)) is not None

    async def test_codes_are_kept_by_a_hash_of_code_and_verification(self, work: Work[Repository]) -> None:
        async with work() as repository:
            one = repository.code_index(UUID(int=1), "042917")
            assert one == repository.code_index(UUID(int=1), "042917")
            assert (
                len({one, repository.code_index(UUID(int=2), "042917"), repository.code_index(UUID(int=1), "1")}) == 3
            )

    async def test_attempts_are_found_by_whom_they_are_about_and_by_who_made_them(self, work: Work[Repository]) -> None:
        async with work() as repository:
            for kind, subject, caller in (
                (MISMATCH, "s1", "c1"),
                (MISMATCH, "s1", "c2"),
                (MISMATCH, "s2", "c1"),
                (AttemptKind.WRONG_CODE, "s1", "c1"),
            ):
                await repository.add_attempt(Attempt(kind, subject, caller, NOW, "r"))
        async with work() as repository:
            assert await repository.attempts_about("s1", MISMATCH, BOUND, NOW) == [NOW, NOW]
            assert await repository.attempts_by("c2", MISMATCH, BOUND, NOW) == [NOW]
            assert await repository.attempts_by("c1", AttemptKind.CODE_SENT, BOUND, NOW) == []
            assert await repository.attempts_about("c1", MISMATCH, BOUND, NOW) == []

    async def test_only_the_newest_within_the_hour_are_told(self, work: Work[Repository]) -> None:
        made = [NOW + timedelta(minutes=minute) for minute in (-61, -60, -59, -3, -2, -1, 1, 60, 10**5)]
        async with work() as repository:
            for at in made:
                await repository.add_attempt(Attempt(MISMATCH, "s", "c", at, "r"))
        newest: list[datetime] = [NOW + timedelta(minutes=minute) for minute in (1, -1, -2)]
        async with work() as repository:
            assert await repository.attempts_about("s", MISMATCH, BOUND, NOW) == newest
            assert await repository.attempts_by("c", MISMATCH, BOUND, NOW) == newest

    async def test_an_attempt_that_is_refused_stays(self, work: Work[Repository]) -> None:
        with pytest.raises(Refused):
            await self.refused(work)
        async with work() as repository:
            assert len(await repository.attempts_about("s", MISMATCH, BOUND, NOW)) == 1

    async def refused(self, work: Work[Repository]) -> None:
        async with work() as repository:
            await repository.lock_attempts("s", "c")
            await repository.add_attempt(Attempt(MISMATCH, "s", "c", NOW, "r"))
            await repository.log_access(Access(NOW, "c", Operation.REGISTER_PERSON, "CODE", "CODE_WRONG", "r"))
            await repository.log_access(Access(NOW, "c", Operation.START_VERIFICATION, "CODE", "RECOGNISED", "r", "P1"))
            raise Refused


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
