"""What `make bench` is to reach, and whether a run did: each figure beside its aim."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

UNIFORM: Final = "unary, 10,000 payers"
HOT: Final = "unary, one hot payer"
AGAIN: Final = "unary, 10,000 payers, before growing"
GROWN: Final = "unary, after growing"
BULK: Final = ("BatchSettle", "SettleStream")

UNARY_AIMS: Final = {256: (0.50, 150.0), 64: (0.40, 40.0)}
"""By callers: the share of E, and p99 in ms."""
LEAST_A_SECOND: Final = 2_000
BULK_A_SECOND: Final = 8_000
BULK_SHARE: Final = 0.40
HOT_SHARE: Final = 0.95
"""No slower, that is: two measurements of the same differ by a twentieth."""
GROWN_SHARE: Final = 0.85
DELAY_MS: Final = 1_000.0
SETTLEMENT_MIB: Final = 300

Figures = Mapping[str, Any]
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Verdict:
    """One aim."""

    what: str
    aim: str
    found: str
    met: bool
    must: bool = False
    """Whether the run fails without: what is wrong, not what is slow."""


def verdicts(figures: Figures) -> list[Verdict]:
    """All aims that the run says something about."""
    rows = figures["rows"]
    return [
        *(verdict for row in rows for verdict in _of_unary(row)),
        *(verdict for row in rows for verdict in _of_bulk(row)),
        *(_share("one hot payer", it, HOT_SHARE) for it in ratios(rows, HOT, UNIFORM).items()),
        *(_share("after growing", it, GROWN_SHARE) for it in ratios(rows, GROWN, AGAIN).items()),
        *_of_all(rows),
        Verdict(
            "balances are the sums of their entries",
            "yes",
            "yes" if figures["sound"] else "no",
            figures["sound"],
            must=True,
        ),
    ]


def failed(found: Sequence[Verdict]) -> bool:
    """Whether anything is wrong."""
    return any(verdict.must and not verdict.met for verdict in found)


def ratios(rows: Sequence[Row], name: str, to: str) -> dict[int, float]:
    """How fast one is in shares of the other, by callers; empty where either was not measured."""
    speed = {(row["name"], row["callers"]): row["per_second"] for row in rows}
    return {
        callers: round(per_second / base, 3)
        for (measured, callers), per_second in speed.items()
        if measured == name and (base := speed.get((to, callers)))
    }


def all_ratios(rows: Sequence[Row]) -> dict[str, dict[int, float]]:
    """What is compared within a run, by callers."""
    return {"hot_to_uniform": ratios(rows, HOT, UNIFORM), "grown_to_before": ratios(rows, GROWN, AGAIN)}


def _of_unary(row: Row) -> Iterator[Verdict]:
    if row["name"] != UNIFORM or row["callers"] not in UNARY_AIMS:
        return
    share, p99_ms = UNARY_AIMS[row["callers"]]
    what = f"unary, {row['callers']} callers"
    of_echo = row["ratio_to_echo"]
    yield Verdict(f"{what}, of E", f">= {share:.0%}", f"{of_echo:.0%}", of_echo >= share)
    yield Verdict(f"{what}, p99", f"<= {p99_ms:g} ms", f"{row['p99_ms']:g} ms", row["p99_ms"] <= p99_ms)
    if row["callers"] == max(UNARY_AIMS):
        yield _speed(what, row, LEAST_A_SECOND)


def _of_bulk(row: Row) -> Iterator[Verdict]:
    if not row["name"].startswith(BULK):
        return
    of_statements = row["ratio_to_statements"]
    yield _speed(row["name"], row, BULK_A_SECOND)
    found = f"{of_statements:.0%}"
    yield Verdict(f"{row['name']}, of C", f">= {BULK_SHARE:.0%}", found, of_statements >= BULK_SHARE)


def _speed(what: str, row: Row, least: int) -> Verdict:
    per_second = row["per_second"]
    return Verdict(f"{what}, a second", f">= {least:,}", f"{per_second:,}", per_second >= least)


def _share(what: str, measured: tuple[int, float], least: float) -> Verdict:
    callers, share = measured
    return Verdict(f"{what}, {callers} callers, of 10,000 payers", f">= {least:.0%}", f"{share:.0%}", share >= least)


def _of_all(rows: Sequence[Row]) -> Iterator[Verdict]:
    delays = [max(row["watched"]["delay_p99_ms"].values(), default=0.0) for row in rows]
    yield Verdict(
        "event at its consumer, worst p99", f"<= {DELAY_MS:g} ms", f"{max(delays):g} ms", max(delays) <= DELAY_MS
    )
    growing = [f"{row['name']}, {row['callers']} callers" for row in rows if not row["watched"]["outbox_bounded"]]
    yield Verdict("outbox bounded", "yes", f"no: {'; '.join(growing)}" if growing else "yes", not growing)
    mib = max(row["watched"]["memory_mib"]["settlement"] for row in rows)
    yield Verdict(
        "settlement's memory at most", f"<= {SETTLEMENT_MIB} MiB", f"{mib} MiB", mib <= SETTLEMENT_MIB, must=True
    )
