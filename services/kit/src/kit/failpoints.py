"""Where a process can be made to stand still or die between two steps of a settlement; for tests of crashes.

`GONGJI_FAILPOINTS=after_authorize=pause,after_commit=exit` is taken only where ENVIRONMENT is local or test. Without it
reaching a boundary is an empty call. SIGCONT lets go what stands still, and nothing stands still any more. A process
reaches those boundaries that are of its own steps.
"""

import asyncio
import os
import signal
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from kit.config import DatabaseSettings
from kit.observability import get_logger

EXIT_STATUS = 137
"""As if killed with -9: nothing is closed, rolled back or flushed by this process."""


class Boundary(StrEnum):
    """The boundaries between steps, in all processes that take part."""

    AFTER_INTENT = "after_intent"
    """Settlement: PENDING is committed, binding has not been asked."""
    AFTER_HOLD = "after_hold"
    """Binding: what payers may give is held, settlement has no answer."""
    AFTER_AUTHORIZE = "after_authorize"
    """Settlement: binding holds, nothing is paid."""
    BEFORE_COMMIT = "before_commit"
    """Settlement: everything is written, the second transaction is open."""
    AFTER_COMMIT = "after_commit"
    """Settlement: paid, the caller has no answer."""
    AFTER_PUBLISH = "after_publish"
    """Settlement's relay: Kafka has the events, which are still unsent here."""


class Action(StrEnum):
    """What happens at a boundary."""

    PAUSE = "pause"
    """Stand still until SIGCONT, or for good: that work alone, the rest of the process goes on."""
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
        self._go = asyncio.Event()

    async def reach(self, boundary: Boundary) -> None:
        """The work under way has come to this boundary."""
        if not self._points or (action := self._points.get(boundary)) is None:
            return
        get_logger().warning("failpoint", boundary=str(boundary), action=str(action))
        if action is Action.EXIT:
            os._exit(EXIT_STATUS)
        asyncio.get_running_loop().add_signal_handler(signal.SIGCONT, self._let_go)
        await self._go.wait()

    def _let_go(self) -> None:
        self._points = {}
        self._go.set()


def _known(value: str) -> str:
    try:
        parse(value)
    except UnknownFailpointError as error:
        raise PydanticCustomError("refused", "{what}", {"what": f"is not acceptable: {error}"}) from None
    return value


class FailpointSettings(DatabaseSettings):
    """The setting, for a service that has boundaries."""

    failpoints: Annotated[str, AfterValidator(_known)] = Field(
        default="",
        description="Where this process stands still or dies, for tests of crashes; see kit/failpoints.py.",
        examples=["after_authorize=pause"],
    )

    @field_validator("failpoints")
    @classmethod
    def _only_in_tests(cls, value: str, info: ValidationInfo) -> str:
        if value and info.data.get("environment") not in {"local", "test"}:
            raise PydanticCustomError("refused", "{what}", {"what": "must be empty outside local and test"})
        return value

    @property
    def points(self) -> Failpoints:
        """Where this process stands still or dies."""
        return Failpoints(parse(self.failpoints))
