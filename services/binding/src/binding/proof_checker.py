"""Has proofs examined outside of this process, so many at once and no longer than so many seconds."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from binding.domain.proofs import ProofUnacceptable, refuse_too_large

Check = Callable[[str, bytes], Awaitable[bytes]]
"""From a media type and a file to the file as it is kept. Raises ProofUnacceptable."""

TIMEOUT_SECONDS: Final = 10.0
AT_ONCE: Final = 2
_OK, _NO = b"OK\n", b"NO\n"
_COMMAND = (sys.executable, "-P", "-m", "binding.proof_check")


@dataclass(slots=True)
class ProofChecker:
    """Starts `binding.proof_check` for each file; who waits for a place waits within the call's deadline."""

    timeout_seconds: float = TIMEOUT_SECONDS
    command: tuple[str, ...] = _COMMAND
    places: asyncio.Semaphore | None = None

    async def __call__(self, media_type: str, content: bytes) -> bytes:
        """See `Check`."""
        self.places = self.places or asyncio.Semaphore(AT_ONCE)
        async with self.places:
            answer = await self._answer(media_type, content)
        if answer.startswith(_NO):
            raise ProofUnacceptable(answer.removeprefix(_NO).decode())
        if not answer.startswith(_OK):
            raise ProofUnacceptable("the file takes too much to read")
        kept = answer.removeprefix(_OK)
        refuse_too_large(len(kept))
        return kept

    async def _answer(self, media_type: str, content: bytes) -> bytes:
        # Not asyncio's own subprocesses: uvloop forks, which a process with gRPC's threads must not; this uses vfork.
        return await asyncio.to_thread(_run, (*self.command, media_type), content, self.timeout_seconds)


def _run(command: tuple[str, ...], content: bytes, timeout_seconds: float) -> bytes:
    # It sees the modules that this process sees, and nothing of its environment, which holds secrets.
    environment = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    try:
        done = subprocess.run(  # noqa: S603 - our own module; the file comes by its standard input
            command,
            input=content,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            timeout=timeout_seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return b""
    return done.stdout if done.returncode == 0 else b""
