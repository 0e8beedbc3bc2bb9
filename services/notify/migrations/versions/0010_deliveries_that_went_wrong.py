"""Deliveries that went wrong, newest first, as operators ask for them.

Revision ID: 0010
Revises: 0009
"""

from collections.abc import Sequence

from alembic import op

revision: str = "0010"
down_revision: str | None = "0009"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Few are in it: what went well costs nothing. What a run before left half done is made anew."""
    with op.get_context().autocommit_block():
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS delivery_went_wrong")
        op.execute(
            "CREATE INDEX CONCURRENTLY delivery_went_wrong ON delivery (state, created_at DESC, delivery_id DESC) "
            "WHERE state IN ('FAILED', 'GIVEN_UP')"
        )
