"""Has statements drawn as PDF outside of this process: so many at once, so long at most, each of so many entries."""

import asyncio
import os
import subprocess
import sys
from dataclasses import dataclass, field
from typing import Final

from kit.errors import Refusal
from settlement.statement_sheet import Sheet

AT_ONCE: Final = 2
"""Drawings at a time; each takes a processor for up to some seconds, and up to 180 MB."""
TIMEOUT_SECONDS: Final = 50.0
"""Below the cap of ExportStatement, so that its caller hears the reason."""
_COMMAND: Final = (sys.executable, "-P", "-m", "settlement.statement_pdf")


class DrawingFailedError(Exception):
    """The process that draws ended with a mistake: a fault on our side."""


@dataclass(slots=True)
class Printing:
    """Starts `settlement.statement_pdf` for each statement."""

    timeout_seconds: float = TIMEOUT_SECONDS
    command: tuple[str, ...] = _COMMAND
    _places: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))

    async def __call__(self, sheet: Sheet) -> bytes:
        """The PDF.

        Raises:
            Refusal: OVERLOADED, as many as may be are being drawn; or this one took too long.
            DrawingFailedError: it could not be drawn.
        """
        if self._places.locked():
            raise Refusal("OVERLOADED", "other statements are being drawn just now; send the same again in a moment")
        # A caller who goes away leaves the drawing to its end: the place is free when the process is gone, not before.
        return await asyncio.shield(asyncio.ensure_future(self._draw(sheet)))

    async def _draw(self, sheet: Sheet) -> bytes:
        async with self._places:
            # Not asyncio's own subprocesses: uvloop forks, which must not be where gRPC has threads; this uses vfork.
            return await asyncio.to_thread(_run, self.command, sheet, self.timeout_seconds)


def _run(command: tuple[str, ...], sheet: Sheet, timeout_seconds: float) -> bytes:
    # It sees the modules that this process sees, and nothing of its environment, which holds secrets.
    environment = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    try:
        done = subprocess.run(  # noqa: S603 - our own module; the statement comes by its standard input
            command,
            input=sheet.to_bytes(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            timeout=timeout_seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Refusal("OVERLOADED", "drawing the statement took too long; send the same again later") from None
    if done.returncode != 0:
        raise DrawingFailedError(f"drawing a statement ended with status {done.returncode}")
    return done.stdout
