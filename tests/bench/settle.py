"""`make bench`: how fast settlement settles, and how near that is to what gRPC and PostgreSQL can do here.

A whole stack (four services in processes of their own, TLS, durable commits, relay, binding's capture and notify all
running) settles bills of 100,000 patients with 10,000 payers; the load generator has the same cores. Two ceilings are
measured in the same run: E, a gRPC method that does nothing with messages of the same length, and C, the statements of
both transactions under pgbench. The tables are printed and kept in out/bench.json, with the difference to the run
before, which stays in out/bench.before.json.

SECONDS_EACH is the length of each measurement. GROW=1 measures unary calls once more, loads a million accounts (or
GROW_ACCOUNTS) with ten entries each by COPY, and measures them again, half of the bills on accounts that came with the
growth: the ratio is of two measurements that only the loading lies between. The run fails if the books are wrong or
settlement needs too much memory; what is slower than its aim is told.
"""

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import asdict, dataclass
from itertools import cycle
from typing import Any, Final

import asyncpg
import grpc
from bench.settle_accounts import copy_accounts
from bench.settle_ceilings import Tls, as_good_as, echo, statements
from bench.settle_growth import grow, since
from bench.settle_load import TIMEOUT_SECONDS, Measured, RefusedInPart, load
from bench.settle_report import aims, costs, keep, sentences, speeds
from bench.settle_verdicts import AGAIN, GROWN, HOT, UNIFORM, all_ratios, failed, verdicts
from bench.settle_watch import Watch, Watched
from bench.settle_world import (
    GROWN_PATIENTS,
    HOSPITAL,
    HOT_PATIENTS,
    PATIENTS,
    PAYERS,
    Requests,
    make_ceiling,
    make_families,
    patients,
)
from rich.console import Console

from gongji.common.v1 import reason_pb2
from gongji.settlement.v1 import settlement_pb2 as pb2
from gongji_local.sessions import new_session_folder, remove_session
from gongji_local.stack import Stack
from kit.grpc_client import secure_channel

SECONDS: Final = float(os.environ.get("SECONDS_EACH", "8"))
WARM_UP_SECONDS: Final = 2.0
GROW: Final = os.environ.get("GROW", "") == "1"
CALLERS: Final = (16, 64, 256)
BULK_ITEMS: Final = 200
STREAM_SECONDS: Final = 120.0
"""The deadline of a stream, which lasts for one measurement."""
SERVICE: Final = "/gongji.settlement.v1.SettlementService"
Call = grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    name: str
    callers: int
    per_second: int
    p50_ms: float
    p99_ms: float
    p999_ms: float
    failed: Mapping[str, int]
    ratio_to_echo: float | None
    """To E with as many callers; None of bulk."""
    ratio_to_statements: float
    """To C at the batch size that was seen."""
    watched: Watched


