"""Whether a service runs older code than the checkout holds now."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psutil

from gongji_local.processes import ProcessRecord, is_alive
from gongji_local.state import repository_root

SHARED_CODE: Final = ("services/kit/src", "protos/gen")


def runs_older_code(service: str, process: ProcessRecord | None) -> bool:
    """Whether a source file of the service, of kit or of the contracts was changed after the process started."""
    if process is None or not is_alive(process):
        return False
    started_at = psutil.Process(process.pid).create_time()
    return any(file.stat().st_mtime > started_at for file in _sources(service))


def _sources(service: str) -> Iterator[Path]:
    root = repository_root()
    for folder in (f"services/{service}/src", f"services/{service}/migrations", *SHARED_CODE):
        yield from (root / folder).rglob("*.py")
