"""One-time codes: until when one is worth sending, and what the message to the telephone says."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Final
from uuid import UUID

from notify.domain.wording import moment

TEMPLATE: Final = "verification-code"
"""The name of the text; its parameters are `params_of`."""


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


def text_of(issued: IssuedCode) -> str:
    """The message."""
    until = moment(issued.expires_at)
    return (
        f"【家庭共济】您的{issued.purpose.value}验证码为{issued.code}，{until}前有效。"
        "请勿告知任何人；如非本人操作，请不予理会。"
    )


def params_of(issued: IssuedCode) -> dict[str, str]:
    """What a gateway fills into its template, in the template's order."""
    return {"purpose": issued.purpose.value, "code": issued.code, "until": moment(issued.expires_at)}
