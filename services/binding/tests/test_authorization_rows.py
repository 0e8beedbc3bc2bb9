"""The contract of the repository, the same tests against the fake and PostgreSQL: authorizations and counters."""

from datetime import UTC, date, datetime, timedelta

import asyncpg
import pytest

from binding.domain.authorizations import AuthorizationState, Outcome, charges, grants_of
from binding.domain.batch import Answer, Request, apply_all, authorize_all, preview_all
from binding.domain.limits import COUNTED_WINDOWS, Limits, LimitWindow, Use, counter_keys
from binding.domain.nearly_used import NEARLY_USED_PERCENT
from binding.memory import MemoryRepository
from binding.repository import GuardBroken, PostgresRepository, Repository
from binding.testing import (
    FATHER,
    GRANDMA,
    MOTHER,
    TODAY,
    captured,
    have_relations,
    named,
    relation,
    released,
    request,
    restored,
    trimmed,
)
from kit.db import PostgresWork, Work
from kit.testing import MemoryWork

JUNE, JULY = datetime(2025, 6, 30, 4, tzinfo=UTC), datetime(2025, 7, 1, 4, tzinfo=UTC)


async def authorize(work: Work[Repository], *requests: Request) -> list[Answer]:
    async with work() as repository:
        book = await repository.open_book(requests, [], hold=True)
        answers = authorize_all(requests, book)
        await repository.close_book(book)
    return answers


async def preview(work: Work[Repository], *requests: Request) -> list[Answer]:
    async with work() as repository:
        book = await repository.open_book(requests, [], hold=False)
        answers = preview_all(requests, book)
        await repository.close_book(book)
    return answers


async def apply(work: Work[Repository], *outcomes: Outcome) -> None:
    async with work() as repository:
        rest = await repository.end_holds(outcomes, NEARLY_USED_PERCENT)
        book = await repository.open_book([], rest, hold=False)
        apply_all(rest, book)
        await repository.close_book(book)


async def uses(work: Work[Repository], day: date = TODAY) -> list[Use]:
    keys = counter_keys(named("father-child"), day)
    async with work() as repository:
        found = await repository.uses(keys)
    return [found.get(key, Use()) for key in keys]


