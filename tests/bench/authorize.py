"""`make bench-authorize`: how fast binding authorizes, and how near that is to what PostgreSQL alone can do.

A running binding (its own process, TLS, durable commits) is asked over gRPC in batches of 1, 32 and 256, on uniform
relations and with one hot relation in every batch; the load generator has the same cores. The ceiling is the same work
as one SQL function under pgbench, on the same server in the same run. The figures go to out/bench-authorize.json. Set
SECONDS_EACH for another length of each measurement.
"""

import asyncio
import json
import os
import random
import re
import statistics
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from itertools import product
from pathlib import Path
from typing import Final

import asyncpg
import grpc
import psutil
from bench import cpu
from bench.authorize_world import HOT, NEED_FEN, STRIDE, is_sound, make_world, patient
from rich.console import Console
from rich.table import Table

from gongji.binding.v1 import authorization_pb2 as pb2
from gongji.binding.v1 import authorization_pb2_grpc
from gongji_local.postgres.home import installed_programs
from gongji_local.sessions import new_session_folder, remove_session
from gongji_local.stack import Stack
from kit.grpc_client import secure_channel

SECONDS: Final = float(os.environ.get("SECONDS_EACH", "8"))
WARM_UP_SECONDS: Final = 1.5
CALLERS: Final = {1: 8, 32: 4, 256: 2}
"""Batch size → calls in flight, for binding and for pgbench."""
TIMEOUT_SECONDS: Final = 15


