"""`python -m support.shifted_clock FILE SERVICE …`: a service on a computer whose clock is wrong by what FILE says.

The services' movable clock is not that: it moves what policy sees, and leaves the computer's own time alone.
"""

import runpy
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from kit.clock import SystemClock

_FILE = Path(sys.argv[1])


def _now(self: SystemClock) -> datetime:
    del self
    return datetime.now(UTC) + timedelta(seconds=float(_FILE.read_text()))


setattr(SystemClock, "now", _now)  # noqa: B010 - mypy knows it as a method, which is not assigned to
sys.argv = sys.argv[2:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
