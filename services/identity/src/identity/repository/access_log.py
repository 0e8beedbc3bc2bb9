"""The access log: who was told what about whom."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Protocol
from uuid import UUID

RECOGNISED = "RECOGNISED"
"""The outcome of an access that was not refused."""


class Operation(StrEnum):
    """What was asked for."""

    IDENTIFY = "IDENTIFY"
    GET_PERSON = "GET_PERSON"
    FIND_PERSON = "FIND_PERSON"
    VIEW_ENROLMENTS = "VIEW_ENROLMENTS"
    VIEW_REMOTE_CARE = "VIEW_REMOTE_CARE"
    LIST_ACCESS = "LIST_ACCESS"
    START_VERIFICATION = "START_VERIFICATION"
    REGISTER_PERSON = "REGISTER_PERSON"
    PURGE = "PURGE"
    """Lines whose time is over were dropped; written by the database itself."""


@dataclass(frozen=True, slots=True)
class Access:
    """One line of the access log: who was told what about whom, or was refused."""

    occurred_at: datetime
    caller: str
    """Principal, and the person behind it if there is one."""
    operation: Operation
    means: str
    """mdtrt_cert_type that was shown, or the way the caller is entitled."""
    outcome: str
    """RECOGNISED, or the reason of the refusal."""
    request_id: str
    psn_no: str | None = None
    """None if nobody was recognised."""
    jti: UUID | None = None
    """Of the visit credential that was given out."""
    stated_reason: str = ""
    """Why, in the caller's words; empty if none were asked for."""

    def because(self, stated_reason: str) -> "Access":
        """The line with what the caller states as the reason."""
        return replace(self, stated_reason=stated_reason)


@dataclass(frozen=True, slots=True)
class LoggedAccess:
    """A line as it is kept."""

    line_id: int
    """Rises with every line."""
    access: Access


@dataclass(frozen=True, slots=True)
class AccessFilter:
    """Which lines are wanted; None does not choose."""

    psn_no: str | None = None
    caller: str | None = None
    since: datetime | None = None
    """Included."""
    until: datetime | None = None
    """Not included."""


class AccessRows(Protocol):
    """The access log in one transaction."""

    async def log_access(self, access: Access) -> None:
        """Append to the access log."""
        ...

    async def accesses_logged(self, wanted: AccessFilter, before: int | None, limit: int) -> Sequence[LoggedAccess]:
        """Lines, newest first; `before` a line, or from the newest."""
        ...
