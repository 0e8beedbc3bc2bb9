"""An authorization with its lines in one row, and the windows that are open now in the row of their relation.

Revision ID: 0011
Revises: 0010
"""

from collections.abc import Sequence

from alembic import op

from kit.migrate import run_script

revision: str = "0011"
down_revision: str | None = "0010"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# Code of the version before finds views where it wrote: it reads what is true and fails to write, so that nothing is
# ever counted in two places.
OPEN_WINDOWS = """
-- The windows of open_day are open: spending counts in them now, in the relation's own row. A window that a later day
-- has closed is a row of limit_counter_closed. 1970 is before all days: nothing was ever spent. Room in the pages,
-- because every settlement updates rows in place.
ALTER TABLE relation
    ADD COLUMN open_day       date    NOT NULL DEFAULT '1970-01-01',
    ADD COLUMN day_used_fen   bigint  NOT NULL DEFAULT 0,
    ADD COLUMN month_used_fen bigint  NOT NULL DEFAULT 0,
    ADD COLUMN year_used_fen  bigint  NOT NULL DEFAULT 0,
    ADD COLUMN total_used_fen bigint  NOT NULL DEFAULT 0,
    ADD COLUMN day_held_fen   bigint  NOT NULL DEFAULT 0,
    ADD COLUMN month_held_fen bigint  NOT NULL DEFAULT 0,
    ADD COLUMN year_held_fen  bigint  NOT NULL DEFAULT 0,
    ADD COLUMN total_held_fen bigint  NOT NULL DEFAULT 0,
    ADD COLUMN day_told       boolean NOT NULL DEFAULT false,
    ADD COLUMN month_told     boolean NOT NULL DEFAULT false,
    ADD COLUMN year_told      boolean NOT NULL DEFAULT false,
    ADD COLUMN total_told     boolean NOT NULL DEFAULT false,
    ADD CONSTRAINT relation_use_check CHECK (
        0 <= least(day_used_fen, month_used_fen, year_used_fen, total_used_fen,
                   day_held_fen, month_held_fen, year_held_fen, total_held_fen)
    ) NOT VALID;
ALTER TABLE relation SET (fillfactor = 70);

ALTER TABLE limit_counter RENAME TO limit_counter_closed;
UPDATE relation AS r SET open_day = d.open_day
FROM (SELECT relation_id, max(window_start) AS open_day FROM limit_counter_closed
      WHERE window_kind = 'DAY' GROUP BY relation_id) AS d
WHERE d.relation_id = r.relation_id;
UPDATE relation AS r SET day_used_fen = c.used_fen, day_held_fen = c.held_fen, day_told = c.nearly_told
FROM limit_counter_closed AS c
WHERE c.relation_id = r.relation_id AND c.window_kind = 'DAY' AND c.window_start = r.open_day;
UPDATE relation AS r SET month_used_fen = c.used_fen, month_held_fen = c.held_fen, month_told = c.nearly_told
FROM limit_counter_closed AS c
WHERE c.relation_id = r.relation_id AND c.window_kind = 'MONTH' AND c.window_start = date_trunc('month', r.open_day);
UPDATE relation AS r SET year_used_fen = c.used_fen, year_held_fen = c.held_fen, year_told = c.nearly_told
FROM limit_counter_closed AS c
WHERE c.relation_id = r.relation_id AND c.window_kind = 'YEAR' AND c.window_start = date_trunc('year', r.open_day);
UPDATE relation AS r SET total_used_fen = c.used_fen, total_held_fen = c.held_fen, total_told = c.nearly_told
FROM limit_counter_closed AS c WHERE c.relation_id = r.relation_id AND c.window_kind = 'TOTAL';
DELETE FROM limit_counter_closed AS c USING relation AS r
WHERE r.relation_id = c.relation_id
  AND c.window_start = CASE c.window_kind WHEN 'DAY' THEN r.open_day WHEN 'MONTH' THEN date_trunc('month', r.open_day)
                                          WHEN 'YEAR' THEN date_trunc('year', r.open_day) ELSE '1970-01-01' END;

-- Every window, open or closed; for people, the audit and tests.
CREATE VIEW limit_counter AS
SELECT relation_id, window_kind, window_start, used_fen, held_fen, nearly_told FROM limit_counter_closed
UNION ALL
SELECT r.relation_id, w.kind, w.start, w.used_fen, w.held_fen, w.told
FROM relation AS r CROSS JOIN LATERAL (VALUES
    ('DAY', r.open_day, r.day_used_fen, r.day_held_fen, r.day_told),
    ('MONTH', date_trunc('month', r.open_day)::date, r.month_used_fen, r.month_held_fen, r.month_told),
    ('YEAR', date_trunc('year', r.open_day)::date, r.year_used_fen, r.year_held_fen, r.year_told),
    ('TOTAL', '1970-01-01'::date, r.total_used_fen, r.total_held_fen, r.total_told)
) AS w (kind, start, used_fen, held_fen, told)
WHERE r.open_day > '1970-01-01';
"""

