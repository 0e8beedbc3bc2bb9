"""What a service writes to its log while a test looks."""

import json
from collections.abc import Sequence
from typing import Any

from gongji_local.stack import Stack


class ServiceLog:
    """What a service writes from now on."""

    def __init__(self, stack: Stack, service: str) -> None:
        self._file = stack.log_file(service)
        self._start = self._file.stat().st_size

    def lines(self, event: str = "") -> Sequence[dict[str, Any]]:
        """The lines, or those of one event."""
        with self._file.open("rb") as file:
            file.seek(self._start)
            whole, _, _ = file.read().decode().rpartition("\n")  # behind it somebody is writing
        found = [json.loads(line) for line in whole.splitlines() if line.startswith("{")]
        return [line for line in found if not event or line["event"] == event]
