"""Thirty days before the last day both sides are told, once, though two schedulers look for what is due."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date

from support.families import Families
from support.relations import morning, titles, told

from binding.domain.notices import NoticeRules
from binding.jobs import upkeep_jobs
from binding.repository import PostgresRepository
from binding.service.persons import Persons
from binding.service.upkeep import Upkeep
from gongji_local.cases.script import Relation
from gongji_local.stack import Stack
from kit.db import Database, PostgresWork
from kit.scheduler import Scheduler, alone_on

TITLE = "共济关系即将到期"


class StackClock:
    """The stack's movable time, as its services read it."""

    def __init__(self, stack: Stack) -> None:
        self.now = stack.now


@asynccontextmanager
async def another_scheduler(stack: Stack) -> AsyncIterator[None]:
    """A second replica's, in this process, on binding's database."""
    database, clock = Database(stack.info.database_url("binding")), StackClock(stack)
    upkeep = Upkeep(PostgresWork(database, PostgresRepository), clock, Persons(clock), NoticeRules())
    running = asyncio.create_task(Scheduler(upkeep_jobs(upkeep, 0.05), alone_on(database)).run())
    yield
    running.cancel()
    await asyncio.wait([running])
    await database.close()


async def test_both_sides_are_told_once_by_two_schedulers(families: Families, stack: Stack) -> None:
    family = await families.make({"father": 0}, Relation("father", "child", {"year": 100_000}, valid_to="2025-12-31"))
    async with another_scheduler(stack):
        stack.move_clock(morning(date(2025, 11, 30)))
        await family.quiet()
        assert TITLE not in await titles(family, "father")
        for day in (date(2025, 12, 1), date(2025, 12, 2), date(2025, 12, 31)):
            stack.move_clock(morning(day))
            await told(family, "father", TITLE)
            await told(family, "child", TITLE)
