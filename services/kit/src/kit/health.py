"""What a process knows about its own state, for probes and operators."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

import structlog

from kit.clock import Elapsed
from kit.failures import OperatorError

HEARTBEAT_SECONDS = 0.5
HEARTBEAT_LIMIT_SECONDS = 10.0

_log = structlog.get_logger()


class NotWell(OperatorError):
    """What a probe found, in words for the operator; calls can be answered all the same if it is not `serving`."""

    def __init__(self, why: str, *, serving: bool = True) -> None:
        super().__init__(why)
        self.serving = serving


@dataclass(frozen=True, slots=True)
class Check:
    """The last word on one thing that has to work."""

    ok: bool
    why: str
    """For the operator; never personal data."""
    vital: bool
    """Whether only a restart helps when it is not ok."""
    serving: bool = True
    """Whether calls need it. What they do not need is told, and takes nobody out of service (ADR 12)."""
    since: Elapsed = field(default_factory=Elapsed)
    """How long it has been so."""


class Health:
    """The checks of one process. Any thread may ask; the answers do not depend on the event loop being alive.

    The event loop proves that it turns by `beat()`; if the last beat is older than `heartbeat_limit_seconds`, the
    process is neither live nor ready.
    """

    def __init__(self, heartbeat_limit_seconds: float = HEARTBEAT_LIMIT_SECONDS) -> None:
        self._limit_seconds = heartbeat_limit_seconds
        self._last_beat = Elapsed()
        self._checks: dict[str, Check] = {}
        self._started = False
        self._lock = threading.Lock()

    def set(self, name: str, ok: bool, why: str = "", *, vital: bool = False, serving: bool = True) -> None:  # noqa: FBT001 - the state is the point
        """Record how `name` is. A vital check that fails also fails liveness: only a restart helps.

        One that is neither `vital` nor `serving` fails neither probe; it makes the process degraded.
        """
        with self._lock:
            before = self._checks.get(name)
            now = Check(ok=ok, why=why, vital=vital, serving=serving)
            self._checks[name] = replace(now, since=before.since) if before and before.ok == ok else now

    def checks(self) -> dict[str, Check]:
        """Every check as it is now, the event loop's heartbeat among them."""
        with self._lock:
            known = dict(self._checks)
        return {"event_loop": self._heartbeat(), **known}

    def say_started(self) -> None:
        """Every part has been started."""
        self._started = True

    def started(self) -> bool:
        """Whether every part has been started once; what is lost later, and stopping, do not undo it."""
        return self._started

    def live(self) -> bool:
        """Whether going on makes sense: the loop turns and nothing vital is broken."""
        return all(check.ok or not check.vital for check in self.checks().values())

    def ready(self) -> bool:
        """Whether calls may be sent here: something has reported, and everything that calls need is well."""
        checks = self.checks()
        return len(checks) > 1 and all(check.ok for check in checks.values() if check.serving or check.vital)

    def degraded(self) -> list[str]:
        """What is not well and does not keep calls from being answered, by name."""
        checks = self.checks()
        return sorted(name for name, check in checks.items() if not (check.ok or check.serving or check.vital))

    def _heartbeat(self) -> Check:
        age_seconds = self._last_beat.seconds
        why = f"the last heartbeat is {age_seconds:.1f} s old"
        return Check(ok=age_seconds <= self._limit_seconds, why=why, vital=True, since=self._last_beat)

    async def beat(self) -> None:
        """Keep the heart beating until cancelled; run as a task of the loop that is watched."""
        while True:
            self._last_beat.restart()
            await asyncio.sleep(HEARTBEAT_SECONDS)

    async def watch(
        self,
        name: str,
        probe: Callable[[], Awaitable[object]],
        *,
        every_seconds: float = 5.0,
        timeout_seconds: float = 2.0,
    ) -> None:
        """Ask `probe` again and again until cancelled; an exception or a time-out means not ok."""
        while True:
            await self.ask(name, probe, timeout_seconds=timeout_seconds)
            await asyncio.sleep(every_seconds)

    async def ask(self, name: str, probe: Callable[[], Awaitable[object]], *, timeout_seconds: float = 2.0) -> None:
        """Ask `probe` once and record the answer under `name`; a change is a line of the log, what stays is none."""
        before = self._checks.get(name)
        try:
            async with asyncio.timeout(timeout_seconds):
                await probe()
        except NotWell as error:
            self.set(name, False, str(error), serving=error.serving)
        except OperatorError as error:
            self.set(name, False, str(error))
        except TimeoutError:
            self.set(name, False, f"no answer within {timeout_seconds:g} s")
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the answer
            # The type only: messages of drivers name hosts, users and sometimes values.
            self.set(name, False, f"{type(error).__name__} when asked")
        else:
            self.set(name, True)
        _tell(name, before, self._checks.get(name))


def _tell(name: str, before: Check | None, now: Check | None) -> None:
    """The line of a change; only what takes the process out of service is an error."""
    if now is None or _same(before, now):
        return
    if not now.ok:
        say = _log.error if now.serving else _log.warning
        say("not ready" if now.serving else "degraded", check=name, why=now.why)
    elif before is not None:
        _log.info("well again", check=name, seconds=round(before.since.seconds, 1))


def _same(before: Check | None, now: Check) -> bool:
    if before is None or before.ok or now.ok:
        return (before is None or before.ok) == now.ok
    return before.serving == now.serving
