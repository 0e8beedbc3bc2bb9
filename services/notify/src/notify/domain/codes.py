"""One-time codes: what they are for, and until when one is worth sending."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Final
from uuid import UUID

TEMPLATE: Final = "verification-code"
"""The name of the text."""


class Purpose(Enum):
    """What a code is for; the value is how the message says it."""

    REGISTRATION = "实名注册"
    CONTACT = "联系方式"
    OTHER = "身份核验"


@dataclass(frozen=True, slots=True)
class IssuedCode:
    """A code that identity made, with the telephone it is for."""

    verification_id: UUID
    psn_no: str
    purpose: Purpose
    expires_at: datetime
    tel: str = field(repr=False)
    code: str = field(repr=False)


def is_stale(expires_at: datetime, now: datetime) -> bool:
    """Whether the code is good for nothing any more: a topic that is read again must send nobody an old code."""
    return now >= expires_at
