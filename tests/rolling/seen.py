"""What clients saw of their calls: how many, how long, and which failed for a reason that is none of the caller's."""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import grpc

from kit.clock import Elapsed

FAILED_CODES: Final = frozenset(
    {"CANCELLED", "UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}
    | {"RESOURCE_EXHAUSTED", "UNAUTHENTICATED"}
)
"""What no caller should see because a process is replaced; all others say something about the request."""
FAILED_REASONS: Final = frozenset({"UNAVAILABLE", "INTERNAL", "DEADLINE_EXCEEDED", "OVERLOADED", "ABANDONED"})
"""The same of one item of a batch or a stream, and of settlements that were given up."""
_SHOWN: Final = 5
_ERROR_ID: Final = re.compile(r"\b[0-9a-f]{32}\b")
"""Each failure has one of its own, and is the same failure."""


@dataclass(slots=True)
class Tally:
    """Calls of one stretch of time."""

    calls: Counter[str] = field(default_factory=Counter)
    """By method."""
    failed: Counter[str] = field(default_factory=Counter)
    """By method, code and details."""
    reopened: int = 0
    """Streams that a stopping process ended, as it says that it does, and that went on elsewhere."""
    longest_seconds: float = 0.0

    def saw(self, method: str, code: str, details: str, seconds: float) -> None:
        """One call has ended."""
        self.calls[method] += 1
        self.longest_seconds = max(self.longest_seconds, seconds)
        if code in FAILED_CODES:
            self.failed[f"{method}: {code} {_ERROR_ID.sub('…', details)[:160]}"] += 1

    def saw_reason(self, what: str, reason: str | None) -> None:
        """What was sent was refused with this."""
        if reason in FAILED_REASONS:
            self.failed[f"{what}: {reason}"] += 1

    @property
    def count(self) -> int:
        """All calls."""
        return self.calls.total()

    def by_service(self) -> dict[str, int]:
        """Calls by service."""
        found = Counter[str]()
        for method, count in self.calls.items():
            found[method.split(".")[1]] += count
        return dict(found)

    def told(self) -> list[str]:
        """Every kind of failure, the most frequent first."""
        return [f"{count} × {what}" for what, count in self.failed.most_common(_SHOWN)]


class Watching(grpc.aio.UnaryUnaryClientInterceptor):
    """Tells a tally of every call with one answer; which tally may change meanwhile."""

    def __init__(self, tally: Callable[[], Tally]) -> None:
        self._tally = tally

    async def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        elapsed = Elapsed()
        call = await continuation(client_call_details, request)
        code, details = await call.code(), await call.details()
        method = client_call_details.method
        name = method.decode() if isinstance(method, bytes) else str(method)
        self._tally().saw(name.removeprefix("/"), code.name, details or "", elapsed.seconds)
        return call
