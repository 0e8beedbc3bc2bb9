"""The two ceilings of `make bench`, of the same run: an echo over gRPC, and the same statements under pgbench."""

import asyncio
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import grpc
from bench.settle_echo import METHOD
from bench.settle_load import TIMEOUT_SECONDS, Measured, load
from bench.settle_world import PATIENTS, Requests

from gongji.settlement.v1 import settlement_pb2
from gongji_local.postgres.home import installed_programs
from kit.grpc_client import TlsFiles, secure_channel

WARM_UP_SECONDS: Final = 1.0
NEAR: Final = 0.15
_PGBENCH: Final = f"""
\\set first random(0, {PATIENTS - 1})
\\set run random(1, 9000000000000000)
SELECT bench_intents(:batch, :first, :run);
SELECT bench_settle(:batch, :first, :run);
"""


@dataclass(frozen=True, slots=True)
class Tls:
    """Who speaks to whom, as PEM files."""

    client: TlsFiles
    server: TlsFiles
    client_ca: Path
    """The CA that vouches for clients."""


async def echo(requests: Requests, answer: bytes, callers: int, seconds: float, tls: Tls | None = None) -> Measured:
    """So many callers on a method that does nothing.

    Requests are made and answers read as for Settle, so that the generator costs the same.
    """
    async with _server(len(answer), tls) as target:
        channel = secure_channel(target, tls.client) if tls else grpc.aio.insecure_channel(target)
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(METHOD)

        async def send() -> int:
            got = await call(requests.one().SerializeToString(), timeout=TIMEOUT_SECONDS)
            settlement_pb2.SettleResponse.FromString(answer)
            return 1 if len(got) == len(answer) else 0

        await load(send, callers, WARM_UP_SECONDS)
        measured = await load(send, callers, seconds)
        await channel.close()
    return measured


@asynccontextmanager
async def _server(answer_bytes: int, tls: Tls | None) -> AsyncIterator[str]:
    files = [str(each) for each in (tls.server.cert, tls.server.key, tls.client_ca)] if tls else []
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.settle_echo", str(answer_bytes), *files, stdout=asyncio.subprocess.PIPE
    )
    try:
        if process.stdout is None or not (port := (await process.stdout.readline()).strip()):
            raise SystemExit("the echo server did not start")
        yield f"127.0.0.1:{port.decode()}"
    finally:
        process.kill()
        await process.wait()


def as_good_as(batch: int, measured: Collection[int]) -> int | None:
    """A batch size that was measured and is so near that its ceiling serves: each takes seconds, and varies by more."""
    near = min(measured, key=lambda size: abs(size - batch), default=None)
    return near if near is not None and abs(near - batch) <= batch * NEAR else None


def statements(url: str, batch: int, clients: int, seconds: float) -> int:
    """Settlements a second of the statement set as two transactions of so many, called by pgbench."""
    program = installed_programs() / "bin" / "pgbench"
    how = ["-n", "-M", "prepared", "-c", str(clients), "-j", "2", "-T", str(max(1, round(seconds)))]
    command = [str(program), *how, "-D", f"batch={batch}", "-f", "/dev/stdin", url]
    done = subprocess.run(  # noqa: S603 - the wheel's own program
        command, input=_PGBENCH, capture_output=True, text=True, check=False, timeout=seconds + 120
    )
    found = re.search(r"^tps = ([0-9.]+)", done.stdout, re.MULTILINE)
    if done.returncode != 0 or found is None:
        raise SystemExit(f"pgbench failed:\n{done.stderr}")
    return round(float(found[1]) * batch)
