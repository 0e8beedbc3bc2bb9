"""`make bench-sizes`: what a settlement leaves behind, table by table, and what each process keeps.

A whole stack settles SETTLEMENTS bills with mutual aid, twice. In between every table is vacuumed, so
that the second half writes into the room that the first one's old row versions left, as it is after weeks: what the
tables, their indexes and Kafka's log grow by in the second half, for each settlement, is told. Half of the payers have
a telephone. Connections are those at the end, memory is what a process held then. After that one person is identified
again and again.
"""

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import asyncpg
import psutil
from bench.notify_load import telephones
from bench.settle_accounts import copy_accounts
from bench.settle_load import TIMEOUT_SECONDS
from bench.settle_world import HOSPITAL, PATIENTS, PAYERS, Requests, make_families, patients
from bench.sizes_identify import Identified, identify
from rich.console import Console
from rich.table import Table

from gongji.common.v1 import reason_pb2
from gongji.settlement.v1 import settlement_pb2 as pb2
from gongji_local.sessions import new_session_folder, remove_session
from gongji_local.stack import Stack
from kit.crypto import KeyRing
from kit.db import Database
from kit.grpc_client import secure_channel
from notify.main import work

if TYPE_CHECKING:
    import grpc

SETTLEMENTS: Final = int(os.environ.get("SETTLEMENTS") or "20000")
ITEMS: Final = 200
SHARE_WITH_TELEPHONE: Final = 0.5
WRITE_ROWS: Final = 1_000
CALLERS: Final = 2
BATCH: Final = "/gongji.settlement.v1.SettlementService/BatchSettle"
QUIESCE_SECONDS: Final = 300.0
OUT: Final = Path("out/bench-sizes.json")
_SIZES: Final = """
SELECT coalesce(parent.relname, own.relname) AS name, sum(pg_table_size(own.oid)) AS rows,
       sum(pg_indexes_size(own.oid)) AS indexes
FROM pg_class AS own LEFT JOIN pg_inherits ON inhrelid = own.oid LEFT JOIN pg_class AS parent ON parent.oid = inhparent
WHERE own.relkind = 'r' AND own.relnamespace = 'public'::regnamespace GROUP BY 1
"""
_CONNECTIONS: Final = "SELECT datname, count(*) FROM pg_stat_activity WHERE datname LIKE 'gongji%' GROUP BY 1"

Sizes = Mapping[str, int]
"""Bytes by what holds them: `settlement.entry rows`, `settlement.entry indexes`, `kafka account-events-v1`, `WAL`."""


@dataclass(frozen=True, slots=True)
class Sized:
    """What one run found."""

    settlements: int
    """Of the second half, which was measured."""
    bytes_each: dict[str, float]
    memory_mib: dict[str, int]
    connections: dict[str, int]
    identified: Identified


def growth(before: Sizes, after: Sizes, done: int) -> dict[str, float]:
    """Bytes for each settlement, of what grew at all; what is new has grown from nothing."""
    grown = {name: (size - before.get(name, 0)) / done for name, size in after.items()}
    return {name: round(each, 1) for name, each in sorted(grown.items()) if each > 0}


def by_owner(bytes_each: Mapping[str, float]) -> dict[str, float]:
    """The same, added up: each database, Kafka, WAL."""
    totals: dict[str, float] = {}
    for name, each in bytes_each.items():
        owner = name.split(".")[0].split(" ")[0]
        totals[owner] = round(totals.get(owner, 0.0) + each, 1)
    return totals


async def measure(stack: Stack, console: Console) -> Sized:
    """Load, vacuum, take down the sizes, load again."""
    await make_families(stack.info.database_url("binding"))
    await copy_accounts(stack.info.database_url("settlement"), "F", PAYERS + 1, 1, lambda _: None)
    await _add_telephones(stack)
    requests = Requests(patients(stack.info.credential_keyring_file, "P", PATIENTS))
    await _settle(stack, requests)
    await _vacuum(stack)
    before = await _sizes(stack)
    console.print(f"{SETTLEMENTS:,} settled and vacuumed; {SETTLEMENTS:,} more are measured")
    await _settle(stack, requests)
    after = await _sizes(stack)
    grown, memory_mib, connections = growth(before, after, SETTLEMENTS), _memory(stack), await _connections(stack)
    return Sized(SETTLEMENTS, grown, memory_mib, connections, await identify(stack))


