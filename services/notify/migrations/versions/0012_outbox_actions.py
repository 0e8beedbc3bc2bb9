"""What operators did with the outbox after a restore from backup.

Revision ID: 0012
Revises: 0011
"""

from collections.abc import Sequence

from kit import outbox_actions
from kit.migrate import run_script

revision: str = "0012"
down_revision: str | None = "0011"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Create the table."""
    run_script(outbox_actions.SCHEMA)
