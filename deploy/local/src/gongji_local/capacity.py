"""How much of everything an installation needs, by how many people it serves; docs/operations/scale.md has the table.

Pure arithmetic on figures that were measured (`MEASURED`, each with its command in scale.md) and on assumptions that
are named as such (`ASSUMED`). It sizes from above: every visit is settled here, with mutual aid.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

DAYS: Final = 365
SECONDS_OF_AN_HOUR: Final = 3_600
GIB: Final = 2**30
ENTRIES_OF_A_SETTLEMENT: Final = 2
CONNECTIONS_BESIDE_THE_POOL: Final = 2
CONNECTIONS_OF_PEOPLE: Final = 10


@dataclass(frozen=True, slots=True)
class Measured:
    """What one settlement takes, with the one identification before it."""

    core_ms: Mapping[str, float]
    """Milliseconds of a core, by service, at 16 callers: small batches, so more than under load."""
    postgres_ms: float
    """Of all four databases together."""
    kept_bytes: Mapping[str, int]
    """In each database for good: rows and indexes."""
    passing_bytes: Mapping[str, Mapping[str, int]]
    """What goes again, by kind (`Assumed.passing_days`) and database: outbox, inbox, deliveries."""
    topic_bytes: int
    """In Kafka, one copy."""
    wal_bytes: int
    audited_entries_a_second: int
    """By the nightly audit, with binding asked for each settlement."""


@dataclass(frozen=True, slots=True)
class Assumed:
    """What nobody has measured; a region puts its own figures in."""

    visits_a_year: float
    """Of one person that are settled here, pharmacies included."""
    busiest_day: float
    """Times the average day."""
    peak_hour: float
    """Share of the busiest day."""
    peak_second: float
    """Times the average second of the peak hour."""
    busy: float
    """Share of a core that a process uses at the peak: where the autoscaler's 70 % has not been reached."""
    passing_days: Mapping[str, int]
    """How long each kind is kept; what is purged by months is there for up to a month more."""
    topic_days: int
    backup_days: int
    years: int
    """How long the disks are to last."""
    room: float
    """Times what is written: dead rows, a rebuilt index, a sort on disk."""


@dataclass(frozen=True, slots=True)
class Step:
    """One size of installation."""

    name: str
    people: int
    least_replicas: int
    pools: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Needs:
    """What a step needs."""

    step: Step
    a_year: float
    busiest_day: float
    peak_hour: float
    peak_second: float
    replicas: Mapping[str, tuple[int, int]]
    """Least and most of each service, for its HorizontalPodAutoscaler."""
    partitions: int
    """Of each keyed topic, chosen before the first event."""
    postgres_cores: int
    connections: Mapping[str, int]
    """`max_connections` of each database's server, at least."""
    disk_bytes: Mapping[str, float]
    """Of each database's volume after `Assumed.years`."""
    broker_bytes: float
    """Of each of three brokers."""
    archive_bytes: float
    """WAL that a point-in-time restore may need."""
    audit_hours: float
    """Of the nightly audit, when there are a year's entries; it reads all of them."""


LEAST_PARTITIONS: Final = 6
MOST_FACTOR: Final = 2
"""An autoscaler may double what the peak needs: a zone is lost, a holiday ends."""


def needs(step: Step, measured: Measured, assumed: Assumed) -> Needs:
    """The arithmetic, all of it."""
    a_year = step.people * assumed.visits_a_year
    busiest_day = a_year / DAYS * assumed.busiest_day
    peak_hour = busiest_day * assumed.peak_hour
    peak_second = peak_hour / SECONDS_OF_AN_HOUR * assumed.peak_second
    replicas = {
        service: _replicas(step.least_replicas, peak_second * ms / 1000 / assumed.busy)
        for service, ms in measured.core_ms.items()
    }
    return Needs(
        step=step,
        a_year=a_year,
        busiest_day=busiest_day,
        peak_hour=peak_hour,
        peak_second=peak_second,
        replicas=replicas,
        partitions=_partitions(replicas),
        postgres_cores=max(1, math.ceil(peak_second * measured.postgres_ms / 1000 / assumed.busy)),
        connections={service: _connections(most, step.pools[service]) for service, (_, most) in replicas.items()},
        disk_bytes={service: _disk(service, a_year, measured, assumed) for service in measured.kept_bytes},
        broker_bytes=_a_day(a_year) * measured.topic_bytes * assumed.topic_days * assumed.room,
        archive_bytes=_a_day(a_year) * measured.wal_bytes * assumed.backup_days,
        audit_hours=a_year * ENTRIES_OF_A_SETTLEMENT / measured.audited_entries_a_second / SECONDS_OF_AN_HOUR,
    )


def _replicas(least: int, cores: float) -> tuple[int, int]:
    # A process is one event loop, so one core at most: cores are replicas.
    needed = max(least, math.ceil(cores))
    return needed, needed * MOST_FACTOR


def _partitions(replicas: Mapping[str, tuple[int, int]]) -> int:
    """As many as replicas may ever read, in sixes: a pod beyond the partitions consumes nothing."""
    most = max(most for _, most in replicas.values())
    return max(LEAST_PARTITIONS, math.ceil(most / LEAST_PARTITIONS) * LEAST_PARTITIONS)


