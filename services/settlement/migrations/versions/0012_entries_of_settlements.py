"""The index by which the entries of a settlement are found, made without keeping anybody waiting.

Revision ID: 0012
Revises: 0011
"""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """What a run before left half done is made anew."""
    # Ids of settlements ascend with time, so rows come to its end. Without it an audit reads the ledger for each one.
    with op.get_context().autocommit_block():
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS entry_of_settlement")
        op.execute(
            "CREATE INDEX CONCURRENTLY entry_of_settlement ON entry (settlement_id) WHERE settlement_id IS NOT NULL"
        )
