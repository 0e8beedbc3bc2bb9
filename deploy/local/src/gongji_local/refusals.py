"""What a server or the operating system refused in the middle of a step, in one sentence."""

from typing import Final

import asyncpg
from aiokafka.errors import KafkaError  # type: ignore[import-untyped]

from gongji_local.diagnosis import LogTail, no_room
from gongji_local.errors import StackError, from_os_error
from gongji_local.state import StateBook

DRIVER_ERRORS: Final = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, KafkaError)
SERVERS: Final = ("postgres", "kafka")
NEXT_STEP: Final = (
    "Look at `gongji-local status` and `gongji-local logs postgres` (or kafka), then run `gongji-local up` again."
)


def explained(error: Exception, book: StateBook) -> StackError:
    """The sentence for one of `DRIVER_ERRORS`; a server that died for want of room has said so in its log."""
    folder, processes = book.folder, book.read().processes
    if full := no_room("PostgreSQL", str(error), folder.root):
        return full
    for name in SERVERS:
        process = processes.get(name)
        tail = LogTail(folder.log_of(name), process.log_start_bytes) if process else None
        if tail and not isinstance(error, PermissionError) and (full := no_room(name, tail.text(), folder.root)):
            return full
    if isinstance(error, TimeoutError):
        return StackError("A server did not answer in time.", NEXT_STEP)
    if isinstance(error, OSError):
        return from_os_error(error, folder.root)
    return StackError(
        f"A server refused what the stack asked of it: {' '.join(str(error).split()) or type(error).__name__}.",
        NEXT_STEP,
    )
