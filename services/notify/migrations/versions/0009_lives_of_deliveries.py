"""Deliveries in the order in which they are claimed, those that wait for a receipt, and those that are forgotten.

Revision ID: 0009
Revises: 0008
"""

from collections.abc import Sequence

from alembic import op

from kit.migrate import run_script

revision: str = "0009"
down_revision: str | None = "0008"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

INDEXES = {
    # All that waited for the morning has nearly one time: in order by delivery, too, no claim sorts them all.
    "delivery_claimed": "(channel, next_attempt_at, delivery_id) WHERE state = 'QUEUED'",
    "delivery_unheard": "(sent_at) WHERE state = 'SENT' AND ended_at IS NULL",
    "delivery_ended": "(ended_at) WHERE ended_at IS NOT NULL",
}
WIPE = "UPDATE delivery SET payload_ct = NULL WHERE state <> 'QUEUED' AND payload_ct IS NOT NULL"


def upgrade() -> None:
    """Indexes are built beside the work, so that nobody waits; what a run before left half done is made anew."""
    with op.get_context().autocommit_block():
        for name, what in INDEXES.items():
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
            op.execute(f"CREATE INDEX CONCURRENTLY {name} ON delivery {what}")
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS delivery_due")
    run_script(WIPE)
