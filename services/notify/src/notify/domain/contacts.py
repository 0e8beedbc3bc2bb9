"""A person's contacts (联系方式): an address is used once a one-time code that went there has come back.

A person has at most one verified contact for each channel, and at most one that waits for its code beside it: verifying
that one takes the place of the other, so that nobody is left unreachable by a typing error.
"""

import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import Final
from uuid import UUID

from notify.domain.channels import Channel
from notify.domain.refusals import NotifyRefusal

CODE_LIFETIME: Final = timedelta(minutes=10)
"""Longer than for a telephone alone: mail may take a while."""
MOST_TRIES: Final = 5
CODE_DIGITS: Final = 6


class ContactState(Enum):
    """Where a contact stands; it moves only forward."""

    UNVERIFIED = "UNVERIFIED"
    """A code went there; nothing else does."""
    VERIFIED = "VERIFIED"
    REMOVED = "REMOVED"
    """By the person, or because another took its place. The address is gone."""


@dataclass(frozen=True, slots=True)
class Contact:
    """One address of one person."""

    contact_id: UUID
    psn_no: str
    channel: Channel
    address: str = field(repr=False)
    """In its one form; empty once removed."""
    state: ContactState
    created_at: datetime
    verified_at: datetime | None = None

    def removed(self) -> "Contact":
        """The contact without its address, for good."""
        return replace(self, state=ContactState.REMOVED, address="")


@dataclass(frozen=True, slots=True)
class ContactCode:
    """One code that goes to a contact; a newer one for the same contact takes its place."""

    code_id: UUID
    contact_id: UUID
    psn_no: str
    code_index: bytes = field(repr=False)
    """A keyed hash of the code."""
    created_at: datetime
    expires_at: datetime
    wrong_tries: int = 0
    is_open: bool = True
    """Whether it was neither used nor replaced."""

    def can_be_tried(self, now: datetime) -> bool:
        """Whether the right code would still be taken."""
        return self.is_open and self.wrong_tries < MOST_TRIES and now < self.expires_at


class ContactNotFound(NotifyRefusal):
    """The person has no such contact; also what is told of somebody else's."""

    reason = "NOT_FOUND"
    message = "there is no such contact"


class CodeInvalid(NotifyRefusal):
    """No code can be shown for the contact; which of the reasons it is, is not told."""

    reason = "VERIFICATION_INVALID"
    message = "the code was used, replaced, tried too often or has run out; add the contact again for a new one"


class CodeWrong(NotifyRefusal):
    """The code is another one. Carries the code as it is afterwards, which has to be kept."""

    reason = "CODE_WRONG"
    message = "the code is not the one that was sent"

    def __init__(self, after: ContactCode) -> None:
        super().__init__({"tries_left": str(MOST_TRIES - after.wrong_tries)})
        self.after = after


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be kept of a step."""

    contact: Contact
    removed: tuple[Contact, ...] = ()
    """Those whose place it takes, as they are afterwards."""


def add(contacts: Sequence[Contact], wanted: Contact) -> Change:
    """The contact that the code goes to: the one that is there under that address, or else the new one.

    Args:
        contacts: the person's own that are not removed.
        wanted: the new one, unverified.
    """
    beside = [one for one in contacts if one.channel is wanted.channel]
    known = next((one for one in beside if one.address == wanted.address), None)
    if known is not None:
        return Change(known)
    return Change(wanted, tuple(one.removed() for one in beside if one.state is ContactState.UNVERIFIED))


def verify(contacts: Sequence[Contact], contact_id: UUID, now: datetime) -> Change:
    """The contact, verified, in the place of the one before.

    Raises:
        ContactNotFound: it is none of the person's.
    """
    contact = find(contacts, contact_id)
    others = [one for one in contacts if one.channel is contact.channel and one.contact_id != contact_id]
    before = (one for one in others if one.state is ContactState.VERIFIED)
    verified = replace(contact, state=ContactState.VERIFIED, verified_at=now)
    return Change(verified, tuple(one.removed() for one in before))


def find(contacts: Sequence[Contact], contact_id: UUID) -> Contact:
    """One of the person's contacts.

    Raises:
        ContactNotFound: it is none of them.
    """
    found = next((one for one in contacts if one.contact_id == contact_id), None)
    if found is None:
        raise ContactNotFound
    return found


def use(code: ContactCode | None, code_index: bytes, now: datetime) -> ContactCode:
    """The code, used up, if the one that was shown is the one that was sent.

    Args:
        code: the newest of the contact, if there is one.
        code_index: the keyed hash of the code that was shown.
        now: the present, aware.

    Raises:
        CodeInvalid: there is none that can be used, whatever was shown.
        CodeWrong: there is, and it is another one.
    """
    if code is None or not code.can_be_tried(now):
        raise CodeInvalid
    if not hmac.compare_digest(code.code_index, code_index):
        raise CodeWrong(replace(code, wrong_tries=code.wrong_tries + 1))
    return replace(code, is_open=False)


def new_code() -> str:
    """Six random digits."""
    return f"{secrets.randbelow(10**CODE_DIGITS):0{CODE_DIGITS}}"


@dataclass(frozen=True, slots=True)
class CodeBounds:
    """How many codes may be sent within any 24 hours: each costs a message, and opens five guesses."""

    to_person: int = 10
    to_address: int = 5
    """Whoever asks for them: nobody's telephone is flooded by many persons together."""


COUNTED_WITHIN: Final = timedelta(hours=24)


class TooManyCodes(NotifyRefusal):
    """As many codes as allowed were sent, to the person or to the address."""

    reason = "TOO_MANY_ATTEMPTS"
    message = "too many codes were sent; wait as long as retry_after_seconds says, then add the contact again"

    def __init__(self, until: datetime, now: datetime) -> None:
        self.until = until
        super().__init__({"retry_after_seconds": str(max(1, -((now - until) // timedelta(seconds=1))))})


def require_bound(sent: Sequence[datetime], most: int, now: datetime) -> None:
    """Return if one more code may be sent.

    Args:
        sent: when codes were sent before, in any order. Replicas' clocks differ a little, so those that seem to lie
            ahead count as well; what is further away than 24 hours, in either direction, does not.
        most: how many there may be.
        now: the present, aware.

    Raises:
        TooManyCodes: there are as many.
    """
    recent = sorted(at for at in sent if abs(now - at) < COUNTED_WITHIN)
    if len(recent) >= most:
        raise TooManyCodes(recent[-most] + COUNTED_WITHIN, now)
