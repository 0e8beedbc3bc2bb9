"""What every call passes through, around the servicer's method.

In this order:

1. trace and request id: taken over from the caller or made, told back in the trailing metadata;
2. log and metrics: one line per call, never a payload;
3. principal and access: who is at the other end, and whether the table lets them;
4. deadline: required, capped (long streams by a cap of their own), and really ending the work;
5. concurrency: over the limit is refused at once;
6. contract: bytes that are a message, a message that keeps every rule (each message, for streams); then an assertion is
   used up, if the method writes, and a request with an id is answered once;
7. errors: from exceptions to rich statuses, with nothing from inside.

It is one coroutine around each method and not seven interceptors, each of which would cost another one per call.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

import grpc
from google.protobuf.message import Message
from google.rpc import status_pb2
from grpc_status import rpc_status

from kit import auth, db_errors, tracing
from kit.auth import Access, Assertion, AssertionVerifier, CallContext, Deadline, PeerIdentity, Principal
from kit.clock import Elapsed
from kit.errors import Refusal, code_name, error_info_in, to_rpc_status
from kit.grpc_handlers import Context, Handler, Read, Work, handler_of, work_of
from kit.grpc_headers import ASSERTION, REQUEST_ID, request_id_from
from kit.ids import uuid7
from kit.observability import get_logger
from kit.requests import Once
from kit.rpc_metrics import CALLS, DURATION, IN_FLIGHT, IN_FLIGHT_LIMIT
from kit.validation import Reader

_log = get_logger()

DEADLINE_CAP_SECONDS = 15.0

UseOnce = Callable[[str, Assertion], Awaitable[None]]
"""Called with the method and the assertion of every writing call that is made for a person; raises a Refusal for a used
one."""


@dataclass(frozen=True, slots=True)
class Gate:
    """Steps 3 to 5: who may come in, for how long, and how many at a time."""

    identity: PeerIdentity
    access: auth.AccessTable
    verifier: AssertionVerifier
    max_concurrent: int
    deadline_cap_seconds: float = DEADLINE_CAP_SECONDS
    use_once: UseOnce | None = None
    reading: frozenset[str] = frozenset()
    """Methods that only read: their assertions may be shown again."""
    own_caps_seconds: Mapping[str, float] = field(default_factory=dict)
    """By method, for streams that take longer than a call may."""

    def cap_seconds(self, method: str) -> float:
        """The most that a call of this method is given."""
        return self.own_caps_seconds.get(method, self.deadline_cap_seconds)


# Finding a metric by its labels costs more than counting.
_calls = cache(CALLS.labels)
_duration = cache(DURATION.labels)


class Call:
    """One call on its way through the chain."""

    __slots__ = ("_elapsed", "_log", "_method", "context", "headers", "principal", "request_id")

    def __init__(self, method: str, context: Context, log: Any) -> None:
        self._elapsed = Elapsed()
        self._log = log
        self._method = method
        self.context = context
        self.headers: dict[str, Any] = dict(context.invocation_metadata() or ())
        self.request_id = request_id_from(self.headers.get(REQUEST_ID))
        self.principal: Principal | None = None
        tracing.take_over(self.headers.get(tracing.HEADER))
        context.set_trailing_metadata(((REQUEST_ID, self.request_id),))

    def finish(self, code: str, reason: str = "", **more: object) -> None:
        """Step 2: the call's line in the log and its metrics."""
        seconds = self._elapsed.seconds
        tracing.answered(code, reason)
        kind = self.principal.kind if self.principal else "nobody"
        _calls(self._method, kind, code, reason).inc()
        _duration(self._method, kind).observe(seconds)
        self._log.info(
            "call",
            method=self._method,
            code=code,
            reason=reason,
            duration_ms=round(seconds * 1000, 2),
            principal=str(self.principal) if self.principal else "",
            request_id=self.request_id,
            **more,
        )


