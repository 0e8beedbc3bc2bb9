"""How far an audit has come, for whoever waits for it."""

from collections.abc import Callable

from kit.clock import Elapsed
from settlement.audit import Result

EVERY_SECONDS = 5.0


class Progress:
    """Tells now and then what is looked at; of an audit that takes a moment it tells nothing.

    Args:
        tell: takes a line.
        elapsed: how long it has been, since the start.
    """

    def __init__(self, tell: Callable[[str], None], elapsed: Elapsed) -> None:
        self._tell = tell
        self._elapsed = elapsed
        self._next_seconds = EVERY_SECONDS

    def watch(self, so_far: Result) -> None:
        """See `settlement.audit.Watch`."""
        if self._elapsed.seconds >= self._next_seconds:
            looked_at = f"{so_far.looked_at:,} looked at, {so_far.found:,} findings"
            self._tell(f"{self._elapsed.seconds:5.0f} s  {so_far.name}: {looked_at}")
            self._next_seconds = self._elapsed.seconds + EVERY_SECONDS
