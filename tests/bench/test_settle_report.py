"""What the bench of settling makes of its figures, without a server."""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from bench.settle_accounts import OPENING_FEN, account_rows, entry_rows
from bench.settle_ceilings import as_good_as
from bench.settle_report import aims, costs, difference, keep, sentences, speeds
from bench.settle_verdicts import AGAIN, GROWN, HOT, UNIFORM, Verdict, all_ratios, failed, ratios, verdicts
from bench.settle_watch import is_bounded
from rich.console import Console


def row(name: str, callers: int = 256, per_second: int = 3_000, p99_ms: float = 30.0, **watched: Any) -> dict[str, Any]:
    seen = {
        "cores": {"settlement": 0.9},
        "memory_mib": {"settlement": 160},
        "mean_batch": {"settle": 12.0},
        "wal_bytes_each": 7_000,
        "fsyncs_each": 0.1,
        "unsent_most": 40,
        "unsent_after": 3,
        "outbox_bounded": True,
        "delay_p50_ms": {"binding": 90.0, "notify": 95.0},
        "delay_p99_ms": {"binding": 200.0, "notify": 180.0},
    }
    return {
        "name": name,
        "callers": callers,
        "per_second": per_second,
        "p50_ms": 10.0,
        "p99_ms": p99_ms,
        "p999_ms": 60.0,
        "failed": {},
        "ratio_to_echo": 0.6,
        "ratio_to_statements": 0.4,
        "watched": seen | watched,
    }


def figures(*rows: Mapping[str, Any], **others: Any) -> dict[str, Any]:
    at = {"at": "2026-11-26T10:00:00+0000", "seconds_each": 6.0}
    return {"rows": list(rows), "sound": True, "grown": None, "ceilings": {"statements_1": 900}} | at | others


def verdict(found: list[Verdict], beginning: str) -> Verdict:
    (one,) = (each for each in found if each.what.startswith(beginning))
    return one


def shown(*what: Any) -> str:
    console = Console(width=250, record=True, quiet=False)
    with console.capture() as captured:
        for each in what:
            console.print(each)
    return captured.get()


def test_speed_with_many_accounts_is_that_of_the_same_callers_shortly_before() -> None:
    rows = [row(UNIFORM, 256, 9_000), row(AGAIN, 256, 1_000), row(GROWN, 256, 840), row(AGAIN, 64, 500)]
    rows.append(row(GROWN, 64, 430))
    assert ratios(rows, GROWN, AGAIN) == {256: 0.84, 64: 0.86}
    assert all_ratios([*rows, row(HOT, 256, 8_100)]) == {
        "hot_to_uniform": {256: 0.9},
        "grown_to_before": {256: 0.84, 64: 0.86},
    }
    found = verdicts(figures(*rows))
    assert not verdict(found, "after growing, 256").met
    assert verdict(found, "after growing, 64").met
    said = " ".join(sentences(figures(*rows, grown={"accounts": 1_010_001, "entries": 10_100_000}), None))
    assert "84% at 256, 86% at 64 callers" in said
    assert "1,010,001 accounts and 10,100,000 entries" in said


def test_without_growing_nothing_is_said_of_it() -> None:
    run = figures(row(UNIFORM))
    assert not [each for each in verdicts(run) if "growing" in each.what]
    assert "grown" not in " ".join(sentences(run, None))


@pytest.mark.parametrize(
    ("callers", "per_second", "p99_ms", "of_echo", "met"),
    [
        (256, 2_000, 150.0, 0.50, [True, True, True]),
        (256, 1_999, 150.1, 0.499, [False, False, False]),
        (64, 1, 40.0, 0.40, [True, True]),
        (64, 1, 40.1, 0.399, [False, False]),
        (16, 1, 900.0, 0.01, []),
    ],
)
def test_unary_aims_are_of_their_number_of_callers(
    callers: int, per_second: int, p99_ms: float, of_echo: float, met: list[bool]
) -> None:
    run = figures(row(UNIFORM, callers, per_second, p99_ms) | {"ratio_to_echo": of_echo})
    assert [each.met for each in verdicts(run) if each.what.startswith("unary")] == met


@pytest.mark.parametrize(("per_second", "of_statements", "met"), [(8_000, 0.4, True), (7_999, 0.399, False)])
@pytest.mark.parametrize("name", ["BatchSettle of 200", "SettleStream, messages of 200"])
def test_bulk_aims_are_of_speed_and_of_the_statements(
    name: str, per_second: int, of_statements: float, *, met: bool
) -> None:
    run = figures(row(name, 2, per_second) | {"ratio_to_statements": of_statements, "ratio_to_echo": None})
    assert [each.met for each in verdicts(run) if each.what.startswith(name)] == [met, met]


def test_a_hot_payer_may_be_slower_by_no_more_than_noise_at_each_number_of_callers() -> None:
    rows = [row(UNIFORM, 16, 1_000), row(HOT, 16, 949), row(UNIFORM, 64, 1_000), row(HOT, 64, 950)]
    found = verdicts(figures(*rows))
    assert [verdict(found, f"one hot payer, {callers}").met for callers in (16, 64)] == [False, True]


