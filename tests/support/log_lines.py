"""What every line of a service's log is like: one JSON object, with its trace where it is of a call."""

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from gongji_local.services import SERVICES

OF_CALLS: Final = frozenset({"call", "unexpected", "event sent to the DLQ"})
"""Events of the log that belong to one call, or to one event of the bus."""
_FROM_BELOW: Final = re.compile(r"[IWE]\d{4} \d\d:\d\d:\d\d\.\d+ ")
"""gRPC's core writes to standard error by itself, of connections alone."""


def faults_in(folder: Path) -> list[str]:
    """Which lines of the services' logs are not as promised."""
    return [
        f"{service}.log:{number}: {fault}"
        for service in SERVICES
        if (path := folder / f"{service}.log").exists()
        for number, fault in faults_of(path.read_text(errors="replace").splitlines())
    ]


def faults_of(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    """The number of each line that is not as promised, and why."""
    for number, line in enumerate(lines, start=1):
        if _FROM_BELOW.match(line):
            continue
        try:
            said = json.loads(line)
        except ValueError:
            yield number, f"is no JSON: {line[:80]}"
            continue
        if missing := {"event", "level", "service", "timestamp"} - said.keys():
            yield number, f"has no {', '.join(sorted(missing))}"
        elif said["event"] in OF_CALLS and not re.fullmatch(r"[0-9a-f]{32}", said.get("trace_id", "")):
            yield number, f"{said['event']} without its trace"