class Bench:
    """One run."""

    def __init__(self, stack: Stack, console: Console) -> None:
        self._stack = stack
        self._console = console
        self._url = stack.info.database_url("settlement")
        self._keyring = stack.info.credential_keyring_file
        self._patients = patients(self._keyring, "P", PATIENTS)
        self.uniform = Requests(self._patients)
        self.hot = Requests(patients(self._keyring, "H", HOT_PATIENTS))
        self._tls = stack.institution_tls(HOSPITAL)
        self._echo: dict[int, int] = {}
        self._statements: dict[int, int] = {}
        self.ceilings: dict[str, int] = {}

    def mixed(self) -> Requests:
        """Every other bill is of somebody who is paid for by an account that came with the growth."""
        added = patients(self._keyring, "Q", GROWN_PATIENTS)
        return Requests([one for pair in zip(self._patients, cycle(added), strict=False) for one in pair])

    async def ceilings_of_grpc(self) -> None:
        """E at each number of callers, without TLS, as the aim is said; and once with it."""
        answer = pb2.SettleResponse(settlement=_an_answer()).SerializeToString()
        for callers in CALLERS:
            self._echo[callers] = (await echo(self.uniform, answer, callers, SECONDS)).per_second
            self._say(f"E, {callers} callers", self._echo[callers])
        tls = Tls(self._tls, self._stack.service_tls("settlement"), self._stack.info.institution_ca_file)
        with_tls = (await echo(self.uniform, answer, CALLERS[-1], SECONDS, tls)).per_second
        self._say(f"E with TLS, {CALLERS[-1]} callers", with_tls)
        self.ceilings |= {f"echo_{callers}": speed for callers, speed in self._echo.items()}
        self.ceilings |= {f"echo_tls_{CALLERS[-1]}": with_tls}

    async def ceiling_of_statements(self, batch: int) -> int:
        """C at a batch size, two clients as bulk has two batches in flight."""
        if (near := as_good_as(batch, self._statements)) is None:
            near = batch
            self._statements[batch] = await asyncio.to_thread(statements, self._url, batch, 2, SECONDS)
            self._say(f"C, batches of {batch}", self._statements[batch])
            self.ceilings[f"statements_{batch}"] = self._statements[batch]
        return self._statements[near]

    async def unary_of_all(self, name: str, requests: Requests) -> list[tuple[Row, int]]:
        """Settle with each number of callers."""
        return [await self.unary(name, requests, callers) for callers in CALLERS]

    async def unary(self, name: str, requests: Requests, callers: int) -> tuple[Row, int]:
        """Settle with so many callers."""
        channel = secure_channel(self._stack.info.services["settlement"].grpc_address, self._tls)
        call: Call = channel.unary_unary(f"{SERVICE}/Settle")

        async def send() -> int:
            answer = pb2.SettleResponse.FromString(
                await call(requests.one().SerializeToString(), timeout=TIMEOUT_SECONDS)
            )
            return _paid(answer.settlement)

        return await self._measure(name, callers, send, channel.close, "settle")

    async def batches(self, items: int, in_flight: int) -> tuple[Row, int]:
        """BatchSettle with so many items, so many calls in flight."""
        channel = secure_channel(self._stack.info.services["settlement"].grpc_address, self._tls)
        call: Call = channel.unary_unary(f"{SERVICE}/BatchSettle")

        async def send() -> int:
            request = pb2.BatchSettleRequest(items=[self.uniform.one() for _ in range(items)])
            answer = pb2.BatchSettleResponse.FromString(
                await call(request.SerializeToString(), timeout=TIMEOUT_SECONDS)
            )
            return _all_paid(answer.results)

        row, batch = await self._measure(f"BatchSettle of {items}", in_flight, send, channel.close, "bulk")
        return row, batch

    async def stream(self, items: int, in_flight: int) -> tuple[Row, int]:
        """SettleStream: messages of so many bills, so many of them without an answer at a time."""
        channel = secure_channel(self._stack.info.services["settlement"].grpc_address, self._tls)
        call: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(f"{SERVICE}/SettleStream")
        streams = [call(timeout=STREAM_SECONDS) for _ in range(in_flight)]

        async def send() -> int:
            stream = streams.pop()
            request = pb2.SettleStreamRequest(items=[self.uniform.one() for _ in range(items)])
            await stream.write(request.SerializeToString())
            results: list[pb2.SettleResult] = []
            while len(results) < items:
                message = await stream.read()
                if not isinstance(message, bytes):
                    raise SystemExit("the stream ended before its results")
                results.extend(pb2.SettleStreamResponse.FromString(message).results)
            streams.append(stream)
            return _all_paid(results)

        return await self._measure(f"SettleStream, messages of {items}", in_flight, send, channel.close, "bulk")

    async def preview(self, callers: int) -> tuple[Row, int]:
        """PreSettle without hold."""
        channel = secure_channel(self._stack.info.services["settlement"].grpc_address, self._tls)
        call: Call = channel.unary_unary(f"{SERVICE}/PreSettle")

        async def send() -> int:
            request = self.uniform.one()
            asked = pb2.PreSettleRequest(
                fixmedins_code=HOSPITAL,
                bill=request.bill,
                visit_credential=request.visit_credential,
                acct_used_flag=True,
                use_mutual_aid=True,
            )
            answer = pb2.PreSettleResponse.FromString(await call(asked.SerializeToString(), timeout=TIMEOUT_SECONDS))
            return 1 if answer.split.acct_mulaid_pay else 0

        return await self._measure("preview", callers, send, channel.close, "preview")

    async def _measure(
        self,
        name: str,
        callers: int,
        send: Callable[[], Awaitable[int]],
        close: Callable[[], Awaitable[None]],
        batcher: str,
    ) -> tuple[Row, int]:
        await load(send, callers, WARM_UP_SECONDS)
        watch = Watch(self._stack)
        await watch.start()
        measured = await load(send, callers, SECONDS)
        watched = await watch.stop(measured.seconds, measured.done)
        await close()
        self._say(f"{name}, {callers} callers", measured.per_second)
        batch = max(1, round(watched.mean_batch.get(batcher, 1)))
        return self._row(name, callers, measured, watched), batch

    def _row(self, name: str, callers: int, measured: Measured, watched: Watched) -> Row:
        echo_speed = self._echo.get(callers)
        return Row(
            name=name,
            callers=callers,
            per_second=measured.per_second,
            p50_ms=measured.quantile_ms(0.5),
            p99_ms=measured.quantile_ms(0.99),
            p999_ms=measured.quantile_ms(0.999),
            failed=measured.failed,
            ratio_to_echo=round(measured.per_second / echo_speed, 3) if echo_speed else None,
            ratio_to_statements=0.0,
            watched=watched,
        )

    def _say(self, what: str, per_second: int) -> None:
        self._console.print(f"{what}: {per_second:,} a second")


