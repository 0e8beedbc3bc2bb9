"""What the last audit found, kept in the database by the command and told on `/metrics` by those who serve."""

from collections.abc import Mapping
from typing import Final

from kit.db import Database
from kit.metrics import EVERY, Label

SCHEMA: Final = """
-- What each check of the last audit found; the command writes it, the serving processes tell it to Prometheus.
CREATE TABLE audit_result (
    check_name text        PRIMARY KEY,
    findings   bigint      NOT NULL CHECK (findings >= 0),
    audited_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- When an audit last looked at everything.
CREATE TABLE audit_completed (
    singleton    boolean     PRIMARY KEY DEFAULT true CHECK (singleton),
    completed_at timestamptz NOT NULL
);
"""
"""For a migration of a service that has an audit; frozen. A later change is a new constant and a new migration."""

_FORGET = "DELETE FROM audit_result WHERE NOT check_name = ANY($1::text[]) AND $2"
_KEEP = """
INSERT INTO audit_result (check_name, findings) SELECT * FROM unnest($1::text[], $2::bigint[])
ON CONFLICT (check_name) DO UPDATE SET findings = excluded.findings, audited_at = excluded.audited_at
"""
_COMPLETED = """
INSERT INTO audit_completed (completed_at) VALUES (clock_timestamp())
ON CONFLICT (singleton) DO UPDATE SET completed_at = excluded.completed_at
"""
_RESULTS = "SELECT check_name, findings FROM audit_result"
_COMPLETED_AT = "SELECT extract(epoch FROM completed_at)::float8 FROM audit_completed"

FINDINGS: Final = EVERY.gauge(
    "gongji_audit_findings",
    "What the last audit found, by what must be true; of services that have an audit.",
    unit="findings",
    labels=(Label("check", "what must be true, as the audit says it", most=64),),
)
COMPLETED_AT: Final = EVERY.gauge(
    "gongji_audit_last_complete_seconds",
    "When an audit last looked at everything, Unix time; 0 if none has. Of services that have an audit.",
    unit="s",
)


async def keep(database: Database, findings: Mapping[str, int], *, complete: bool) -> None:
    """Write down what an audit found; of one that was not complete, what was not looked at stays as it was."""
    async with database.transaction() as transaction:
        await transaction.raw.execute(_FORGET, list(findings), complete)
        await transaction.raw.execute(_KEEP, list(findings), list(findings.values()))
        if complete:
            await transaction.raw.execute(_COMPLETED)


class AuditResults:
    """Tells what the last audit found; a probe of `kit.sampling`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def __call__(self) -> None:
        """Read it once."""
        async with self._database.transaction() as transaction:
            rows = await transaction.raw.fetch(_RESULTS)
            completed_at = await transaction.raw.fetchval(_COMPLETED_AT)
        FINDINGS.clear()
        for row in rows:
            FINDINGS.labels(row["check_name"]).set(row["findings"])
        COMPLETED_AT.set(completed_at or 0)
