"""Indexes for the scheduler, made without keeping anybody waiting.

Revision ID: 0010
Revises: 0009
"""

from collections.abc import Sequence

from alembic import op

revision: str = "0010"
down_revision: str | None = "0009"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

INDEXES = {
    "relation_last_day": "relation (valid_to, relation_id) WHERE state <> 'ENDED'",
    "person_birth": "person (brdy)",
}


def upgrade() -> None:
    """One by one; what a run before left half done is made anew."""
    with op.get_context().autocommit_block():
        for name, what in INDEXES.items():
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
            op.execute(f"CREATE INDEX CONCURRENTLY {name} ON {what}")