def _connections(most: int, pool: int) -> int:
    return (most + 1) * (pool + CONNECTIONS_BESIDE_THE_POOL) + CONNECTIONS_OF_PEOPLE


def _disk(service: str, a_year: float, measured: Measured, assumed: Assumed) -> float:
    kept = a_year * assumed.years * measured.kept_bytes[service]
    passing = sum(days * measured.passing_bytes[kind].get(service, 0) for kind, days in assumed.passing_days.items())
    return (kept + _a_day(a_year) * passing) * assumed.room


def _a_day(a_year: float) -> float:
    return a_year / DAYS


def table(columns: Sequence[Needs]) -> str:
    """The capacity table as Markdown, a column for each step."""
    rows: list[tuple[str, Callable[[Needs], str]]] = [
        ("people", lambda it: _round(it.step.people)),
        ("settlements a year", lambda it: _round(it.a_year)),
        ("on the busiest day", lambda it: _round(it.busiest_day)),
        ("in its peak hour", lambda it: _round(it.peak_hour)),
        ("in a peak second", lambda it: _round(it.peak_second)),
        *((f"{service}: replicas", _replicas_of(service)) for service in columns[0].replicas),
        ("partitions of each keyed topic", lambda it: str(it.partitions)),
        (
            "brokers, disk of each",
            lambda it: f"{'1' if it.step.least_replicas == 1 else '3'} × {_disk_of(it.broker_bytes)}",
        ),
        ("PostgreSQL: cores at the peak", lambda it: str(it.postgres_cores)),
        *((f"{service}'s database: disk", _database_of(service)) for service in columns[0].disk_bytes),
        *((f"{service}'s database: connections", _connections_of(service)) for service in columns[0].connections),
        ("WAL archive", lambda it: _disk_of(it.archive_bytes)),
        ("nightly audit, after a year", lambda it: _time_of(it.audit_hours)),
    ]
    header = ["", *(it.step.name for it in columns)]
    lines = [header, ["---"] * len(header), *([name, *(cell(it) for it in columns)] for name, cell in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _replicas_of(service: str) -> Callable[[Needs], str]:
    return lambda it: "{} to {}".format(*it.replicas[service])


def _database_of(service: str) -> Callable[[Needs], str]:
    return lambda it: _disk_of(it.disk_bytes[service])


def _connections_of(service: str) -> Callable[[Needs], str]:
    return lambda it: str(it.connections[service])


def _round(value: float) -> str:
    """Two figures: more would be a lie."""
    scale = 10 ** (math.floor(math.log10(value)) - 1)
    return f"{round(value / scale) * scale:,.0f}" if scale >= 1 else f"{value:.2g}"


def _time_of(hours: float) -> str:
    minutes = hours * 60
    return f"{_round(hours)} h" if hours >= 1 else f"{_round(minutes)} min" if minutes >= 1 else "under a minute"


LEAST_DISK_GIB: Final = 10
GIB_OF_A_TIB: Final = 1024


def _disk_of(size_bytes: float) -> str:
    gib = max(LEAST_DISK_GIB, size_bytes / GIB)
    return f"{_round(gib / GIB_OF_A_TIB)} TiB" if gib >= GIB_OF_A_TIB else f"{_round(gib)} GiB"


MEASURED: Final = Measured(
    core_ms={"identity": 1.9, "binding": 0.43, "settlement": 1.17, "notify": 0.17},
    postgres_ms=1.62,
    kept_bytes={"identity": 328, "binding": 440, "settlement": 1_582, "notify": 808},
    passing_bytes={
        "outbox": {"settlement": 805, "notify": 166},
        "inbox": {"binding": 101, "notify": 101},
        "deliveries": {"notify": 327},
    },
    topic_bytes=1_094,
    wal_bytes=8_761,
    audited_entries_a_second=20_000,
)
"""`make bench SECONDS_EACH=6`, `make bench-sizes`, `make bench-audit ENTRIES=400000`; two cores, 26 November 2026."""

ASSUMED: Final = Assumed(
    visits_a_year=10,
    busiest_day=1.5,
    peak_hour=0.15,
    peak_second=2,
    busy=0.6,
    passing_days={"outbox": 190 + 31, "inbox": 460 + 31, "deliveries": 90},
    topic_days=30,
    backup_days=30,
    years=5,
    room=1.3,
)

_POOLS: Final = {"identity": 8, "binding": 8, "settlement": 16, "notify": 8}
STEPS: Final = (
    Step("a clinic, to try it", 5_000, 1, _POOLS),
    Step("a county", 150_000, 2, _POOLS),
    Step("Bortala (博州)", 480_000, 3, _POOLS),
    Step("Xinjiang", 25_850_000, 3, _POOLS),
    Step("the largest province", 126_010_000, 3, _POOLS),
    Step("the nation in one", 1_411_780_000, 3, _POOLS),
)


def main() -> None:
    """Print the table, as scale.md has it."""
    print(table([needs(step, MEASURED, ASSUMED) for step in STEPS]), end="")


if __name__ == "__main__":
    main()
