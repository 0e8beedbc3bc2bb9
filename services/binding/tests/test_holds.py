"""What settlement reconciles with: what is held, in pages, and authorizations by id. The fake and PostgreSQL alike."""

from datetime import timedelta
from uuid import UUID

import pytest

from binding.domain.authorizations import AuthorizationState, Outcome
from binding.domain.batch import Request, apply_all, authorize_all
from binding.memory import MemoryRepository
from binding.repository import Place, PostgresRepository, Repository
from binding.service.holds import Holds
from binding.testing import (
    GRANDMA,
    MOTHER,
    captured,
    have_relations,
    named,
    relation,
    released,
    request,
    restored,
    trimmed,
)
from kit.db import Database, PostgresWork, Work
from kit.testing import MemoryWork


async def authorize(work: Work[Repository], *requests: Request) -> None:
    async with work() as repository:
        book = await repository.open_book(requests, [], hold=True)
        authorize_all(requests, book)
        await repository.close_book(book)


async def apply(work: Work[Repository], *outcomes: Outcome) -> None:
    async with work() as repository:
        book = await repository.open_book([], outcomes, hold=False)
        apply_all(outcomes, book)
        await repository.close_book(book)


class HoldsContract:
    """What every repository says of holds."""

    @pytest.fixture
    def work(self) -> Work[Repository]:
        raise AssertionError("each suite names its own")

    async def test_only_what_is_held_is_listed(self, work: Work[Repository]) -> None:
        await have_relations(work, relation())
        for name in ("a", "b", "c", "d"):
            await authorize(work, request(name, 300))
        await apply(work, captured("a", ("father-child", 300)), released("c"), released("never-asked"))
        found = await Holds(work).held(0, None, 10)
        assert [it.authorization.authorization_id for it in found] == [named("b"), named("d")]
        assert {it.authorization.state for it in found} == {AuthorizationState.HELD}

    async def test_a_hold_tells_what_it_charges_now(self, work: Work[Repository]) -> None:
        await have_relations(work, relation(), relation("m", payer_psn_no=MOTHER, priority=2))
        await authorize(work, request("a", 3_000))
        await apply(work, trimmed("a", ("father-child", 1_200)))
        (found,) = await Holds(work).held(0, None, 10)
        charged = {line.relation_id: (line.held_fen, line.used_fen) for line in found.authorization.lines}
        assert charged == {named("father-child"): (1_200, 0), named("m"): (0, 0)}

    async def test_pages_follow_one_another_without_a_gap(self, work: Work[Repository]) -> None:
        await have_relations(work, relation())
        names = [f"held-{number}" for number in range(5)]
        for name in names:
            await authorize(work, request(name, 1))
        seen, after = [], None
        while page := await Holds(work).held(0, after, 2):
            seen += [it.authorization.authorization_id for it in page]
            after = Place(page[-1].created_at, page[-1].authorization.authorization_id)
        assert seen == [named(name) for name in names]

    async def test_what_is_younger_than_asked_for_is_left_out(self, work: Work[Repository]) -> None:
        await have_relations(work, relation())
        await authorize(work, request("a", 1))
        assert await Holds(work).held(3600, None, 10) == []
        assert len(await Holds(work).held(0, None, 10)) == 1

    async def test_what_is_captured_is_listed_by_id_from_one_on(self, work: Work[Repository]) -> None:
        await have_relations(work, relation())
        names = ("a", "b", "c", "d", "e")
        for name in names:
            await authorize(work, request(name, 300))
        await apply(work, *(captured(name, ("father-child", 300)) for name in names[:4]), restored("a"))
        ids = sorted(named(name) for name in ("b", "c", "d"))
        found = await Holds(work).captured(UUID(int=0), 10)
        assert [it.authorization.authorization_id for it in found] == ids
        assert {it.authorization.state for it in found} == {AuthorizationState.CAPTURED}
        assert [(line.held_fen, line.used_fen) for line in found[0].authorization.lines] == [(0, 300)]
        assert [it.authorization.authorization_id for it in await Holds(work).captured(ids[1], 1)] == [ids[1]]
        assert await Holds(work).captured(UUID(int=2**128 - 1), 10) == []

    async def test_authorizations_are_found_by_id_in_whatever_state(self, work: Work[Repository]) -> None:
        await have_relations(work, relation(), relation("g", beneficiary_psn_no=GRANDMA))
        await authorize(work, request("a", 700))
        await apply(work, captured("a", ("father-child", 500)), released("fence"))
        found = {
            it.authorization.authorization_id: it.authorization
            for it in await Holds(work).by_ids([named("a"), named("fence"), named("unknown")])
        }
        assert {key: it.state for key, it in found.items()} == {
            named("a"): AuthorizationState.CAPTURED,
            named("fence"): AuthorizationState.RELEASED,
        }
        assert [(line.held_fen, line.used_fen) for line in found[named("a")].lines] == [(0, 500)]


class TestMemory(HoldsContract):
    @pytest.fixture
    def work(self, memory_work: MemoryWork[MemoryRepository]) -> Work[Repository]:
        return memory_work

    async def test_age_is_counted_to_the_second(self, memory_work: MemoryWork[MemoryRepository]) -> None:
        state = memory_work.repository
        now = state.real_time()
        state.real_time = lambda: now
        await have_relations(memory_work, relation())
        await authorize(memory_work, request("a", 1))
        state.real_time = lambda: now + timedelta(seconds=3600)
        assert len(await Holds(memory_work).held(3600, None, 10)) == 1
        assert await Holds(memory_work).held(3601, None, 10) == []


class TestPostgres(HoldsContract):
    @pytest.fixture
    def work(self, postgres_work: PostgresWork[PostgresRepository]) -> Work[Repository]:
        return postgres_work

    async def test_age_is_counted_by_the_database(
        self, postgres_work: PostgresWork[PostgresRepository], database: Database
    ) -> None:
        await have_relations(postgres_work, relation())
        await authorize(postgres_work, request("a", 1))
        await authorize(postgres_work, request("b", 1))
        async with database.transaction() as transaction:
            await transaction.raw.execute(
                "UPDATE authorization_record SET created_at = created_at - interval '1 hour' "
                "WHERE authorization_id = $1",
                named("b"),
            )
        (found,) = await Holds(postgres_work).held(3600, None, 10)
        assert found.authorization.authorization_id == named("b")
