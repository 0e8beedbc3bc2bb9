"""How `make bench` tells what it measured: its tables, and the run before beside this one."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from bench.settle_verdicts import AGAIN, GROWN, Verdict, ratios
from rich.table import Table

OUT: Final = Path("out/bench.json")
BEFORE: Final = "bench.before.json"
COLUMNS: Final = (
    *("callers", "a second", "before", "p50 ms", "p99", "before", "p99.9", "of E", "of C", "batch", "failed"),
)

Figures = Mapping[str, Any]


def keep(figures: Figures, out: Path = OUT) -> Figures | None:
    """Write the figures; those of the run before, which stay beside them."""
    out.parent.mkdir(exist_ok=True)
    before = json.loads(out.read_text()) if out.exists() else None
    if before:
        out.replace(out.with_name(BEFORE))
    out.write_text(json.dumps(figures, indent=2) + "\n")
    return before


def speeds(figures: Figures, before: Figures | None) -> Table:
    """Each measurement, and its difference to the run before."""
    was = {(row["name"], row["callers"]): row for row in before["rows"]} if before else {}
    table = Table(title="Settling, and how near that is to the ceilings of this run")
    table.add_column("what")
    for column in COLUMNS:
        table.add_column(column, justify="right")
    for row in figures["rows"]:
        earlier = was.get((row["name"], row["callers"]), {})
        batches = row["watched"]["mean_batch"]
        table.add_row(
            row["name"],
            str(row["callers"]),
            f"{row['per_second']:,}",
            difference(row["per_second"], earlier.get("per_second")),
            str(row["p50_ms"]),
            str(row["p99_ms"]),
            difference(row["p99_ms"], earlier.get("p99_ms")),
            str(row["p999_ms"]),
            f"{row['ratio_to_echo']:.0%}" if row["ratio_to_echo"] else "",
            f"{row['ratio_to_statements']:.0%}",
            str(max(batches.values(), default="")),
            str(sum(row["failed"].values())),
        )
    return table


def difference(now: float, before: float | None) -> str:
    """By how much it changed; empty where there is nothing to compare with."""
    return f"{now / before - 1:+.0%}" if before else ""


def costs(figures: Figures) -> Table:
    """What each measurement took, and how its events came through."""
    table = Table(title="What each cost, and its events: commit → effect at the consumer")
    for column in ("what", "callers", "busy cores", "settlement MiB", "WAL bytes", "fsyncs", "unsent most", "after"):
        table.add_column(column, justify="left" if column in {"what", "busy cores"} else "right")
    table.add_column("bounded")
    for consumer in ("binding", "notify"):
        table.add_column(f"{consumer} p50 / p99 ms", justify="right")
    for row in figures["rows"]:
        watched = row["watched"]
        cores = ", ".join(f"{name} {busy:.2f}" for name, busy in watched["cores"].items() if busy >= 0.01)
        delays = [f"{watched['delay_p50_ms'][it]} / {watched['delay_p99_ms'][it]}" for it in ("binding", "notify")]
        table.add_row(
            row["name"],
            str(row["callers"]),
            cores,
            str(watched["memory_mib"]["settlement"]),
            f"{watched['wal_bytes_each']:,}",
            str(watched["fsyncs_each"]),
            f"{watched['unsent_most']:,}",
            f"{watched['unsent_after']:,}",
            "yes" if watched["outbox_bounded"] else "no",
            *delays,
        )
    table.caption = (
        "memory is the most that was seen; WAL and fsyncs are those of the whole PostgreSQL server, which is also "
        "binding's and notify's here, for each settlement"
    )
    return table


def aims(found: list[Verdict]) -> Table:
    """Each aim, and whether it was met."""
    table = Table(title="Aims")
    for column in ("what", "aim", "found", "met"):
        table.add_column(column)
    for verdict in found:
        met = "yes" if verdict.met else "[bold red]NO, and it must be[/]" if verdict.must else "[red]no[/]"
        table.add_row(verdict.what, verdict.aim, verdict.found, met)
    return table


def sentences(figures: Figures, before: Figures | None) -> Iterator[str]:
    """What the tables do not say."""
    yield f"ceilings, a second: {figures['ceilings']}"
    if before:
        yield f"before: {before['at']}, kept in {OUT.with_name(BEFORE)}"
        if before["seconds_each"] != figures["seconds_each"]:
            yield (
                f"before, each measurement lasted {before['seconds_each']:g} s and not {figures['seconds_each']:g} s: "
                "the differences are not of the same thing"
            )
    if figures["grown"]:
        grown = figures["grown"]
        yield (
            f"grown: {grown['accounts']:,} accounts and {grown['entries']:,} entries when they were measured, half of "
            "the bills on accounts that were added"
        )
    found = ", ".join(f"{share:.0%} at {callers}" for callers, share in ratios(figures["rows"], GROWN, AGAIN).items())
    if found:
        yield f"speed with them, of that shortly before they were loaded: {found} callers"
