"""The access log: who was told what about whom."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol
from uuid import UUID

RECOGNISED = "RECOGNISED"
"""The outcome of an access that was not refused."""


@dataclass(frozen=True, slots=True)
class Access:
    """One line of the access log: who was told what about whom, or was refused."""

    occurred_at: datetime
    caller: str
    """Principal, and the person behind it if there is one."""
    operation: Literal["IDENTIFY", "GET_PERSON"]
    means: str
    """mdtrt_cert_type that was shown, or the way the caller is entitled."""
    outcome: str
    """RECOGNISED, or the reason of the refusal."""
    request_id: str
    psn_no: str | None = None
    """None if nobody was recognised."""
    jti: UUID | None = None
    """Of the visit credential that was given out."""


class AccessRows(Protocol):
    """The access log in one transaction."""

    async def log_access(self, access: Access) -> None:
        """Append to the access log."""
        ...