class AuthorizationContract:
    """What every repository does with holds."""

    @pytest.fixture
    def work(self) -> Work[Repository]:
        raise AssertionError("each suite names its own")

    async def test_a_hold_is_counted_in_every_window(self, work: Work[Repository]) -> None:
        await have_relations(work, relation())
        (answer,) = await authorize(work, request("a", 3_000))
        assert [grant.granted_fen for grant in answer.grants] == [3_000]
        assert await uses(work) == [Use(0, 3_000)] * 4

    async def test_asking_again_repeats_the_answer_and_holds_nothing_more(self, work: Work[Repository]) -> None:
        await have_relations(
            work,
            relation(limits=Limits(day_fen=2_500, total_fen=9_999)),
            relation("m", payer_psn_no=MOTHER, priority=2, valid_to=date(2025, 6, 9)),
        )
        first = await authorize(work, request("a", 3_000))
        await authorize(work, request("b", 3_000))
        assert await authorize(work, request("a", 3_000)) == first
        assert await preview(work, request("a", 3_000)) == first
        assert [(grant.granted_fen, grant.reason, grant.window) for grant in first[0].grants] == [
            (2_500, "LIMIT_REACHED", LimitWindow.DAY),
            (0, "RELATION_EXPIRED", None),
        ]
        assert (await uses(work))[0] == Use(0, 2_500)

    async def test_a_preview_answers_the_same_and_holds_nothing(self, work: Work[Repository]) -> None:
        await have_relations(work, relation(limits=Limits(total_fen=4_000)))
        shown = await preview(work, request("a", 5_000))
        assert await uses(work) == [Use()] * 4
        assert await authorize(work, request("a", 5_000)) == shown

    async def test_a_preview_applies_the_outcomes_that_come_along(self, work: Work[Repository]) -> None:
        await have_relations(work, relation(limits=Limits(total_fen=4_000)))
        (answer,) = await preview(work, request("b", 5_000, captured("a", ("father-child", 1_500))))
        assert answer.grants[0].granted_fen == 2_500
        assert await uses(work) == [Use(1_500, 0)] * 4

    async def test_capturing_uses_what_was_paid_and_frees_the_rest(self, work: Work[Repository]) -> None:
        await have_relations(work, relation())
        await authorize(work, request("a", 3_000))
        await apply(work, captured("a", ("father-child", 1_200)))
        assert await uses(work) == [Use(1_200, 0)] * 4

    async def test_restoring_gives_the_limit_back(self, work: Work[Repository]) -> None:
        await have_relations(work, relation())
        await authorize(work, request("a", 3_000))
        lines = ("father-child", 3_000)
        await apply(work, captured("a", lines), restored("a", lines), captured("a", lines))
        assert await uses(work) == [Use()] * 4

    async def test_a_release_of_an_unknown_id_refuses_it_later(self, work: Work[Repository]) -> None:
        await have_relations(work, relation())
        await apply(work, released("a"))
        assert await authorize(work, request("a")) == [Answer(named("a"), refusal="ABANDONED")]
        assert await preview(work, request("a")) == [Answer(named("a"), refusal="ABANDONED")]
        assert await uses(work) == [Use()] * 4

    async def test_an_outcome_before_its_authorize_counts_and_refuses_it(self, work: Work[Repository]) -> None:
        await have_relations(work, relation())
        await apply(work, captured("a", ("father-child", 700)))
        assert (await authorize(work, request("a")))[0].refusal == "ABANDONED"
        assert await uses(work) == [Use(700, 0)] * 4

    async def test_a_trimmed_hold_keeps_what_the_preview_keeps(self, work: Work[Repository]) -> None:
        await have_relations(work, relation())
        first = await authorize(work, request("a", 3_000))
        await apply(work, trimmed("a", ("father-child", 1_000)))
        assert await uses(work) == [Use(0, 1_000)] * 4
        assert await authorize(work, request("a", 3_000)) == first
        await apply(work, released("a"), trimmed("a", ("father-child", 1_000)))
        assert await uses(work) == [Use()] * 4

    async def test_inline_outcomes_make_room_in_the_same_transaction(self, work: Work[Repository]) -> None:
        await have_relations(work, relation(limits=Limits(total_fen=1_000)))
        await authorize(work, request("a", 1_000))
        (answer,) = await authorize(work, request("b", 1_000, released("a")))
        assert answer.grants[0].granted_fen == 1_000
        assert await uses(work) == [Use(0, 1_000)] * 4

    async def test_outcomes_of_unknown_relations_are_told_and_counted_nowhere(self, work: Work[Repository]) -> None:
        await have_relations(work, relation())
        outcome = captured("a", ("nobody", 1_000), ("father-child", 500))
        async with work() as repository:
            book = await repository.open_book([], [outcome], hold=False)
            apply_all([outcome], book)
            await repository.close_book(book)
        assert book.unknown_relations == {named("nobody")}
        assert await uses(work) == [Use(500, 0)] * 4

    async def test_a_batch_answers_each_in_its_place(self, work: Work[Repository]) -> None:
        await have_relations(work, relation(), relation("of mother", payer_psn_no=FATHER, beneficiary_psn_no=MOTHER))
        await apply(work, released("x"))
        requests = [
            request("x"),
            request("a", 100, beneficiary_psn_no=MOTHER),
            request("b", 100, beneficiary_psn_no=GRANDMA),
            request("c", 200),
        ]
        answers = await authorize(work, *requests)
        assert [answer.authorization_id for answer in answers] == [it.authorization_id for it in requests]
        assert [answer.refusal for answer in answers] == ["ABANDONED", None, None, None]
        assert [[grant.granted_fen for grant in answer.grants] for answer in answers] == [[], [100], [], [200]]

    async def test_windows_are_those_of_the_time_of_the_bill(self, work: Work[Repository]) -> None:
        await have_relations(work, relation())
        before_midnight = datetime(2025, 6, 30, 15, 59, tzinfo=UTC)
        await authorize(work, request("a", 500, occurred_at=before_midnight))
        await authorize(work, request("b", 70, occurred_at=before_midnight + timedelta(minutes=1)))
        assert await uses(work, day=date(2025, 6, 30)) == [Use(0, 500), Use(0, 500), Use(0, 570), Use(0, 570)]
        assert await uses(work, day=date(2025, 7, 1)) == [Use(0, 70), Use(0, 70), Use(0, 570), Use(0, 570)]

    async def test_a_bill_of_a_day_before_counts_in_its_own_windows(self, work: Work[Repository]) -> None:
        await have_relations(work, relation(limits=Limits(day_fen=1_000, month_fen=1_500)))
        await authorize(work, request("june", 300, occurred_at=JUNE))
        await authorize(work, request("july", 400, occurred_at=JULY))
        answers = await authorize(work, request("late", 900, occurred_at=JUNE))
        assert [(it.granted_fen, it.window) for it in answers[0].grants] == [(700, LimitWindow.DAY)]
        assert await uses(work, day=JUNE.date()) == [Use(0, 1_000), Use(0, 1_000), Use(0, 1_400), Use(0, 1_400)]
        assert await uses(work, day=JULY.date()) == [Use(0, 400), Use(0, 400), Use(0, 1_400), Use(0, 1_400)]

    async def test_a_refund_goes_back_to_the_windows_of_its_day(self, work: Work[Repository]) -> None:
        await have_relations(work, relation())
        await authorize(work, request("june", 300, occurred_at=JUNE))
        june = captured("june", ("father-child", 300), occurred_at=JUNE)
        # The day's windows are closed by the very batch that still moves them, and moved again once they are closed.
        await authorize(work, request("july", 400, june, occurred_at=JULY))
        assert await uses(work, day=JUNE.date()) == [Use(300, 0), Use(300, 0), Use(300, 400), Use(300, 400)]
        await apply(work, restored("june", ("father-child", 300), occurred_at=JUNE))
        assert await uses(work, day=JUNE.date()) == [Use(), Use(), Use(0, 400), Use(0, 400)]
        assert await uses(work, day=JULY.date()) == [Use(0, 400)] * 4

    async def test_a_day_that_comes_first_and_one_that_comes_later_are_counted_alike(
        self, work: Work[Repository]
    ) -> None:
        await have_relations(work, relation())
        for name, at in (("july", JULY), ("june", JUNE), ("july again", JULY)):
            await authorize(work, request(name, 100, occurred_at=at))
        assert await uses(work, day=JUNE.date()) == [Use(0, 100), Use(0, 100), Use(0, 300), Use(0, 300)]
        assert await uses(work, day=JULY.date()) == [Use(0, 200), Use(0, 200), Use(0, 300), Use(0, 300)]

    @pytest.mark.parametrize("day", [date(2025, 6, 30), date(2025, 7, 1)])
    async def test_a_window_that_was_told_stays_told_when_a_later_day_closes_it(
        self, work: Work[Repository], day: date
    ) -> None:
        keys = counter_keys(named("father-child"), day)
        await have_relations(work, relation(limits=Limits(day_fen=100, month_fen=100)))
        for name, at in (("june", JUNE), ("july", JULY)):
            await self._hold_and_tell(work, request(name, 90, occurred_at=at))
        async with work() as repository:
            assert await repository.nearly_used_told(keys) == set(keys[:2])

    async def test_a_window_that_a_later_day_opens_is_not_told_yet(self, work: Work[Repository]) -> None:
        await have_relations(work, relation(limits=Limits(day_fen=100, month_fen=100, total_fen=110)))
        for name, need_fen, at in (("june", 90, JUNE), ("july", 5, JULY)):
            await self._hold_and_tell(work, request(name, need_fen, occurred_at=at))
        _, _, _, total = keys = counter_keys(named("father-child"), JULY.date())
        async with work() as repository:
            assert await repository.nearly_used_told(keys) == {total}

    async def _hold_and_tell(self, work: Work[Repository], it: Request) -> None:
        async with work() as repository:
            book = await repository.open_book([it], [], hold=True)
            authorize_all([it], book)
            await repository.close_book(book)
            await repository.note_nearly_used(book.notices)

    async def test_the_guard_holds_for_windows_that_are_closed(self, work: Work[Repository]) -> None:
        await have_relations(work, relation(limits=Limits(day_fen=1_000)))
        await authorize(work, request("june", 600, occurred_at=JUNE))
        await authorize(work, request("july", 600, occurred_at=JULY))
        with pytest.raises(GuardBroken):
            await self._hold_blindly(work, request("late", 401, occurred_at=JUNE))
        await self._hold_blindly(work, request("late", 400, occurred_at=JUNE))
        assert (await uses(work, day=JUNE.date()))[0] == Use(0, 1_000)

    async def test_the_guard_refuses_what_the_rules_should_never_have_granted(self, work: Work[Repository]) -> None:
        await have_relations(work, relation(limits=Limits(month_fen=1_000)))
        await authorize(work, request("a", 600))
        with pytest.raises(GuardBroken):
            await self._hold_blindly(work, request("b", 401))
        await self._hold_blindly(work, request("c", 400))
        assert await uses(work) == [Use(0, 1_000)] * 4

    async def _hold_blindly(self, work: Work[Repository], it: Request) -> None:
        async with work() as repository:
            book = await repository.open_book([it], [], hold=True)
            book.uses.clear()  # as if what others hold had not been seen
            authorize_all([it], book)
            await repository.close_book(book)

    async def test_what_is_refused_by_the_guard_leaves_no_trace(self, work: Work[Repository]) -> None:
        await have_relations(work, relation(limits=Limits(total_fen=1_000)))
        await authorize(work, request("a", 1_000))
        with pytest.raises(GuardBroken):
            await self._hold_blindly(work, request("b", 1))
        (answer,) = await authorize(work, request("b", 1))
        assert answer.grants[0].granted_fen == 0

    async def test_a_known_authorization_is_in_the_book_as_it_is(self, work: Work[Repository]) -> None:
        await have_relations(work, relation())
        (answer,) = await authorize(work, request("a", 3_000))
        async with work() as repository:
            book = await repository.open_book([request("a", 3_000)], [], hold=True)
        known = book.authorizations[named("a")]
        assert known.state is AuthorizationState.HELD
        assert grants_of(known) == answer.grants
        assert set(charges(known).values()) == {Use(0, 3_000)}