def _an_answer() -> pb2.Settlement:
    """About as long as an answer of the settlements that are measured."""
    line = pb2.SettlementLine(payer_psn_no="F00000001", relation_id="0" * 36, amount=100, balance_after=999_999_900)
    settlement = pb2.Settlement(
        setl_id="0" * 36,
        fixmedins_code=HOSPITAL,
        msgid="0" * 30,
        state=pb2.SETTLEMENT_STATE_SETTLED,
        bill=pb2.Bill(psn_no="P00000001", mdtrt_id="VP00000001", med_type=pb2.MEDICAL_TYPE_OUTPATIENT),
        split=pb2.Split(acct_mulaid_pay=100, lines=[line]),
    )
    for moment in (settlement.occurred_at, settlement.setl_time):
        moment.GetCurrentTime()
    return settlement


def _paid(settlement: pb2.Settlement) -> int:
    if settlement.state != pb2.SETTLEMENT_STATE_SETTLED or settlement.split.acct_mulaid_pay != 100:
        raise SystemExit(f"an answer is not what it should be; nothing was measured: {settlement}")
    return 1


def _all_paid(results: Collection[pb2.SettleResult]) -> int:
    reasons = [reason_pb2.Reason.Name(each.refusal) for each in results if not each.HasField("settlement")]
    done = sum(_paid(each.settlement) for each in results if each.HasField("settlement"))
    if reasons:
        raise RefusedInPart(done, reasons)
    return done


async def measure(stack: Stack, console: Console) -> dict[str, Any]:
    """Everything, in one run."""
    url = stack.info.database_url("settlement")
    await _must_be_durable(url)
    started = time.monotonic()
    await make_families(stack.info.database_url("binding"))
    await copy_accounts(url, "F", PAYERS + 1, 1, lambda _: None)
    console.print(f"Loaded {PAYERS:,} payers and {PATIENTS + HOT_PATIENTS:,} patients in {since(started)}")
    bench = Bench(stack, console)
    await bench.ceilings_of_grpc()
    rows = await bench.unary_of_all(UNIFORM, bench.uniform)
    rows += await bench.unary_of_all(HOT, bench.hot)
    rows.append(await bench.preview(CALLERS[1]))
    rows.append(await bench.batches(BULK_ITEMS, 2))
    rows.append(await bench.stream(BULK_ITEMS, 3))
    grown = None
    if GROW:
        rows += await bench.unary_of_all(AGAIN, bench.uniform)
        grown = await grow(stack, console)
        rows += await bench.unary_of_all(GROWN, bench.mixed())
    sound = await _is_sound(url)
    await make_ceiling(url)
    await bench.ceiling_of_statements(1)
    finished = [await _with_ceiling(bench, row, batch) for row, batch in rows]
    return {
        "at": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "cores": os.cpu_count(),
        "seconds_each": SECONDS,
        "load_average_1_min": os.getloadavg()[0],
        "sound": sound,
        "grown": grown,
        "ceilings": bench.ceilings,
        "rows": [asdict(row) for row in finished],
    }


async def _with_ceiling(bench: Bench, row: Row, batch: int) -> Row:
    ceiling = await bench.ceiling_of_statements(batch)
    return Row(**{**_fields(row), "ratio_to_statements": round(row.per_second / ceiling, 3)})


def _fields(row: Row) -> dict[str, Any]:
    return {name: getattr(row, name) for name in Row.__dataclass_fields__}


async def _must_be_durable(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            if await connection.fetchval(f"SHOW {setting}") != "on":
                raise SystemExit(f"{setting} is off: what is fast and not durable is not measured")
    finally:
        await connection.close()


async def _is_sound(url: str) -> bool:
    """Whether balances are the sums of their entries: a fast answer that is wrong is none."""
    connection = await asyncpg.connect(url)
    try:
        wrong = await connection.fetchval(
            "SELECT count(*) FROM account AS a JOIN (SELECT account_key, sum(amount_fen) AS fen FROM entry"
            " WHERE account_kind = 'PERSONAL' GROUP BY 1) AS e ON e.account_key = a.psn_no WHERE a.balance_fen <> e.fen"
        )
        total = await connection.fetchval("SELECT coalesce(sum(amount_fen), 0) FROM entry")
    finally:
        await connection.close()
    return bool(wrong == 0 and total == 0)


def main() -> int:
    """Measure, print, keep; 1 if anything is wrong."""
    console = Console(soft_wrap=True)
    if not console.is_terminal:
        console.width = 170  # a log has no width of its own, and a squeezed table cannot be read
    stack = Stack(new_session_folder())
    try:
        console.print(f"Starting the whole stack; {os.cpu_count()} cores, {SECONDS:g} s each")
        stack.up()
        figures = asyncio.run(measure(stack, console))
    finally:
        remove_session(stack)
    found = verdicts(figures)
    before = keep(
        {**figures, "ratios": all_ratios(figures["rows"]), "verdicts": [asdict(verdict) for verdict in found]}
    )
    for table in (speeds(figures, before), costs(figures), aims(found)):
        console.print(table)
    for sentence in sentences(figures, before):
        console.print(sentence)
    return 1 if failed(found) else 0


if __name__ == "__main__":
    sys.exit(main())
