"""The same contributions by `ImportContributions`: one stream over TLS to a whole stack that runs."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

import psutil
from bench import cpu

from gongji.settlement.v1 import account_pb2, account_pb2_grpc
from gongji_local.client.connections import Caller, Connections
from gongji_local.stack import Stack

ROWS_A_MESSAGE: Final = 4_000
"""As many as the command puts in a transaction."""
CAP_SECONDS: Final = 300.0
"""What a stream of contributions is given."""
POLL_SECONDS: Final = 0.25

Contribution = tuple[str, str, int]
"""Id, psn_no, fen."""


@dataclass(frozen=True, slots=True)
class Streamed:
    """What one stream came to, and what it took of settlement."""

    answer: account_pb2.ImportContributionsResponse
    seconds: float
    cpu_seconds: float
    peak_mib: int


async def stream(stack: Stack, rows: Iterable[Contribution]) -> Streamed:
    """Sends all rows by one stream, as the register's feed does."""
    server = psutil.Process(stack.info.services["settlement"].pid)
    peak = Peak(server)
    async with Connections(stack) as connections:
        feed = Caller(connections, title="feed", principal="service/registry", timeout_seconds=CAP_SECONDS)
        stub: account_pb2_grpc.AccountServiceAsyncStub = account_pb2_grpc.AccountServiceStub(feed.channel("settlement"))
        before, started = cpu.own(server), time.monotonic()
        watching = asyncio.create_task(peak.watch())
        answer = await feed.stream(stub.ImportContributions, account_pb2.ImportContributionsRequest, _sent(rows))
        seconds = time.monotonic() - started
        watching.cancel()
    return Streamed(answer, seconds, cpu.own(server) - before, peak.mib)


class Peak:
    """The most memory that a process was seen to have."""

    def __init__(self, process: psutil.Process) -> None:
        self._process = process
        self.mib = 0

    async def watch(self) -> None:
        """Look until cancelled."""
        while True:
            self.mib = max(self.mib, round(self._process.memory_info().rss / 2**20))
            await asyncio.sleep(POLL_SECONDS)


def messages(rows: Iterable[Contribution]) -> Iterator[account_pb2.ImportContributionsRequest]:
    """The rows as a stream sends them."""
    left = iter(rows)
    while some := list(islice(left, ROWS_A_MESSAGE)):
        yield account_pb2.ImportContributionsRequest(
            rows=[
                account_pb2.ContributionRow(psn_no=psn_no, contribution_id=contribution_id, amount=amount_fen)
                for contribution_id, psn_no, amount_fen in some
            ]
        )


async def _sent(rows: Iterable[Contribution]) -> AsyncIterator[account_pb2.ImportContributionsRequest]:
    for message in messages(rows):
        yield message
