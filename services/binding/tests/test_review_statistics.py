"""Statistics of reviews: the figures against their definition, PostgreSQL against the fake."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from binding.domain.applications import Step
from binding.domain.decision_reasons import DecisionReason
from binding.domain.review_statistics import ClerkDay, Figures, figures_of
from binding.domain.reviews import DECISIONS, ReviewStep
from binding.memory import MemoryRepository
from binding.repository import Period, PostgresRepository, Repository
from binding.testing import NOON, TODAY, application, named
from kit.db import Database, PostgresWork, Work
from kit.testing import MemoryWork

STEPS = [Step.CLAIM, Step.FINISH, Step.RELEASE, Step.HAND_OVER, Step.APPROVE, Step.REJECT, Step.RETURN]
PERIOD = Period(TODAY, TODAY)


def step(
    name: str, kind: Step, clerk: str = "clerk:li", *, waited: timedelta = timedelta(), **changes: object
) -> ReviewStep:
    made = ReviewStep(named(name), kind, clerk, NOON, "652701", NOON - waited, TODAY)
    return replace(made, **changes)  # type: ignore[arg-type]


@given(st.lists(st.integers(0, 10**7), max_size=40))
def test_half_and_nine_tenths_lie_within_the_times_told_and_within_no_shorter_one(waits: list[int]) -> None:
    found = figures_of(step(str(wait), Step.APPROVE, waited=timedelta(seconds=wait)) for wait in waits)
    assert found.approved == len(waits)
    for share, within in ((0.5, found.median_seconds), (0.9, found.p90_seconds)):
        if not waits:
            assert within is None
            continue
        enough = [wait for wait in waits if sum(other <= wait for other in waits) >= share * len(waits)]
        assert within == min(enough)


def test_only_decisions_are_decided_and_only_claims_are_handled_once_each() -> None:
    found = figures_of([step("a", kind) for kind in STEPS] + [step("a", Step.CLAIM), step("b", Step.CLAIM)])
    assert found == Figures(2, 1, 1, 1, 0, 0)


@pytest.mark.parametrize(
    ("approved", "rejected", "returned", "permille"), [(0, 0, 0, 0), (1, 1, 1, 333), (0, 0, 4, 1000), (9, 0, 1, 100)]
)
def test_the_rate_of_returns_is_their_share_in_all_decisions(
    approved: int, rejected: int, returned: int, permille: int
) -> None:
    assert Figures(7, approved, rejected, returned).returned_permille == permille


class StatisticsContract:
    """What every repository counts."""

    @pytest.fixture
    def work(self) -> Work[Repository]:
        raise AssertionError("each suite names its own")

    async def write(self, work: Work[Repository], *steps: ReviewStep) -> None:
        async with work() as repository:
            for application_id in {it.application_id for it in steps}:
                await repository.add_application(application(application_id=application_id))
            await repository.add_review_steps(steps)

    async def test_a_clerks_day_is_told_with_its_figures(self, work: Work[Repository]) -> None:
        hour = timedelta(hours=1)
        await self.write(
            work,
            step("a", Step.CLAIM, "clerk:wang"),
            step("a", Step.CLAIM, "clerk:wang"),
            step("a", Step.RELEASE, "clerk:wang"),
            step("b", Step.CLAIM, "clerk:wang"),
            *(step(f"x{hours}", Step.APPROVE, waited=hours * hour) for hours in (5, 1, 3, 4)),
            step("r", Step.RETURN, waited=50 * hour, reason=DecisionReason.PROOF_OUTDATED),
            step("j", Step.REJECT, waited=2 * hour + timedelta(milliseconds=900), reason=DecisionReason.DUPLICATE),
        )
        async with work() as repository:
            found = await repository.figures_by_clerk(PERIOD, None, 10)
            regions = await repository.figures_by_region(PERIOD)
        assert found == [
            (ClerkDay(TODAY, "clerk:li"), Figures(0, 4, 1, 1, 3 * 3600, 50 * 3600)),
            (ClerkDay(TODAY, "clerk:wang"), Figures(2)),
        ]
        assert regions == {"652701": Figures(2, 4, 1, 1, 3 * 3600, 50 * 3600)}

    async def test_a_day_is_shanghais_and_both_ends_of_a_period_count(self, work: Work[Repository]) -> None:
        moments = [
            datetime(2025, 6, 9, 15, 59, 59, tzinfo=UTC),
            datetime(2025, 6, 9, 16, 0, tzinfo=UTC),
            datetime(2025, 6, 11, 15, 59, 59, tzinfo=UTC),
            datetime(2025, 6, 11, 16, 0, tzinfo=UTC),
        ]
        await self.write(work, *(step(str(at), Step.CLAIM, at=at, submitted_at=at) for at in moments))
        async with work() as repository:
            found = await repository.figures_by_clerk(Period(date(2025, 6, 10), date(2025, 6, 11)), None, 10)
        assert [(key.day, figures.handled) for key, figures in found] == [
            (date(2025, 6, 10), 1),
            (date(2025, 6, 11), 1),
        ]

    async def test_rows_come_by_pages_and_of_the_region_asked_for(self, work: Work[Repository]) -> None:
        await self.write(
            work,
            *(
                step(f"{day} {clerk}", Step.CLAIM, clerk, at=NOON + timedelta(days=day), region="652722")
                for day in range(2)
                for clerk in ("clerk:c", "clerk:a", "clerk:b")
            ),
            step("elsewhere", Step.CLAIM, "clerk:a"),
        )
        period = Period(TODAY, TODAY + timedelta(days=1), "652722")
        async with work() as repository:
            first = await repository.figures_by_clerk(period, None, 4)
            rest = await repository.figures_by_clerk(period, first[-1][0], 4)
            assert set(await repository.figures_by_region(period)) == {"652722"}
            assert await repository.figures_by_region(replace(period, region="652723")) == {}
        keys = [(key.day.day, key.clerk[-1]) for key, figures in first + rest if figures == Figures(1)]
        assert keys == [(10, "a"), (10, "b"), (10, "c"), (11, "a"), (11, "b"), (11, "c")]

    async def test_many_steps_are_counted_as_the_rule_says(self, work: Work[Repository]) -> None:
        chance = Random(4)  # noqa: S311 - a test's steps, no secret
        steps = [
            step(
                f"a{chance.randrange(20)}",
                chance.choice(STEPS),
                f"clerk:{chance.choice('xyz')}",
                waited=timedelta(seconds=chance.randrange(10**6)),
                at=NOON + timedelta(hours=chance.randrange(72)),
                region=chance.choice(["652701", "652722"]),
            )
            for _ in range(300)
        ]
        await self.write(work, *steps)
        period = Period(TODAY, TODAY + timedelta(days=9))
        async with work() as repository:
            by_clerk = await repository.figures_by_clerk(period, None, 1000)
            by_region = await repository.figures_by_region(period)
        assert by_region == {
            name: figures_of([it for it in steps if it.region == name]) for name in ("652701", "652722")
        }
        decided = sum(figures.approved + figures.rejected + figures.returned for _, figures in by_clerk)
        assert decided == sum(it.step in DECISIONS for it in steps)


class TestMemory(StatisticsContract):
    @pytest.fixture
    def work(self, memory_work: MemoryWork[MemoryRepository]) -> Work[Repository]:
        return memory_work


class TestPostgres(StatisticsContract):
    @pytest.fixture
    def work(self, postgres_work: PostgresWork[PostgresRepository]) -> Work[Repository]:
        return postgres_work


BY_PERIOD = "SELECT day, clerk FROM review_step WHERE day BETWEEN '2025-06-01' AND '2025-06-30' GROUP BY day, clerk"
HEAD = """SELECT * FROM application WHERE state IN ('SUBMITTED', 'CLAIMED') AND region = '652701'
          ORDER BY coalesce(due_on, DATE '1970-01-01'), submitted_at, application_id LIMIT 1"""


@pytest.mark.parametrize(("query", "index"), [(BY_PERIOD, "review_step_by_day"), (HEAD, "application_queue")])
async def test_the_database_finds_a_period_and_the_head_of_a_queue_by_an_index(
    database: Database, query: str, index: str
) -> None:
    async with database.transaction() as transaction:
        await transaction.raw.execute("SET LOCAL enable_seqscan = off")
        await transaction.raw.execute("SET LOCAL enable_sort = off")
        plan = [str(row[0]) for row in await transaction.raw.fetch(f"EXPLAIN {query}")]
    assert any(index in line for line in plan)
    assert not any("coalesce" in line.lower() and "Sort Key" in line for line in plan)