class TestMemory(AuthorizationContract):
    @pytest.fixture
    def work(self, memory_work: MemoryWork[MemoryRepository]) -> Work[Repository]:
        return memory_work


class TestPostgres(AuthorizationContract):
    @pytest.fixture
    def work(self, postgres_work: PostgresWork[PostgresRepository]) -> Work[Repository]:
        return postgres_work

    async def test_whoever_makes_an_id_second_finds_it_when_run_again(self, work: Work[Repository]) -> None:
        await have_relations(work, relation())
        async with work() as repository:
            asked = await repository.open_book([request("a")], [], hold=True)
            await apply(work, released("a"))
            authorize_all([request("a")], asked)
            with pytest.raises(asyncpg.SerializationError):
                await repository.close_book(asked)
        assert await authorize(work, request("a")) == [Answer(named("a"), refusal="ABANDONED")]

    async def test_a_batch_is_few_statements_however_many_it_asks_or_tells(
        self, work: Work[Repository], postgres_work: PostgresWork[PostgresRepository]
    ) -> None:
        patients = [f"B{number}" for number in range(20)]
        await have_relations(work, *(relation(f"r {it}", beneficiary_psn_no=it) for it in patients))
        asked = [request(it, 100, beneficiary_psn_no=it) for it in patients]
        told = [captured(it, (f"r {it}", 100)) for it in patients]
        for requests, outcomes, most in ((asked, [], 4), ([], told, 3)):
            statements: list[str] = []
            async with postgres_work() as repository:
                with repository._raw.query_logger(lambda record: statements.append(record.query)):  # noqa: B023
                    book = await repository.open_book(requests, outcomes, hold=bool(requests))
                    authorize_all(requests, book)
                    apply_all(outcomes, book)
                    await repository.close_book(book)
            # The driver's own questions about types, once for each connection, are none of ours.
            ours = [it for it in statements if "typeinfo" not in it and "'jit'" not in it]
            assert len(ours) == most

    async def test_counters_are_kept_for_every_window(
        self, work: Work[Repository], postgres_work: PostgresWork[PostgresRepository]
    ) -> None:
        await have_relations(work, relation(limits=Limits(settlement_fen=500)))
        await authorize(work, request("a", 300))
        async with postgres_work() as repository:
            found = await repository.uses(counter_keys(named("father-child"), TODAY))
        assert {key.window for key in found} == set(COUNTED_WINDOWS)