def test_a_slow_run_is_told_and_does_not_fail() -> None:
    slow = row(UNIFORM, 256, 10, p99_ms=9_000.0, delay_p99_ms={"binding": 5_000.0, "notify": 1.0})
    found = verdicts(figures(slow | {"ratio_to_echo": 0.01}))
    assert not verdict(found, "event at its consumer").met
    assert not failed(found)


@pytest.mark.parametrize(("mib", "fails"), [(300, False), (301, True)])
def test_too_much_memory_of_settlement_fails_the_run_in_whatever_measurement(mib: int, *, fails: bool) -> None:
    found = verdicts(figures(row("preview"), row(UNIFORM, memory_mib={"settlement": mib}), row(HOT)))
    assert failed(found) is fails


def test_wrong_books_fail_the_run() -> None:
    assert failed(verdicts(figures(row(UNIFORM), sound=False)))
    assert not failed(verdicts(figures(row(UNIFORM))))


def test_an_outbox_that_grew_is_named() -> None:
    found = verdict(verdicts(figures(row(UNIFORM, 16), row(HOT, 64, outbox_bounded=False))), "outbox bounded")
    assert (found.met, found.found) == (False, f"no: {HOT}, 64 callers")
    assert verdict(verdicts(figures(row(UNIFORM, 16))), "outbox bounded").found == "yes"


@pytest.mark.parametrize(
    ("unsent", "bounded"),
    [
        (list(range(0, 24_000, 1_000)), False),
        ([0, 3_000] * 12, True),
        ([2_000] * 24, True),
        ([0, 400, 100, 499], True),
        ([9_000, 6_000, 3_000, 0], True),
        ([0, 0, 600, 1_200, 1_800, 2_400], False),
        ([499], True),
        ([501], False),
    ],
)
def test_the_outbox_is_bounded_if_what_waits_does_not_grow_with_time(unsent: list[int], *, bounded: bool) -> None:
    assert is_bounded(unsent, 1_000.0) is bounded


def test_the_run_before_is_kept_and_both_differences_are_shown(tmp_path: Path) -> None:
    out = tmp_path / "out" / "bench.json"
    first, second = figures(row(UNIFORM, 256, 1_000, 40.0)), figures(row(UNIFORM, 256, 1_100, 30.0))
    assert keep(first, out) is None
    assert not out.with_name("bench.before.json").exists()
    assert keep(second, out) == first
    assert json.loads(out.read_text()) == second
    assert json.loads(out.with_name("bench.before.json").read_text()) == first
    said = shown(speeds(second, first))
    assert "+10%" in said
    assert "-25%" in said
    assert "+" not in shown(speeds(second, None))


def test_a_run_of_other_length_is_told_to_be_something_else() -> None:
    run = figures(row(UNIFORM))
    assert "lasted 2 s and not 6 s" in " ".join(sentences(run, figures(row(UNIFORM), seconds_each=2.0)))
    assert "lasted" not in " ".join(sentences(run, figures(row(UNIFORM))))


def test_tables_say_whose_writing_is_counted_and_what_must_be() -> None:
    bad = figures(row(UNIFORM, memory_mib={"settlement": 500}, outbox_bounded=False))
    said = shown(costs(bad), aims(verdicts(bad)))
    assert "whole PostgreSQL server" in said
    assert "NO, and it must be" in said


@pytest.mark.parametrize(("now", "before", "said"), [(110, 100, "+10%"), (90, 100, "-10%"), (1, None, ""), (1, 0, "")])
def test_a_difference_needs_something_before(now: float, before: float | None, said: str) -> None:
    assert difference(now, before) == said


def test_a_ceiling_serves_batches_that_are_nearly_as_large() -> None:
    assert as_good_as(100, {85: 1, 1: 1}) == 85
    assert as_good_as(100, {84: 1, 116: 1}) is None
    assert as_good_as(2, {1: 1}) is None
    assert as_good_as(1, {1: 1}) == 1
    assert as_good_as(1, {}) is None


def test_accounts_agree_with_their_entries() -> None:
    accounts, entries = list(account_rows("G", range(5, 8), 3)), list(entry_rows("G", range(5, 8), 3))
    assert [psn_no for psn_no, *_ in accounts] == ["G00000005", "G00000006", "G00000007"]
    assert len(entries) == 18
    sums: Counter[Any] = Counter()
    for posting, _, key, amount_fen, *_ in entries:
        sums[posting] += amount_fen
        sums[key] += amount_fen
    assert sum(1 for total in sums.values() if total == 0) == 9, "each posting"
    for psn_no, _, balance_fen, version in accounts:
        own = [entry for entry in entries if entry[2] == psn_no]
        assert [entry[5] for entry in own] == [1, 2, 3]
        assert own[-1][4:6] == (balance_fen, version)
        assert sums[psn_no] == balance_fen
        assert OPENING_FEN - 3 < balance_fen <= OPENING_FEN
        assert [entry[7] for entry in own] == [f"{psn_no}.{number}" for number in (1, 2, 3)]
