"""The messages that notify would send to telephones: on this machine they are files that a developer reads."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from gongji_local.clock import wait_until
from gongji_local.errors import StackError

_CODE: Final = re.compile(r"(?<!\d)\d{6}(?!\d)")
POLL_SECONDS: Final = 0.01


@dataclass(frozen=True, slots=True)
class Message:
    """One message to one telephone."""

    verification_id: str
    tel: str = field(repr=False)
    text: str = field(repr=False)
    written_at: datetime

    @property
    def code(self) -> str:
        """The one-time code that the text tells."""
        found = _CODE.search(self.text)
        if found is None:
            raise StackError(
                f"The message of verification {self.verification_id} has no code.", "Read it: `gongji-local sms`."
            )
        return found[0]


class SmsFolder:
    """Where notify writes them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def newest_first(self) -> list[Message]:
        """All messages."""
        return sorted(self._messages(), key=lambda message: message.written_at, reverse=True)

    def wait_for(self, verification_id: str, timeout_seconds: float) -> Message:
        """The message of a verification, once it is there; raises StackError if it does not come."""
        path = self._folder / f"{verification_id}.json"
        if not wait_until(path.exists, timeout_seconds, POLL_SECONDS):
            raise StackError(
                f"No code of verification {verification_id} came within {timeout_seconds:g} s.",
                "Look at `gongji-local status` and at the log of notify.",
            )
        return _read(path)

    def _messages(self) -> Iterator[Message]:
        for path in self._folder.glob("*.json"):
            yield _read(path)


def _read(path: Path) -> Message:
    stated = json.loads(path.read_text(encoding="utf-8"))
    delivery_id, address, body = (stated[name] for name in ("delivery_id", "address", "body"))
    written_at = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    return Message(delivery_id, address, body, written_at)
