"""Messages that are counted and found as they arrive by the index of their person, without reading all of them.

Revision ID: 0011
Revises: 0010
"""

from collections.abc import Sequence

from alembic import op

revision: str = "0011"
down_revision: str | None = "0010"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# In the one index that there was: a message pays for no further entry.
BY_PERSON = """
CREATE INDEX CONCURRENTLY message_by_person
ON message (psn_no, occurred_at DESC, position DESC) INCLUDE (read_at, created_at)
"""


def upgrade() -> None:
    """Built beside the old one, so that nobody waits; what a run before left half done is made anew."""
    with op.get_context().autocommit_block():
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS message_by_person")
        op.execute(BY_PERSON)
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS message_of_person")
