"""A one-time code to the telephone on file: who needs one, how long it lives, how often it may be tried."""

import hmac
import secrets
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

from identity.domain.person import Person
from identity.domain.refusals import IdentityRefusal

LIFETIME: Final = timedelta(minutes=5)
MOST_TRIES: Final = 5
CODE_DIGITS: Final = 6
_SHOWN_DIGITS: Final = 4


class Purpose(StrEnum):
    """What a code is for; one for something is good for nothing else."""

    REGISTRATION = "REGISTRATION"


class CodeRequired(IdentityRefusal):
    """An adult registers in person, and that is shown by the telephone on file."""

    reason = "CODE_REQUIRED"
    message = "an adult registers with the code that StartVerification sends to the telephone on file"


class PhoneMissing(IdentityRefusal):
    """There is no telephone to send a code to."""

    reason = "PHONE_MISSING"
    message = "no telephone is on file; have it entered at the counter (经办窗口), then start again"


class VerificationInvalid(IdentityRefusal):
    """The verification is unknown, somebody else's, used, tried too often or run out; which of them is not told."""

    reason = "VERIFICATION_INVALID"
    message = "the verification is unknown, used, tried too often or run out; start a new one"


@dataclass(frozen=True, slots=True)
class Verification:
    """One code, from being sent to being used, tried too often or running out."""

    verification_id: UUID
    psn_no: str
    """Whose telephone it went to."""
    purpose: Purpose
    caller: str
    """Who started it; nobody else can use it."""
    code_index: bytes = field(repr=False)
    """A keyed hash of the code."""
    expires_at: datetime
    wrong_tries: int = 0
    used_at: datetime | None = None

    def is_open(self, now: datetime) -> bool:
        """Whether a code may still be shown for it."""
        return self.used_at is None and self.wrong_tries < MOST_TRIES and now < self.expires_at


class CodeWrong(IdentityRefusal):
    """The code is another one. Carries the verification as it is afterwards, which has to be kept."""

    reason = "CODE_WRONG"
    message = "the code is not the one that was sent"

    def __init__(self, after: Verification) -> None:
        super().__init__(metadata={"tries_left": str(MOST_TRIES - after.wrong_tries)})
        self.after = after


def use(
    verification: Verification | None,
    code_index: bytes,
    now: datetime,
    *,
    purpose: Purpose,
    psn_no: str,
    caller: str,
) -> Verification:
    """The verification, used up, if it is this person's and this caller's and the code is the one that was sent.

    Args:
        verification: of the id that was shown, if there is one.
        code_index: the keyed hash of the code that was shown.
        now: the present, aware.
        purpose: what the caller wants to do.
        psn_no: for whom.
        caller: who wants it.

    Raises:
        VerificationInvalid: it cannot be used, whatever the code.
        CodeWrong: it can, but not with this code.
    """
    wanted = (purpose, psn_no, caller)
    if verification is None or (verification.purpose, verification.psn_no, verification.caller) != wanted:
        raise VerificationInvalid
    if not verification.is_open(now):
        raise VerificationInvalid
    if not hmac.compare_digest(verification.code_index, code_index):
        raise CodeWrong(replace(verification, wrong_tries=verification.wrong_tries + 1))
    return replace(verification, used_at=now)


def needs_code(person: Person, caller_psn_no: str | None, today: date) -> bool:
    """Whether the caller has to show a code to register this person.

    A minor is registered by a registered adult, who has shown one before; somebody who is logged in as the registered
    person that they are needs none to hear so again.
    """
    if person.is_minor(today) or caller_psn_no not in {None, person.psn_no}:
        return False
    return caller_psn_no is None or person.registration is None


def new_code() -> str:
    """Six random digits."""
    return f"{secrets.randbelow(10**CODE_DIGITS):0{CODE_DIGITS}}"


def masked_tel(tel: str) -> str:
    """The number as its owner recognises it: `*******0000`; of a short one, a third."""
    shown = min(_SHOWN_DIGITS, (len(tel) + 1) // 3)
    return "*" * (len(tel) - shown) + tel[len(tel) - shown :]
