"""What breaks, and the proof that it did: without a server."""

import random
import re
from pathlib import Path
from typing import Any, cast

import pytest
from faults.breaker import BROKEN, STILL_SECONDS, Breaker, Lines, Log
from faults.proxy import Mode, Proxy

from kit.failpoints import Boundary
from settlement.books_config import SweepSettings

CI = Path(__file__).parents[2] / ".ci" / "run"


def names(seed: int) -> list[str]:
    lines = Lines(Proxy("127.0.0.1:1"), Proxy("127.0.0.1:2"))
    breaker = Breaker(cast("Any", None), lines, random.Random(seed))  # noqa: S311 - no secret
    return [fault.name for fault in breaker.in_any_order()]


def test_a_seed_says_what_breaks_and_each_thing_breaks_once() -> None:
    assert names(7) == names(7)
    assert names(7) != names(8)
    assert len(set(names(7))) == len(names(7))
    assert len(names(7)) == 2 * len(BROKEN) + 3 * len(Boundary) + 2 * len(Mode)


@pytest.mark.parametrize("boundary", Boundary)
def test_at_every_boundary_a_process_dies_stands_still_and_its_work_alone_does(boundary: Boundary) -> None:
    of = "binding" if boundary is Boundary.AFTER_HOLD else "settlement"
    at = [name for name in names(7) if str(boundary) in name]
    assert f"{of} dies {boundary}" in at
    for who in (of, f"work of {of}"):
        assert any(name.startswith(f"{who} stands still {boundary}") for name in at)
    both = [name for seed in range(20) for name in names(seed) if str(boundary) in name and "still" in name]
    assert {name.rsplit(" and ", 1)[1] for name in both} == {"dies", "goes on"}


def test_what_stands_still_does_so_for_less_and_for_more_than_leases_callers_and_sweeps_wait() -> None:
    shown = {name for seed in range(60) for name in names(seed) if name.startswith("binding stands still for")}
    assert shown == {f"binding stands still for {seconds:g} s" for seconds in STILL_SECONDS}
    sweep_seconds = SweepSettings.model_fields["sweep_age_seconds"].default
    assert min(STILL_SECONDS) < 10 < sorted(STILL_SECONDS)[1] < 15 < sweep_seconds < max(STILL_SECONDS)


def test_ci_breaks_a_server_a_line_and_settlement_between_two_steps() -> None:
    found = re.search(r"make faults ROUNDS=(\d+) SEED=(\d+)", CI.read_text(encoding="utf-8"))
    assert found is not None
    broken = names(int(found[2]))[: int(found[1])]
    assert any(f"settlement dies {boundary}" in broken for boundary in Boundary)
    assert "kill -9 postgres" in broken
    assert any(name.endswith(Mode.DROP_ANSWERS) for name in broken)


def test_a_log_tells_what_was_reached_since_the_process_was_begun_again(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_text('{"event": "failpoint", "boundary": "after_commit"}\n', encoding="utf-8")
    log = Log(file, file.stat().st_size)
    assert not log.reached(Boundary.AFTER_COMMIT)
    with file.open("a", encoding="utf-8") as more:
        more.write('Traceback\n{"event": "failpoint", "boundary": "after_intent"}\n{"event": "abandoned"}\n{"half')
    assert log.reached(Boundary.AFTER_INTENT)
    assert not log.reached(Boundary.AFTER_COMMIT)
    assert log.says("abandoned")
    assert not log.says("half")
