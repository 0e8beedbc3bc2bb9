"""What operators did with the outbox after a restore from backup.

Revision ID: 0016
Revises: 0015
"""

from collections.abc import Sequence

from kit import outbox_actions
from kit.migrate import run_script

revision: str = "0016"
down_revision: str | None = "0015"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Create the table."""
    run_script(outbox_actions.SCHEMA)
