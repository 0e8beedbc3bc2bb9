"""What else happens meanwhile: at identity, binding and notify, one small thing after the other, each acknowledged."""

import asyncio
from typing import Final

import asyncpg
import grpc
from drill.history import Act

from gongji.binding.v1 import relation_pb2
from gongji.notify.v1 import contact_pb2
from gongji_local.client import Connections, Operator, Portal
from gongji_local.client.persons import institution
from gongji_local.stack import Stack
from kit.clock import SystemClock

PAUSE_SECONDS: Final = 0.1
PATIENT: Final = "P00000119"
PAYER: Final = "F00000011"
GENEROUS_FEN: Final = 100_000_000
PRESENT: Final = {
    "identity": "SELECT fixmedins_code FROM institution",
    "binding": f"""
        SELECT 'limit ' || n FROM relation CROSS JOIN LATERAL generate_series(1, total_fen - {GENEROUS_FEN}) AS n
        WHERE beneficiary_psn_no = '{PATIENT}'""",  # noqa: S608 - constants of this file
    "notify": "SELECT psn_no FROM person_setting",
}
"""The keys of acts that a service's database has."""


class Acts:
    """One after the other, by service."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self.done: dict[str, list[Act]] = {service: [] for service in PRESENT}
        self._numbers = dict.fromkeys(PRESENT, 0)
        self._relation_id = ""

    async def work(self, enough: asyncio.Event) -> None:
        """Until it is enough."""
        async with Connections(self._stack) as connections:
            await asyncio.gather(*(self._one_after_the_other(name, connections, enough) for name in PRESENT))

    async def _one_after_the_other(self, service: str, connections: Connections, enough: asyncio.Event) -> None:
        kinds = {"identity": self._register, "binding": self._raise_limit, "notify": self._set_language}
        while not enough.is_set():
            self._numbers[service] += 1
            sent_at = SystemClock().now()
            try:
                key = await kinds[service](connections, self._numbers[service])
            except grpc.aio.AioRpcError:
                return  # the disaster
            self.done[service].append(Act(key, sent_at, SystemClock().now()))
            await asyncio.sleep(PAUSE_SECONDS)

    async def _register(self, connections: Connections, number: int) -> str:
        made = institution(f"drill {number}")
        await Operator(connections).register_institution(made)
        return made.fixmedins_code

    async def _raise_limit(self, connections: Connections, number: int) -> str:
        if not self._relation_id:
            query = f"SELECT relation_id FROM relation WHERE beneficiary_psn_no = '{PATIENT}'"  # noqa: S608
            self._relation_id = str((await rows(self._stack, "binding", query))[0][0])
        limits = relation_pb2.Limits(total_fen=GENEROUS_FEN + number)
        await Portal(connections, PAYER).change_limits(self._relation_id, limits)
        return f"limit {number}"

    async def _set_language(self, connections: Connections, number: int) -> str:
        psn_no = f"N{number:08}"
        portal = Portal(connections, psn_no)
        await portal.call(portal.contacts.SetSettings, contact_pb2.SetSettingsRequest(psn_no=psn_no, language="en"))
        return psn_no


async def rows(stack: Stack, service: str, query: str, *arguments: object) -> list[asyncpg.Record]:
    """Rows of a service's own database."""
    connection = await asyncpg.connect(stack.info.database_url(service))
    try:
        return list(await connection.fetch(query, *arguments))
    finally:
        await connection.close()
