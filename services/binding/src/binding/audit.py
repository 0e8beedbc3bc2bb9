"""The audit of limits: every counter is what the authorizations charge to it. Reads only, also while serving.

That these are what settlement took and holds is settlement's audit to say; it asks for authorizations by
`AuthorizationService`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from binding.domain.limits import TOTAL_START
from kit.db import Database

COUNTERS = "counters of limits are what the authorizations charge"
SHOWN_FINDINGS = 20
"""Findings that are spelled out; all are counted."""
STATEMENT_TIMEOUT_SECONDS = 600.0

# One statement, so one snapshot: a running service makes no false finding. What a held authorization has in common with
# the captured one that it replaces is counted once (binding.domain.pairs).
_COUNTERS = """
WITH line AS (
    SELECT l.relation_id, r.occurred_on, l.used_fen, l.used_fen + l.held_fen AS taken_fen,
           a.occurred_on AS replaced_on, coalesce(o.used_fen, 0) AS replaced_used_fen,
           coalesce(o.used_fen + o.held_fen, 0) AS replaced_taken_fen
    FROM authorization_line AS l JOIN authorization_record AS r USING (authorization_id)
    LEFT JOIN authorization_record AS a ON a.authorization_id = r.replaces AND r.state = 'HELD'
    LEFT JOIN authorization_line AS o ON o.authorization_id = a.authorization_id AND o.relation_id = l.relation_id
    WHERE l.used_fen > 0 OR l.held_fen > 0
), charge AS (
    SELECT line.relation_id, w.kind, w.start, greatest(0, line.used_fen - p.used_fen) AS used_fen,
           greatest(0, line.taken_fen - p.taken_fen) AS taken_fen
    FROM line CROSS JOIN LATERAL (VALUES
        ('DAY', occurred_on, replaced_on),
        ('MONTH', date_trunc('month', occurred_on)::date, date_trunc('month', replaced_on)::date),
        ('YEAR', date_trunc('year', occurred_on)::date, date_trunc('year', replaced_on)::date),
        ('TOTAL', $1::date, CASE WHEN replaced_on IS NOT NULL THEN $1::date END)
    ) AS w (kind, start, replaced_start)
    CROSS JOIN LATERAL (
        SELECT CASE WHEN w.start = w.replaced_start THEN replaced_used_fen ELSE 0 END AS used_fen,
               CASE WHEN w.start = w.replaced_start THEN replaced_taken_fen ELSE 0 END AS taken_fen
    ) AS p
), charged AS (
    SELECT relation_id, kind, start, sum(used_fen) AS used_fen, sum(taken_fen - used_fen) AS held_fen
    FROM charge GROUP BY relation_id, kind, start
), compared AS MATERIALIZED (
    SELECT format('%s %s from %s', coalesce(c.relation_id, s.relation_id), coalesce(c.window_kind, s.kind),
                  coalesce(c.window_start, s.start)) AS key,
           coalesce(c.used_fen, 0) AS used_fen, coalesce(c.held_fen, 0) AS held_fen,
           coalesce(s.used_fen, 0) AS right_used_fen, coalesce(s.held_fen, 0) AS right_held_fen
    FROM limit_counter AS c FULL JOIN charged AS s
         ON s.relation_id = c.relation_id AND s.kind = c.window_kind AND s.start = c.window_start
), differing AS MATERIALIZED (
    SELECT * FROM compared WHERE (used_fen, held_fen) <> (right_used_fen, right_held_fen)
)
SELECT (SELECT count(*) FROM compared) AS looked_at, (SELECT count(*) FROM differing) AS found,
       ARRAY(SELECT format('%s: %s used and %s held, the authorizations charge %s and %s', key, used_fen, held_fen,
                           right_used_fen, right_held_fen)
             FROM differing ORDER BY key LIMIT $2) AS findings
"""


@dataclass(frozen=True, slots=True)
class Report:
    """What the audit found."""

    looked_at: int
    """Counters: of each relation one for each window and its start."""
    found: int
    findings: tuple[str, ...]
    """The first of them."""


async def audit(database: Database) -> Report:
    """Compare every counter with what is charged to it."""
    async with database.transaction(statement_timeout_seconds=STATEMENT_TIMEOUT_SECONDS) as transaction:
        row = await transaction.raw.fetchrow(_COUNTERS, TOTAL_START, SHOWN_FINDINGS)
    return Report(row["looked_at"], row["found"], tuple(row["findings"])) if row else Report(0, 0, ())


def lines_of(report: Report) -> Iterator[str]:
    """The report as plain text, a line at a time."""
    found = f"{report.looked_at} looked at, {report.found} findings"
    yield f"{COUNTERS}: {found}"
    yield from (f"  {finding}" for finding in report.findings)
    if report.found > len(report.findings):
        yield f"  … and {report.found - len(report.findings)} more"
