"""Whoever waits for an audit is told how far it is; of one that takes a moment nothing is told."""

from kit.clock import Elapsed
from settlement.audit import Result
from settlement.audit_progress import EVERY_SECONDS, Progress


def test_a_line_is_told_every_few_seconds_and_no_more_often() -> None:
    told, seconds = list[str](), [0.0]
    progress = Progress(told.append, Elapsed(lambda: seconds[0]))
    for at in (0.0, EVERY_SECONDS - 0.1, EVERY_SECONDS, EVERY_SECONDS + 0.1, EVERY_SECONDS * 2, EVERY_SECONDS * 2 + 1):
        seconds[0] = at
        progress.watch(Result("postings sum to zero", 1_234_567, 2, ("one", "two")))
    assert told == [
        "    5 s  postings sum to zero: 1,234,567 looked at, 2 findings",
        "   10 s  postings sum to zero: 1,234,567 looked at, 2 findings",
    ]
