"""What a batch of authorizations hands over: arrays of rows.

Revision ID: 0012
Revises: 0011
"""

from collections.abc import Sequence

from kit.migrate import run_script

revision: str = "0012"
down_revision: str | None = "0011"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# One array of rows for a statement and not one array for each of their columns: half of the price on either side. A
# type is never changed: another form is another type.
TYPES = """
CREATE TYPE kept_authorization AS (
    is_new boolean, authorization_id uuid, state text, beneficiary_psn_no text, occurred_at timestamptz,
    occurred_on date, replaces uuid, replaced_by uuid, relation_ids uuid[], granted_fen bigint[], reasons text[],
    windows text[], held_fen bigint[], used_fen bigint[]
);
CREATE TYPE moved_relation AS (
    relation_id uuid, open_day date, kept smallint, granting smallint, day_used_fen bigint, month_used_fen bigint,
    year_used_fen bigint, total_used_fen bigint, day_held_fen bigint, month_held_fen bigint, year_held_fen bigint,
    total_held_fen bigint
);
"""


def upgrade() -> None:
    """Both."""
    run_script(TYPES)
