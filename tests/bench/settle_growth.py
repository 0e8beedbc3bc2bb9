"""What `GROW=1 make bench` adds: accounts and entries of a region, sealed, and families that are paid for by them."""

import asyncio
import time
from typing import Final

import asyncpg
from bench.settle_accounts import ENTRIES_A_CONTRIBUTION, copy_accounts
from bench.settle_world import GROWN_ACCOUNTS, make_families
from rich.console import Console

from gongji_local.stack import Stack
from kit.clock import SystemClock
from kit.db import Database, PostgresWork
from settlement.domain.seals import SealAlgorithm
from settlement.seal_repository import PostgresSealRepository
from settlement.sealer import BLOCK_ENTRIES, Sealer

ENTRIES_EACH: Final = 10
TOLD_ACCOUNTS: Final = 100_000
SEAL_AGAIN_SECONDS: Final = 1.0


async def grow(stack: Stack, console: Console) -> dict[str, int]:
    """The accounts and their entries more; what there is then."""
    started, url = time.monotonic(), stack.info.database_url("settlement")

    def tell(accounts: int) -> None:
        if accounts % TOLD_ACCOUNTS == 0 or accounts == GROWN_ACCOUNTS:
            console.print(f"{accounts:,} of {GROWN_ACCOUNTS:,} accounts loaded after {since(started)}")

    await make_families(stack.info.database_url("binding"), grown=True)
    await copy_accounts(url, "G", GROWN_ACCOUNTS, ENTRIES_EACH // ENTRIES_A_CONTRIBUTION, tell)
    await _seal(url)
    console.print(f"Sealed after {since(started)}")
    connection = await asyncpg.connect(url)
    try:
        return {
            "accounts": await connection.fetchval("SELECT count(*) FROM account"),
            "entries": await connection.fetchval("SELECT count(*) FROM entry"),
        }
    finally:
        await connection.close()


async def _seal(url: str) -> None:
    """Entries of years are sealed; settlement's own job would be at it during the load. Both may be, one at a time."""
    database = Database(url, 2, "bench", statement_timeout_seconds=60.0)
    work = PostgresWork(database, PostgresSealRepository)
    sealer = Sealer(work, SystemClock(), SealAlgorithm.SHA_256)
    try:
        while True:
            while await sealer.batch():
                pass
            async with work() as repository:
                waiting, _ = await repository.waiting()
            if waiting < BLOCK_ENTRIES:
                return
            await asyncio.sleep(SEAL_AGAIN_SECONDS)
    finally:
        await database.close()


def since(started: float) -> str:
    """Whole seconds, in words."""
    return f"{time.monotonic() - started:.0f} s"
