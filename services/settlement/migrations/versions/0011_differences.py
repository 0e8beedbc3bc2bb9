"""What institutions' lines and ours differ in, as a worklist.

Revision ID: 0011
Revises: 0010
"""

from kit.migrate import run_script

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_DIFFERENCES = """
-- One for each line of a day that has ever differed. Amounts are medfee_sumamt, fund_pay_sumamt, hosp_part_amt,
-- acct_pay, acct_mulaid_pay and psn_cash_pay in fen; null is the side that does not have the line.
CREATE TABLE difference (
    difference_id  uuid        PRIMARY KEY,
    fixmedins_code text        NOT NULL,
    day            date        NOT NULL,
    msgid          text        NOT NULL,
    refd_setl_flag boolean     NOT NULL,
    here_fen       bigint[]    CHECK (cardinality(here_fen) = 6),
    there_fen      bigint[]    CHECK (cardinality(there_fen) = 6),
    state          text        NOT NULL CHECK (state IN ('OPEN', 'EXPLAINED', 'SOLVED')),
    created_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (fixmedins_code, day, msgid, refd_setl_flag),
    CHECK (here_fen IS DISTINCT FROM there_fen)
);
-- The worklist of an institution, by age.
CREATE INDEX difference_of_institution ON difference (fixmedins_code, difference_id);

CREATE TABLE difference_change (
    difference_id uuid        NOT NULL REFERENCES difference,
    position      integer     NOT NULL CHECK (position > 0),
    state         text        NOT NULL CHECK (state IN ('OPEN', 'EXPLAINED', 'SOLVED')),
    changed_by    text        NOT NULL,
    note          text        NOT NULL,
    changed_at    timestamptz NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (difference_id, position)
);
"""


def upgrade() -> None:
    """Both tables."""
    run_script(_DIFFERENCES)
