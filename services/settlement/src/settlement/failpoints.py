"""Where a process can be made to stand still or die between two steps of settling; for tests of crashes.

`GONGJI_FAILPOINTS=after_authorize=pause,after_commit=exit` is taken only where ENVIRONMENT is local or test. Without it
reaching a boundary is an empty call.
"""

import asyncio
import os
from collections.abc import Mapping
from enum import StrEnum

from kit.observability import get_logger

EXIT_STATUS = 137
"""As if killed with -9: nothing is closed, rolled back or flushed by this process."""


class Boundary(StrEnum):
    """The boundaries between steps."""

    AFTER_INTENT = "after_intent"
    """PENDING is committed, binding has not been asked."""
    AFTER_AUTHORIZE = "after_authorize"
    """Binding holds, nothing is paid."""
    BEFORE_COMMIT = "before_commit"
    """Everything is written, the second transaction is open."""
    AFTER_COMMIT = "after_commit"
    """Paid, the caller has no answer."""


class Action(StrEnum):
    """What happens at a boundary."""

    PAUSE = "pause"
    """Stand still until the process is killed."""
    EXIT = "exit"
    """Die at once."""


class UnknownFailpointError(ValueError):
    """The setting names a boundary or an action that there is not."""


def parse(text: str) -> Mapping[Boundary, Action]:
    """What `boundary=action,…` says.

    Raises:
        UnknownFailpointError: a boundary or an action is unknown.
    """
    points = {}
    for part in filter(None, text.split(",")):
        boundary, _, action = part.strip().partition("=")
        try:
            points[Boundary(boundary)] = Action(action)
        except ValueError:
            known = f"{', '.join(Boundary)} = {' or '.join(Action)}"
            raise UnknownFailpointError(f"{part!r} is no failpoint; there are: {known}") from None
    return points


class Failpoints:
    """What to do at which boundary; by default nothing at any."""

    def __init__(self, points: Mapping[Boundary, Action] | None = None) -> None:
        self._points = points or {}

    async def reach(self, boundary: Boundary) -> None:
        """The work under way has come to this boundary."""
        if not self._points or (action := self._points.get(boundary)) is None:
            return
        get_logger().warning("failpoint", boundary=str(boundary), action=str(action))
        if action is Action.EXIT:
            os._exit(EXIT_STATUS)
        await asyncio.Event().wait()
