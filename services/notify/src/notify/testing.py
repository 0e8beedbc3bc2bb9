"""Builders for notify's tests."""

import base64
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import uuid4

from kit.clock import FixedClock
from kit.crypto import KeyRing
from kit.db import Work
from kit.testing import MemoryWork
from notify.channels.port import Accepted, Adapter, Outgoing, UndeliveredError
from notify.code_codec import CodeOpener
from notify.codes import CodeService
from notify.domain.facts import Credited
from notify.domain.notices import Category, Worded
from notify.memory import MemoryRepository
from notify.rendering import Texts
from notify.repository import NewMessage, Repository
from notify.service import MessageService, Told
from notify.subscriber import Subscriber

TEXTS: Final = Texts()
AT: Final = datetime(2025, 6, 10, 2, 0, tzinfo=UTC)


def keyring() -> KeyRing:
    """A ring with one key that protects nothing."""
    key = base64.b64encode(b"k" * 32).decode()
    return KeyRing.from_json(
        {"active": "k1", "keys": {"k1": {"algorithm": "AES-256-GCM", "key": key}}, "blind_index_key": key}
    )


def code_ring() -> KeyRing:
    """The ring that the golden example of VerificationCodeIssued was sealed with; identity's tests have the same."""
    key = base64.b64encode(b"s" * 32).decode()
    keys = {"s1": {"algorithm": "AES-256-GCM", "key": key}}
    return KeyRing.from_json({"active": "s1", "keys": keys, "blind_index_key": key})


class Postbox:
    """An adapter that keeps what it is given, or fails as it is told to."""

    def __init__(self) -> None:
        self.sent: list[Outgoing] = []
        self.failure: UndeliveredError | None = None

    async def send(self, outgoing: Outgoing) -> Accepted:
        """See `Adapter.send`."""
        if self.failure is not None:
            raise self.failure
        self.sent.append(outgoing)
        return Accepted(provider_id=f"p-{outgoing.delivery_id}", awaits_receipt=True)


def subscriber(
    service: MessageService, work: Work[Repository] | None = None, adapter: Adapter | None = None
) -> Subscriber:
    """The handler of the consumer group, at five minutes before the codes of these tests run out."""
    backend: Work[Repository] = work or MemoryWork(MemoryRepository())
    return Subscriber(
        service, CodeService(backend, adapter or Postbox(), FixedClock(AT), TEXTS), CodeOpener(code_ring())
    )


def credited(psn_no: str = "1001", minutes: int = 0, amount_fen: int = 100) -> Told:
    """A contribution, so many minutes after AT."""
    at = AT + timedelta(minutes=minutes)
    return Told(uuid4(), at, Credited(psn_no, amount_fen, amount_fen, at))


def message(psn_no: str = "1001", minutes: int = 0) -> NewMessage:
    """A message about something so many minutes after AT."""
    notice = Worded(psn_no, Category.BALANCE, "个人账户入账提醒", "正文。")
    return NewMessage(uuid4(), uuid4(), AT + timedelta(minutes=minutes), notice)
