"""What one identification costs identity and PostgreSQL, in `make bench-sizes`: Identify, at 16 callers."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import asyncpg
import psutil
from bench import cpu
from bench.settle_load import TIMEOUT_SECONDS, load
from support.families import Families

from gongji.identity.v1 import visit_pb2
from gongji_local.client import Connections
from gongji_local.stack import Stack
from kit.grpc_client import secure_channel

if TYPE_CHECKING:
    import grpc

CALLERS: Final = 16
SECONDS: Final = 6.0
WARM_UP_SECONDS: Final = 1.0
LOG_BYTES: Final = "SELECT pg_total_relation_size('access_log')"
IDENTIFY: Final = "/gongji.identity.v1.VisitService/Identify"


@dataclass(frozen=True, slots=True)
class Identified:
    """How fast, and the milliseconds of a core that one takes."""

    per_second: int
    p99_ms: float
    identity_ms: float
    postgres_ms: float
    access_log_bytes: int
    """What its line in the access log takes, with indexes."""


async def identify(stack: Stack) -> Identified:
    """The same person again and again, by identity card, each one a line of the access log."""
    async with Connections(stack) as connections:
        family = await Families(stack, connections).make({"father": 100_000})
        person, code = family.world.persons["child"], family.hospital.fixmedins_code
    request = visit_pb2.IdentifyRequest(
        fixmedins_code=code,
        mdtrt_cert_type=visit_pb2.VISIT_CERTIFICATE_TYPE_IDENTITY_CARD,
        mdtrt_cert_no=person.certno,
        psn_name=person.psn_name,
    ).SerializeToString()
    channel = secure_channel(stack.info.services["identity"].grpc_address, stack.institution_tls(code))
    call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(IDENTIFY)

    async def send() -> int:
        return len(visit_pb2.IdentifyResponse.FromString(await call(request, timeout=TIMEOUT_SECONDS)).psn_no) and 1

    await load(send, CALLERS, WARM_UP_SECONDS)
    connection = await asyncpg.connect(stack.info.database_url("identity"))
    process, server = psutil.Process(stack.info.services["identity"].pid), await cpu.postgres(connection)
    before, log_bytes = (cpu.own(process), cpu.whole(server)), await connection.fetchval(LOG_BYTES)
    measured = await load(send, CALLERS, SECONDS)
    after, log_bytes = (cpu.own(process), cpu.whole(server)), await connection.fetchval(LOG_BYTES) - log_bytes
    await connection.close()
    await channel.close()
    if measured.failed:
        raise SystemExit(f"identifications failed: {measured.failed}")
    identity_ms, postgres_ms = (
        round((end - begin) / measured.done * 1000, 2) for begin, end in zip(before, after, strict=True)
    )
    return Identified(
        measured.per_second, measured.quantile_ms(0.99), identity_ms, postgres_ms, round(log_bytes / measured.done)
    )
