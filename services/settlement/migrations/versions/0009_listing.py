"""Settlements of an institution and day, also those that were never settled.

Revision ID: 0009
Revises: 0008
"""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

# What is settled is found by `settlement_of_day`. A row leaves this index as soon as it is settled, so it stays small.
_UNSETTLED = """
CREATE INDEX CONCURRENTLY settlement_unsettled ON settlement (fixmedins_code, occurred_at, id)
WHERE setl_time IS NULL AND kind = 'BILL'
"""


def upgrade() -> None:
    """A msgid that was reversed before it came gets the time of that; what a run before left half done is made anew."""
    op.execute("ALTER TABLE settlement ALTER COLUMN occurred_at SET DEFAULT clock_timestamp()")
    op.execute("UPDATE settlement SET occurred_at = created_at WHERE occurred_at IS NULL")
    with op.get_context().autocommit_block():
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS settlement_unsettled")
        op.execute(_UNSETTLED)
