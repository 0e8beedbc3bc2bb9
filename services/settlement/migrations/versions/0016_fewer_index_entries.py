"""Fewer index entries for each settlement.

Revision ID: 0016
Revises: 0015
"""

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

# Entries that every settlement made when it began, and left behind when it was decided a moment later. What is PENDING
# is found by the unique index of patients; recent outcomes and what was never settled are of what is decided.
_INDEXES = {
    "settlement_decided_of_patient": "settlement (psn_no, updated_at) WHERE state <> 'PENDING'",
    "settlement_never_settled": """settlement (fixmedins_code, occurred_at, id)
        WHERE state IN ('REFUSED', 'ABANDONED') AND kind = 'BILL'""",
}
_LEFT = ("settlement_of_patient", "settlement_unsettled", "settlement_pending")


def upgrade() -> None:
    """The new before the old goes; what a run before left half done is made anew."""
    with op.get_context().autocommit_block():
        for index, columns in _INDEXES.items():
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {index}")
            op.execute(f"CREATE INDEX CONCURRENTLY {index} ON {columns}")
        for index in _LEFT:
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {index}")
