"""Messages as files, for developers and tests; and what stands where a channel has no adapter."""

import asyncio
import json
import os
from pathlib import Path
from typing import Final

from notify.channels.port import Accepted, Outgoing, UndeliveredError

_PRIVATE: Final = 0o600


class FileAdapter:
    """Writes each message into a folder, as `<delivery_id>.json`; not for production."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def send(self, outgoing: Outgoing) -> Accepted:
        """See `Adapter.send`."""
        try:
            await asyncio.to_thread(self._write, outgoing)
        except OSError as error:
            why = f"the folder does not take it ({type(error).__name__})"
            raise UndeliveredError(why, is_final=False) from error
        return Accepted(provider_id=outgoing.delivery_id.hex, awaits_receipt=False)

    def _write(self, outgoing: Outgoing) -> None:
        path = self._folder / f"{outgoing.delivery_id}.json"
        draft = path.with_suffix(".draft")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _PRIVATE), "w", encoding="utf-8") as file:
            json.dump(_content(outgoing), file, ensure_ascii=False, indent=2)
        draft.replace(path)  # whoever waits for the file reads all of it


class NoAdapter:
    """Sends nothing and says so: neither to whom nor what."""

    async def send(self, outgoing: Outgoing) -> Accepted:
        """See `Adapter.send`."""
        raise UndeliveredError(f"no adapter is configured for {outgoing.channel.value}", is_final=True)


def _content(outgoing: Outgoing) -> dict[str, object]:
    return {
        "delivery_id": str(outgoing.delivery_id),
        "channel": outgoing.channel.value,
        "address": outgoing.address,
        "title": outgoing.title,
        "body": outgoing.body,
        "template": outgoing.template,
        "language": outgoing.language,
        "params": dict(outgoing.params),
    }