LINE_COLUMNS = """
-- A line for each payer, in the order in which they pay: the arrays are as long as one another.
ALTER TABLE authorization_record
    ADD COLUMN relation_ids uuid[]   NOT NULL DEFAULT '{}',
    ADD COLUMN granted_fen  bigint[] NOT NULL DEFAULT '{}',
    ADD COLUMN reasons      text[]   NOT NULL DEFAULT '{}',
    ADD COLUMN windows      text[]   NOT NULL DEFAULT '{}',
    ADD COLUMN held_fen     bigint[] NOT NULL DEFAULT '{}',
    ADD COLUMN used_fen     bigint[] NOT NULL DEFAULT '{}',
    ADD CONSTRAINT authorization_lines_check CHECK (
        cardinality(relation_ids) = ALL (ARRAY[cardinality(granted_fen), cardinality(reasons), cardinality(windows),
                                               cardinality(held_fen), cardinality(used_fen)])
        AND 0 <= ALL (granted_fen) AND 0 <= ALL (held_fen) AND 0 <= ALL (used_fen)
    ) NOT VALID;
"""

# Of the rows on some pages, so that no statement takes as long as the whole table does: a statement has its time-out. A
# row that is filled may have moved to pages that come later, where it is filled again with the same.
FILL_LINES = """
UPDATE authorization_record AS a SET
    relation_ids = l.relation_ids, granted_fen = l.granted_fen, reasons = l.reasons, windows = l.windows,
    held_fen = l.held_fen, used_fen = l.used_fen
FROM (SELECT authorization_id, array_agg(relation_id ORDER BY position) AS relation_ids,
             array_agg(l.granted_fen ORDER BY position) AS granted_fen, array_agg(reason ORDER BY position) AS reasons,
             array_agg(window_kind ORDER BY position) AS windows, array_agg(l.held_fen ORDER BY position) AS held_fen,
             array_agg(l.used_fen ORDER BY position) AS used_fen
      FROM authorization_line AS l JOIN authorization_record AS r USING (authorization_id)
      WHERE r.ctid >= '({first},0)' AND r.ctid < '({after},0)'
      GROUP BY authorization_id) AS l
WHERE a.authorization_id = l.authorization_id
"""
STEPS = 16
PAGES = "SELECT pg_relation_size('authorization_record') / current_setting('block_size')::bigint"

LINES_ARE_ROWS = """
DROP TABLE authorization_line;

-- The lines as rows; for people, the audit and tests.
CREATE VIEW authorization_line AS
SELECT a.authorization_id, l.relation_id, l.position - 1 AS position, l.granted_fen, l.reason, l.window_kind,
       l.held_fen, l.used_fen
FROM authorization_record AS a
CROSS JOIN LATERAL unnest(a.relation_ids, a.granted_fen, a.reasons, a.windows, a.held_fen, a.used_fen)
     WITH ORDINALITY AS l (relation_id, granted_fen, reason, window_kind, held_fen, used_fen, position);
"""


def upgrade() -> None:
    """Both."""
    run_script(OPEN_WINDOWS)
    run_script(LINE_COLUMNS)
    pages = op.get_bind().exec_driver_sql(PAGES).scalar_one()
    pages_a_step = pages // STEPS + 1
    for first in range(0, pages, pages_a_step):
        run_script(FILL_LINES.format(first=first, after=first + pages_a_step))
    run_script(LINES_ARE_ROWS)
