"""A stack of a session's own: brought up, watched for what no log may hold, and gone afterwards."""

from collections.abc import Iterator
from contextlib import contextmanager

from gongji_local.choice import NOTHING_NAMED, Named
from gongji_local.sessions import (
    new_session_folder,
    quick_folder,
    remove_orphans,
    remove_session,
    start_session_postgres,
)
from gongji_local.stack import Stack
from support.log_lines import faults_in
from support.unlogged import Unlogged, watched


@contextmanager
def brought_up(named: Named = NOTHING_NAMED) -> Iterator[Stack]:
    """The stack, in a state folder of its own."""
    remove_orphans()
    running = Stack(new_session_folder(quick_folder()), named=named)
    try:
        start_session_postgres(running)
        running.up()
        unlogged = Unlogged()
        with watched(unlogged):
            yield running
        # Of all scenarios: whatever they tried, no log tells of anybody.
        assert unlogged.found_in(running.folder.logs) == []
        assert faults_in(running.folder.logs) == []
    finally:
        remove_session(running)