async def _settle(stack: Stack, requests: Requests) -> None:
    """So many, two calls for many at a time; then everything has heard of them."""
    channel = secure_channel(stack.info.services["settlement"].grpc_address, stack.institution_tls(HOSPITAL))
    call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(BATCH)
    calls = iter(range(SETTLEMENTS // ITEMS))

    async def caller() -> None:
        for _ in calls:
            message = pb2.BatchSettleRequest(items=[requests.one() for _ in range(ITEMS)])
            _all_settled(
                pb2.BatchSettleResponse.FromString(await call(message.SerializeToString(), timeout=TIMEOUT_SECONDS))
            )

    await asyncio.gather(*(caller() for _ in range(CALLERS)))
    await channel.close()
    await asyncio.to_thread(stack.quiesce, QUIESCE_SECONDS)


def _all_settled(answer: pb2.BatchSettleResponse) -> None:
    for each in answer.results:
        if each.settlement.split.acct_mulaid_pay == 0:
            raise SystemExit(f"a bill was not paid by the family: {reason_pb2.Reason.Name(each.refusal)}")


async def _add_telephones(stack: Stack) -> None:
    database = Database(stack.info.database_url("notify"), 2, "bench")
    await database.connect()
    try:
        contacts = telephones("F", PAYERS, SHARE_WITH_TELEPHONE)
        for first in range(0, len(contacts), WRITE_ROWS):
            async with work(database, KeyRing.load(stack.info.keyring_files["notify"]))() as repository:
                await repository.save_contacts(contacts[first : first + WRITE_ROWS])
    finally:
        await database.close()


async def _vacuum(stack: Stack) -> None:
    for url in stack.info.database_urls.values():
        connection = await asyncpg.connect(url)
        await connection.execute("VACUUM ANALYZE")
        await connection.close()


async def _sizes(stack: Stack) -> Sizes:
    found: dict[str, int] = {}
    for service, url in stack.info.database_urls.items():
        connection = await asyncpg.connect(url)
        for row in await connection.fetch(_SIZES):
            found |= {f"{service}.{row['name']} {what}": int(row[what]) for what in ("rows", "indexes")}
        found["WAL"] = int(await connection.fetchval("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn"))
        await connection.close()
    return {**found, **_kafka(stack.folder.kafka)}


def _kafka(folder: Path) -> Sizes:
    """Bytes of records, by topic, of one copy."""
    found: dict[str, int] = {}
    for log in folder.rglob("*-[0-9]*/*.log"):
        topic = log.parent.name.rpartition("-")[0]
        found[f"kafka {topic}"] = found.get(f"kafka {topic}", 0) + log.stat().st_size
    return found


def _memory(stack: Stack) -> dict[str, int]:
    pids = {
        status.name: status.pid for status in stack.status() if status.pid is not None and status.name != "postgres"
    }
    return {name: round(psutil.Process(pid).memory_info().rss / 2**20) for name, pid in pids.items()}


async def _connections(stack: Stack) -> dict[str, int]:
    connection = await asyncpg.connect(stack.info.database_url("settlement"))
    rows = await connection.fetch(_CONNECTIONS)
    await connection.close()
    # Ours is one of settlement's.
    return {row["datname"]: row["count"] - (row["datname"] == "gongji_settlement") for row in rows}


def table_of(sized: Sized) -> Table:
    """What grew by at least a byte a settlement, the largest first in each place."""
    table = Table("what", "bytes a settlement", title=f"What one of {sized.settlements:,} settlements leaves behind")
    totals = by_owner(sized.bytes_each)
    for owner in sorted(totals, key=lambda name: -totals[name]):
        table.add_row(f"[bold]{owner}[/]", f"[bold]{totals[owner]:,.0f}[/]")
        own = {name: each for name, each in sized.bytes_each.items() if name.startswith((f"{owner}.", f"{owner} "))}
        for name in sorted(own, key=lambda name: -own[name]):
            if own[name] >= 1:
                table.add_row(f"  {name}", f"{own[name]:,.0f}")
    table.columns[1].justify = "right"
    return table


def main() -> int:
    """Measure, print, keep."""
    console = Console(soft_wrap=True)
    stack = Stack(new_session_folder())
    try:
        stack.up()
        sized = asyncio.run(measure(stack, console))
    finally:
        remove_session(stack)
    OUT.parent.mkdir(exist_ok=True)
    figures: dict[str, Any] = asdict(sized) | {"totals": by_owner(sized.bytes_each)}
    OUT.write_text(json.dumps(figures, indent=2) + "\n")
    console.print(table_of(sized))
    console.print(f"memory, MiB: {sized.memory_mib}\nconnections: {sized.connections}\n{sized.identified}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
