"""Builders for notify's tests."""

import base64
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import uuid4

from kit.crypto import KeyRing
from notify.domain.facts import Credited
from notify.domain.texts import Category, Notice
from notify.repository import NewMessage
from notify.service import Told

AT: Final = datetime(2025, 6, 10, 2, 0, tzinfo=UTC)


def keyring() -> KeyRing:
    """A ring with one key that protects nothing."""
    key = base64.b64encode(b"k" * 32).decode()
    return KeyRing.from_json(
        {"active": "k1", "keys": {"k1": {"algorithm": "AES-256-GCM", "key": key}}, "blind_index_key": key}
    )


def credited(psn_no: str = "1001", minutes: int = 0, amount_fen: int = 100) -> Told:
    """A contribution, so many minutes after AT."""
    at = AT + timedelta(minutes=minutes)
    return Told(uuid4(), at, Credited(psn_no, amount_fen, amount_fen, at))


def message(psn_no: str = "1001", minutes: int = 0) -> NewMessage:
    """A message about something so many minutes after AT."""
    notice = Notice(psn_no, Category.BALANCE, "个人账户入账提醒", "正文。")
    return NewMessage(uuid4(), uuid4(), AT + timedelta(minutes=minutes), notice)
