"""Doubles for unit tests: a unit of work in memory that rolls back, and a bus that delivers as badly as it may."""

import asyncio
import copy
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import is_dataclass
from typing import Any, Generic, Protocol, TypeVar, cast, runtime_checkable

import grpc

from kit.db import Database, LeavesTrace
from kit.events import Envelope, StoredEvent, headers_of, parse
from kit.inbox import MemoryInbox
from kit.outbox import MemoryOutbox
from kit.topics import Catalogue

__all__ = [
    "MemoryBus",
    "MemoryInbox",
    "MemoryOutbox",
    "MemoryWork",
    "Snapshotted",
    "eventually",
    "patient_database",
    "refusal_of",
    "until_somebody_waits",
]

POLL_SECONDS = 0.01
PATIENCE_SECONDS = 60.0

WAITS_FOR_A_LOCK = """
SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
"""

R = TypeVar("R")


async def eventually(
    condition: Callable[[], bool | Awaitable[bool]],
    *,
    timeout_seconds: float = PATIENCE_SECONDS,
    poll_seconds: float = POLL_SECONDS,
    what: str = "",
) -> None:
    """Return as soon as `condition` holds, or its awaitable does; AssertionError if not within `timeout_seconds`."""
    try:
        async with asyncio.timeout(timeout_seconds):
            while not await _holds(condition):  # noqa: ASYNC110 - what is waited for may be in another process
                await asyncio.sleep(poll_seconds)
    except TimeoutError:
        raise AssertionError(f"not within {timeout_seconds:g} s: {what or condition}") from None


async def _holds(condition: Callable[[], bool | Awaitable[bool]]) -> bool:
    answer = condition()
    return await answer if isinstance(answer, Awaitable) else answer


async def refusal_of(call: Awaitable[object]) -> grpc.aio.AioRpcError:
    """The error with which a call is refused; AssertionError if it is answered."""
    try:
        answer = await call
    except grpc.aio.AioRpcError as error:
        return error
    raise AssertionError(f"it was not refused, but answered with {answer!r}")


async def until_somebody_waits(database: Database) -> None:
    """Return as soon as a transaction on `database` waits for a lock that another has."""

    async def waits() -> bool:
        # In a transaction of its own each time: within one, the server shows the same picture again.
        async with database.transaction() as transaction:
            return bool(await transaction.raw.fetchval(WAITS_FOR_A_LOCK))

    await eventually(waits, what="somebody waits for a lock")


def patient_database(url: str, pool_size: int = 8) -> Database:
    """A database for tests of many at once: on a machine that is busy with others, nobody is refused for waiting."""
    return Database(
        url,
        pool_size,
        pool_timeout_seconds=PATIENCE_SECONDS,
        lock_timeout_seconds=PATIENCE_SECONDS,
        statement_timeout_seconds=PATIENCE_SECONDS,
    )


@runtime_checkable
class Snapshotted(Protocol):
    """State that knows how to go back; `MemoryOutbox` and `MemoryInbox` do."""

    def snapshot(self) -> object:
        """What `restore` goes back to."""
        ...

    def restore(self, snapshot: object) -> None:
        """Be again as when the snapshot was taken."""
        ...


class MemoryWork(Generic[R]):
    """Units of work on a repository in memory: one at a time, kept if the block ends well, else undone.

    The repository's attributes are its state. Dictionaries, lists and sets go back in place, so a test may hold on to
    them; what is `Snapshotted` goes back by itself; dataclasses are replaced by what they were; of anything else only
    the attribute itself goes back.
    """

    def __init__(self, repository: R) -> None:
        self.repository = repository
        self.commits = 0
        self.rollbacks = 0
        self._commit_error: BaseException | None = None
        self._one_at_a_time = asyncio.Lock()

    def fail_next_commit(self, error: BaseException) -> None:
        """Let the next unit of work roll back and raise this at its end, as a lost connection would."""
        self._commit_error = error

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[R]:
        """One unit of work."""
        async with self._one_at_a_time:
            before = _snapshot(self.repository)
            try:
                yield self.repository
                self._commit()
            except LeavesTrace:
                self.commits += 1
                raise
            except BaseException:
                _restore(self.repository, before)
                self.rollbacks += 1
                raise
            self.commits += 1

    def _commit(self) -> None:
        error, self._commit_error = self._commit_error, None
        if error is not None:
            raise error


def _attributes(repository: object) -> Mapping[str, Any]:
    slots = [name for cls in type(repository).__mro__ for name in getattr(cls, "__slots__", ())]
    slotted = {name: getattr(repository, name) for name in slots if hasattr(repository, name)}
    return {**slotted, **getattr(repository, "__dict__", {})}


def _snapshot(repository: object) -> dict[str, object]:
    return {name: _saved(value) for name, value in _attributes(repository).items()}


def _saved(value: object) -> object:
    if isinstance(value, Snapshotted):
        return value.snapshot()
    return copy.deepcopy(value) if isinstance(value, dict | list | set) or is_dataclass(value) else value


def _restore(repository: object, before: Mapping[str, object]) -> None:
    for name, value in _attributes(repository).items():
        if name not in before:
            delattr(repository, name)
        elif isinstance(value, Snapshotted):
            value.restore(before[name])
        elif not _refill(value, before[name]):
            object.__setattr__(repository, name, before[name])


def _refill(value: object, before: object) -> bool:
    if type(value) is not type(before):
        return False
    if isinstance(value, list):
        value[:] = cast("list[object]", before)
        return True
    if isinstance(value, dict | set):
        value.clear()
        value.update(cast("Any", before))
        return True
    return False


class MemoryBus:
    """A bus in memory. It takes events from outboxes and gives them to handlers, through the real headers and bytes.

    Every delivery is remembered by the test, not by the bus: deliver as often and in whatever order you like.
    """

    def __init__(self, topics: Catalogue | None = None) -> None:
        self.events: list[StoredEvent] = []
        self._topics = topics
        self._handlers: list[tuple[frozenset[str], Callable[[Sequence[Envelope]], Awaitable[None]]]] = []
        self._taken: set[object] = set()

    def subscribe(self, topics: Sequence[str], handler: Callable[[Sequence[Envelope]], Awaitable[None]]) -> None:
        """Give the events of these topics to this handler."""
        self._handlers.append((frozenset(topics), handler))

    def take(self, outbox: MemoryOutbox) -> None:
        """Put on the bus what is new in an outbox, as its relay would."""
        new = [row for row in outbox.rows if row.event_id not in self._taken]
        self._taken |= {row.event_id for row in new}
        self.events.extend(new)

    async def deliver(self, order: Sequence[int] | None = None, *, one_by_one: bool = False) -> None:
        """Deliver the events at these places, in this order; by default all, as they came. Places may repeat."""
        chosen = [self._envelope(place) for place in (range(len(self.events)) if order is None else order)]
        for topics, handler in self._handlers:
            wanted = [envelope for envelope in chosen if envelope.topic in topics]
            for batch in [[envelope] for envelope in wanted] if one_by_one else [wanted]:
                if batch:
                    await handler(batch)

    async def deliver_badly(self, seed: int, *, times: int = 2) -> None:
        """Deliver everything `times` times in a shuffled order, one by one."""
        order = [place for place in range(len(self.events)) for _ in range(times)]
        random.Random(seed).shuffle(order)  # noqa: S311 - a test's order, no secret
        await self.deliver(order, one_by_one=True)

    def _envelope(self, place: int) -> Envelope:
        row = self.events[place]
        return parse(
            headers_of(row), row.payload, key=row.key.encode(), topic=row.topic, offset=place, topics=self._topics
        )