class Chain:
    """Wraps methods; counts the calls that are under way in all of them."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._in_flight = 0
        self._begun = 0
        self._closed = False
        self._idle = asyncio.Event()
        self._log = get_logger().bind()  # bound once: it is looked up by each call otherwise
        IN_FLIGHT.set_function(lambda: self._in_flight)
        IN_FLIGHT_LIMIT.set(gate.max_concurrent)

    def wrap(self, method: str, handler: Handler, read: Reader[Message], once: Once | None = None) -> Handler:
        """A handler of raw bytes that does all of the above around `handler`, and answers each request `once` if given.

        Raises:
            ServicerError: the servicer's method is not asynchronous.
        """
        long = handler.request_streaming and (handler.response_streaming or method in self._gate.own_caps_seconds)
        reading = self._while_open(read) if long else read
        return handler_of(
            handler, self._serve(method, work_of(method, handler, reading, partial(self._use, method), once))
        )

    def _while_open(self, read: Read) -> Read:
        """Reads messages of a long stream until this process stops: its other side would go on for long.

        The servicer meets the refusal where the next message would have come, and still answers what it took.
        """

        def read_on(raw: bytes) -> Message:
            if self._closed:
                raise Refusal(
                    "UNAVAILABLE", "this process is stopping; send what has no answer again, another takes it"
                )
            return read(raw)

        return read_on

    async def fall_quiet(self, quiet_seconds: float, at_most_seconds: float) -> None:
        """Return once no call has begun for `quiet_seconds`, or `at_most_seconds` have passed."""
        elapsed, begun = Elapsed(), -1
        while begun != self._begun and elapsed.seconds < at_most_seconds:
            begun = self._begun
            await asyncio.sleep(quiet_seconds)

    async def close(self, timeout_seconds: float) -> None:
        """Refuse new calls with `UNAVAILABLE`, and return when those under way are done or the time is up.

        gRPC's own stop would cancel new calls in a way that leaves their callers in doubt.
        """
        self._closed = True
        if self._in_flight:
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout_seconds):
                    await self._idle.wait()

    def _serve(self, method: str, work: Work) -> Work:
        access = self._gate.access.get(method)
        name = method.removeprefix("/")

        async def serve(incoming: Any, context: Context) -> bytes | None:
            self._begun += 1
            call = Call(method, context, self._log)
            bound: asyncio.Timeout | None = None
            with tracing.span(name):  # also around the answer's line in the log
                try:
                    deadline = await self._admit(call, method, access)
                    async with asyncio.timeout(deadline.seconds) as bound:
                        answer = await self._limited(work, incoming, context)
                except BaseException as error:
                    await self._fail(call, _explained(error, bound))
                    raise
                call.finish("OK")
                return answer

        return serve

    async def _admit(self, call: Call, method: str, access: Access | None) -> Deadline:
        principal = call.principal = self._gate.identity.principal(call.context)
        assertion = self._assertion(call, principal)
        if access is None:
            raise Refusal("FORBIDDEN", "this call is open to nobody")
        access.check(principal, assertion)
        deadline = self._deadline(method, call.context)
        auth.enter(CallContext(method, principal, assertion, call.request_id, deadline))
        return deadline

    async def _use(self, method: str) -> None:
        assertion = auth.current().assertion
        if assertion is not None and self._gate.use_once is not None and method not in self._gate.reading:
            await self._gate.use_once(method, assertion)

    def _assertion(self, call: Call, principal: Principal) -> Assertion | None:
        token = call.headers.get(ASSERTION)
        return None if token is None else self._gate.verifier.verify(str(token), principal)

    def _deadline(self, method: str, context: Context) -> Deadline:
        remaining_seconds, cap_seconds = context.time_remaining(), self._gate.cap_seconds(method)
        if remaining_seconds is None:
            raise Refusal("DEADLINE_REQUIRED", f"set a deadline on every call; at most {cap_seconds:g} s are given")
        return Deadline(min(remaining_seconds, cap_seconds))

    async def _limited(self, work: Work, incoming: Any, context: Context) -> bytes | None:
        if self._closed:
            raise Refusal("UNAVAILABLE", "this process is stopping; send the same again, another one takes it")
        if self._in_flight >= self._gate.max_concurrent:
            raise Refusal("OVERLOADED", "too many calls are under way; wait a little and send the same again")
        self._in_flight += 1
        try:
            return await work(incoming, context)
        finally:
            self._in_flight -= 1
            if self._closed and not self._in_flight:
                self._idle.set()

    async def _fail(self, call: Call, error: BaseException) -> None:
        """Step 7: end the call with what `error` means; returns only for errors that have to be raised on."""
        if isinstance(error, grpc.aio.AbortError):  # the servicer ended the call by its own status
            call.finish(_name(call.context.code()))
        elif isinstance(error, asyncio.CancelledError):
            call.finish("CANCELLED")
        elif isinstance(error, Exception):
            error_id = uuid7().hex
            status = to_rpc_status(error, error_id)
            info = error_info_in(status)
            reason = info.reason if info else ""
            if reason == "INTERNAL":
                _log.error("unexpected", error_id=error_id, request_id=call.request_id, exc_info=error)
                call.finish(code_name(status), reason, error_id=error_id)
            else:
                call.finish(code_name(status), reason)
            await _abort(call, status)


def _explained(error: BaseException, bound: asyncio.Timeout | None) -> BaseException:
    if isinstance(error, TimeoutError) and bound is not None and bound.expired():
        return Refusal("DEADLINE_EXCEEDED", "the deadline passed before the answer was there; ask for the outcome")
    if isinstance(error, Exception) and (refusal := db_errors.refusal_for(error)) is not None:
        # Once a call, at the least level: that the database is at fault is told once, by whoever watches it.
        _log.debug("the database is at fault", why=type(error).__name__)
        return refusal
    return error


async def _abort(call: Call, status: status_pb2.Status) -> None:
    # Aborting replaces the trailing metadata that was set before, so the request id is given again.
    rich: Any = rpc_status.to_status(status)
    metadata = ((REQUEST_ID, call.request_id), *rich.trailing_metadata)
    await call.context.abort(rich.code, rich.details, metadata)


def _name(code: object) -> str:
    return code.name if isinstance(code, grpc.StatusCode) else "UNKNOWN"
