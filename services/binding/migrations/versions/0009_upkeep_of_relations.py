"""How relations end by date or by a lost enrolment, what was told ahead, and statements that begin later.

Revision ID: 0009
Revises: 0008
"""

from collections.abc import Sequence

from kit.migrate import run_script

revision: str = "0009"
down_revision: str | None = "0008"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

RELATION = """
-- ended_from: the first day without it, where a date ended it. suspended_at survives an end: a bill of the last day's
-- last minute is judged by it.
ALTER TABLE relation ADD COLUMN ended_from date, ADD COLUMN suspended_at timestamptz;
UPDATE relation SET suspended_at = clock_timestamp() WHERE state = 'SUSPENDED';
UPDATE relation SET ended_from = valid_to + 1 WHERE end_cause = 'EXPIRED';
-- NOT VALID: every row satisfies the narrower check that it replaces, and a scan would keep others waiting.
ALTER TABLE relation DROP CONSTRAINT relation_end_cause_check;
ALTER TABLE relation ADD CONSTRAINT relation_end_cause_check CHECK (end_cause IN (
    'UNBOUND', 'EXPIRED', 'PAYER_DIED', 'BENEFICIARY_DIED', 'PAYER_ENROLMENT_LOST', 'BENEFICIARY_ENROLMENT_LOST'
)) NOT VALID;
"""

NOTICE = """
-- What both sides were told ahead, once: about is the day that the notice names.
CREATE TABLE relation_notice (
    relation_id uuid        NOT NULL REFERENCES relation,
    kind        text        NOT NULL CHECK (kind IN ('EXPIRING', 'COMES_OF_AGE')),
    about       date        NOT NULL,
    told_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (relation_id, kind, about)
);

-- Statements of a loss that begin on a later day. The scheduler takes a row when its day has come.
CREATE TABLE enrolment_to_come (
    psn_no text NOT NULL,
    due_on date NOT NULL,
    PRIMARY KEY (due_on, psn_no)
);
INSERT INTO enrolment_to_come (psn_no, due_on)
SELECT DISTINCT psn_no, valid_from FROM person_enrolment WHERE valid_from >= current_date ON CONFLICT DO NOTHING;
"""


def upgrade() -> None:
    """Columns, causes and tables."""
    for script in (RELATION, NOTICE):
        run_script(script)