@dataclass(slots=True)
class Measured:
    """What was answered while the clock ran."""

    latencies_ms: list[float] = field(default_factory=list)
    requests: int = 0
    failed_calls: int = 0
    """Overloaded or too late, as on a machine that has other things to do."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    relations: str
    batch: int
    callers: int
    requests_per_second: int
    p50_ms: float
    p99_ms: float
    failed_calls: int
    ceiling_requests_per_second: int
    ratio_to_ceiling: float
    binding_cpu: float
    """Cores that binding kept busy."""
    postgres_cpu: float
    generator_cpu: float


def main() -> int:
    """Measure, print, write; 1 if a counter is wrong afterwards."""
    console = Console(soft_wrap=True)
    if not console.is_terminal:
        console.width = 140  # a log has no width of its own, and a squeezed table cannot be read
    stack = Stack(new_session_folder(), services=("binding",))
    try:
        console.print(f"Starting PostgreSQL, Kafka and binding; {os.cpu_count()} cores, {SECONDS:g} s each")
        stack.up()
        url = stack.info.database_url("binding")
        asyncio.run(make_world(url))
        rows = []
        for hot, batch in product((False, True), CALLERS):
            rows.append(_row(stack, url, batch, hot=hot))
            console.print(f"{rows[-1].relations}, batches of {batch}: {rows[-1].requests_per_second:,} requests/s")
        sound = asyncio.run(is_sound(url))
    finally:
        remove_session(stack)
    console.print(_table(rows))
    figures = {"cores": os.cpu_count(), "load_average_1_min": os.getloadavg()[0], "rows": [asdict(row) for row in rows]}
    out = Path("out")
    out.mkdir(exist_ok=True)
    (out / "bench-authorize.json").write_text(json.dumps(figures, indent=2) + "\n")
    if not sound:
        console.print("[red]a counter is not the sum of its lines[/red]")
    return 0 if sound else 1


def _row(stack: Stack, url: str, batch: int, *, hot: bool) -> Row:
    callers = CALLERS[batch]
    cpus = _cpus(stack, url)
    asyncio.run(_load(stack, batch, callers, WARM_UP_SECONDS, hot=hot))
    before, started = [seconds_of() for seconds_of in cpus], time.monotonic()
    measured = asyncio.run(_load(stack, batch, callers, SECONDS, hot=hot))
    seconds = time.monotonic() - started
    binding, postgres, generator = (
        round((seconds_of() - was) / seconds, 2) for seconds_of, was in zip(cpus, before, strict=True)
    )
    speed = round(measured.requests / seconds)
    ceiling = _ceiling(url, batch, callers, hot=hot)
    cuts = statistics.quantiles(measured.latencies_ms, n=100) if measured.requests > batch else [0.0] * 99
    return Row(
        relations="one hot" if hot else "uniform",
        batch=batch,
        callers=callers,
        requests_per_second=speed,
        p50_ms=round(cuts[49], 1),
        p99_ms=round(cuts[98], 1),
        failed_calls=measured.failed_calls,
        ceiling_requests_per_second=ceiling,
        ratio_to_ceiling=round(speed / ceiling, 3),
        binding_cpu=binding,
        postgres_cpu=postgres,
        generator_cpu=generator,
    )


async def _load(stack: Stack, batch: int, callers: int, seconds: float, *, hot: bool) -> Measured:
    """Callers that each ask, wait for the answer and ask again."""
    measured, until = Measured(), time.monotonic() + seconds
    channel = secure_channel(stack.info.services["binding"].grpc_address, stack.service_tls("settlement"))
    stub: authorization_pb2_grpc.AuthorizationServiceAsyncStub = authorization_pb2_grpc.AuthorizationServiceStub(
        channel
    )

    async def caller() -> None:
        while time.monotonic() < until:
            request = _request(batch, hot=hot)
            started = time.monotonic()
            try:
                answer = await stub.Authorize(request, timeout=TIMEOUT_SECONDS)
            except grpc.RpcError:
                measured.failed_calls += 1
                continue
            measured.latencies_ms.append((time.monotonic() - started) * 1000)
            measured.requests += len(request.requests)
            if any(it.refusal or it.grants[0].granted_fen != NEED_FEN for it in answer.results):
                sys.exit("an answer is not what it should be; nothing was measured")

    await asyncio.gather(*(caller() for _ in range(callers)))
    await channel.close()
    return measured


def _request(batch: int, *, hot: bool) -> pb2.AuthorizeRequest:
    first = random.randrange(10**9)  # noqa: S311 - load, no secret
    patients = [patient(first + number * STRIDE) for number in range(batch)]
    if hot:
        patients = [HOT, *(it for it in patients[1:] if it != HOT)]
    request = pb2.AuthorizeRequest()
    for it in patients:
        asked = request.requests.add(authorization_id=str(uuid.uuid4()), beneficiary_psn_no=it, amount_fen=NEED_FEN)
        asked.occurred_at.GetCurrentTime()
        asked.requested_at.CopyFrom(asked.occurred_at)
    return request


def _ceiling(url: str, batch: int, callers: int, *, hot: bool) -> int:
    """Requests a second of the same work as one SQL function, called by pgbench."""
    program = installed_programs() / "bin" / "pgbench"
    how = ["-n", "-M", "prepared", "-c", str(callers), "-j", "2", "-T", str(max(1, round(SECONDS)))]
    command = [str(program), *how, "-f", "/dev/stdin", url]
    script = f"SELECT bench_authorize({batch}, {str(hot).lower()});\n"
    done = subprocess.run(  # noqa: S603 - the wheel's own program
        command, input=script, capture_output=True, text=True, check=False, timeout=SECONDS + 60
    )
    found = re.search(r"^tps = ([0-9.]+)", done.stdout, re.MULTILINE)
    if done.returncode != 0 or found is None:
        sys.exit(f"pgbench failed:\n{done.stderr}")
    return round(float(found[1]) * batch)


def _cpus(stack: Stack, url: str) -> list[Callable[[], float]]:
    """Tell the CPU seconds so far of binding, of PostgreSQL's processes, and of this process."""
    server = asyncio.run(_server(url))
    binding = psutil.Process(stack.info.services["binding"].pid)
    return [lambda: cpu.own(binding), lambda: cpu.whole(server), lambda: cpu.own(psutil.Process())]


async def _server(url: str) -> psutil.Process:
    connection = await asyncpg.connect(url)
    try:
        return await cpu.postgres(connection)
    finally:
        await connection.close()


def _table(rows: list[Row]) -> Table:
    table = Table(title="Authorize over gRPC, and the same work as one SQL function under pgbench")
    for column in ("relations", "batch", "in flight", "requests/s", "p50 ms", "p99 ms", "failed", "ceiling/s", "ratio"):
        table.add_column(column, justify="left" if column == "relations" else "right")
    table.add_column("cores: binding, PostgreSQL, generator", justify="right")
    for row in rows:
        table.add_row(
            row.relations,
            str(row.batch),
            str(row.callers),
            f"{row.requests_per_second:,}",
            f"{row.p50_ms:.1f}",
            f"{row.p99_ms:.1f}",
            str(row.failed_calls),
            f"{row.ceiling_requests_per_second:,}",
            f"{row.ratio_to_ceiling:.0%}",
            f"{row.binding_cpu:.2f}, {row.postgres_cpu:.2f}, {row.generator_cpu:.2f}",
        )
    return table


if __name__ == "__main__":
    sys.exit(main())
