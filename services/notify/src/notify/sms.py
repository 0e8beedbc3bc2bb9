"""The port to telephones, and what stands in for a region's own message service until it is plugged in here."""

import asyncio
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol
from uuid import UUID

_PRIVATE: Final = 0o600


class SmsUndelivered(Exception):
    """The message did not go out; says why, and never what it says or to whom."""


@dataclass(frozen=True, slots=True)
class Sms:
    """One message to one telephone. Neither is ever printed."""

    verification_id: UUID
    """Where a message service takes an idempotency key, this is it."""
    tel: str = field(repr=False)
    text: str = field(repr=False)


class SmsChannel(Protocol):
    """Sends a message to a telephone."""

    async def send(self, sms: Sms) -> None:
        """Send it.

        Raises:
            SmsUndelivered: it did not go out.
        """
        ...


class FileSms:
    """Writes each message into a folder, as `<verification_id>.json`, for developers and tests; not for production."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def send(self, sms: Sms) -> None:
        """See `SmsChannel.send`."""
        try:
            await asyncio.to_thread(self._write, sms)
        except OSError as error:
            raise SmsUndelivered(f"the folder does not take it ({type(error).__name__})") from error

    def _write(self, sms: Sms) -> None:
        content = {"verification_id": str(sms.verification_id), "tel": sms.tel, "text": sms.text}
        path = self._folder / f"{sms.verification_id}.json"
        draft = path.with_suffix(".draft")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _PRIVATE), "w", encoding="utf-8") as file:
            json.dump(content, file, ensure_ascii=False, indent=2)
        draft.replace(path)  # whoever waits for the file reads all of it


class NoSms:
    """Sends nothing: the log says that a code was not sent, and neither code nor telephone."""

    async def send(self, sms: Sms) -> None:
        """See `SmsChannel.send`."""
        del sms
        raise SmsUndelivered("no message service is configured")
