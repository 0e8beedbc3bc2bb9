"""Telling people of messages as they arrive: who watches is woken by a commit here or, by NOTIFY, of another process.

What is new is read from the table, so nothing depends on who was woken. A message is found by when it arrived, by the
database's time, and looked for again for as long as a transaction that wrote one may have taken to end.
"""

import asyncio
import math
import random
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from kit.backoff import backoff_seconds
from kit.clock import Elapsed
from kit.db import Work
from kit.db_login import connect
from kit.errors import Refusal
from kit.observability import get_logger
from notify.metrics import WATCHERS
from notify.repository import Repository, StoredMessage
from notify.repository.messages import Arrival

CHANNEL: Final = "message"
"""The NOTIFY channel; its payload is whose messages came, by psn_no, or empty for anybody's."""
MOST_WATCHERS: Final = 100
"""Of one process. Each is a call under way, of which a server has 256."""
MOST_OF_PERSON: Final = 5
OVERLAP: Final = timedelta(seconds=30)
"""How long before a known arrival another may have been written that shows only now: statements end after 10 s."""
READ_AT_ONCE: Final = 100
POLL_SECONDS: Final = 15.0
"""How soon a message is seen although nobody was woken."""
LISTEN_TIMEOUT_SECONDS: Final = 5.0
CHECK_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class News:
    """A message that arrived, and from where to go on after it."""

    stored: StoredMessage | None
    """None at the beginning."""
    resume_from: datetime
    """By the database's time."""


class Watchers:
    """All who watch in this process."""

    def __init__(self, work: Work[Repository], *, poll_seconds: float = POLL_SECONDS) -> None:
        self._work = work
        self._poll_seconds = poll_seconds
        self._watching: dict[str, set[asyncio.Event]] = {}
        self._count = 0
        self._is_closed = False

    def wake(self, psn_nos: Iterable[str]) -> None:
        """Messages of these came."""
        if not self._watching:  # nearly always, and this is on the way of every settlement
            return
        for psn_no in psn_nos:
            for event in self._watching.get(psn_no, ()):
                event.set()

    def wake_all(self) -> None:
        """Messages of anybody may have come."""
        self.wake(list(self._watching))

    async def close(self) -> None:
        """Let every watcher end, and admit no more."""
        self._is_closed = True
        self.wake_all()

    async def watch(
        self, psn_no: str, resume_from: datetime | None, lasts_seconds: float = math.inf
    ) -> AsyncGenerator[News, None]:
        """What arrives for a person from now on, or from `resume_from` on; first where that begins.

        Args:
            psn_no: the person.
            resume_from: of the last news of an earlier call; None for now.
            lasts_seconds: after which it ends, such as with what allows the caller to watch.

        Raises:
            Refusal: `OVERLOADED`, too many watch.
        """
        since = Elapsed()
        async with self._place(psn_no) as woken:
            now = await self._now()
            newest = resume_from or now
            # Who begins now is not told what was to be read before; who resumes may be told some of it again.
            seen = {} if resume_from else _arrivals(await self._read(psn_no, now - OVERLAP, {}))
            yield News(None, newest)
            while not self._is_closed and since.seconds < lasts_seconds:
                woken.clear()
                found = await self._read(psn_no, newest - OVERLAP, seen)
                for one in found:
                    newest = max(newest, one.arrived_at)
                    yield News(one.stored, newest)
                seen = {known: at for known, at in (seen | _arrivals(found)).items() if at >= newest - OVERLAP}
                if not found:
                    await self._wait(woken, lasts_seconds - since.seconds)

    @asynccontextmanager
    async def _place(self, psn_no: str) -> AsyncGenerator[asyncio.Event, None]:
        if self._count >= MOST_WATCHERS or len(self._watching.get(psn_no, ())) >= MOST_OF_PERSON:
            raise Refusal("OVERLOADED", "too many wait for messages; wait a little and ask again")
        if self._is_closed:
            raise Refusal("UNAVAILABLE", "this process is stopping; send the same again, another one takes it")
        woken = asyncio.Event()
        self._watching.setdefault(psn_no, set()).add(woken)
        self._count += 1
        WATCHERS.set(self._count)
        try:
            yield woken
        finally:
            self._count -= 1
            WATCHERS.set(self._count)
            self._watching[psn_no].discard(woken)
            if not self._watching[psn_no]:
                del self._watching[psn_no]

    async def _now(self) -> datetime:
        async with self._work() as repository:
            return await repository.database_time()

    async def _read(self, psn_no: str, since: datetime, seen: Mapping[UUID, datetime]) -> list[Arrival]:
        async with self._work() as repository:
            return await repository.arrived(psn_no, since, seen.keys(), READ_AT_ONCE)

    async def _wait(self, woken: asyncio.Event, most_seconds: float) -> None:
        if self._is_closed:
            return
        with suppress(TimeoutError):
            poll_seconds = self._poll_seconds * random.uniform(0.8, 1.2)  # noqa: S311 - jitter, no secret
            async with asyncio.timeout(min(poll_seconds, most_seconds)):
                await woken.wait()


class Listener:
    """Wakes watchers of this process when another one has committed messages."""

    def __init__(self, dsn: str, watchers: Watchers) -> None:
        self._dsn = dsn
        self._watchers = watchers
        self._log = get_logger()

    async def run(self) -> None:
        """Listen until cancelled; no failure of the database ends it, for watchers look by themselves as well."""
        failures = 0
        while True:
            try:
                await self._listen()
                failures = 0
            except Exception as error:  # noqa: BLE001 - the database comes back
                failures += 1
                self._log.warning("not listening for messages of other processes", why=type(error).__name__)
            await asyncio.sleep(backoff_seconds(max(failures, 1)))

    async def _listen(self) -> None:
        connection: Any = await connect(self._dsn, timeout=LISTEN_TIMEOUT_SECONDS)
        try:
            await connection.add_listener(CHANNEL, self._heard)
            self._watchers.wake_all()  # what came before
            while not connection.is_closed():
                await asyncio.sleep(CHECK_SECONDS)
                await connection.fetchval("SELECT 1", timeout=LISTEN_TIMEOUT_SECONDS)
        finally:
            with suppress(Exception):
                await connection.close(timeout=LISTEN_TIMEOUT_SECONDS)

    def _heard(self, _connection: object, _pid: int, _channel: str, payload: str) -> None:
        if payload:
            self._watchers.wake(payload.split(" "))
        else:
            self._watchers.wake_all()


def _arrivals(found: Sequence[Arrival]) -> dict[UUID, datetime]:
    return {one.stored.message.message_id: one.arrived_at for one in found}
