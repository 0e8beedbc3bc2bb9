"""What operators did with dead letters.

Revision ID: 0004
Revises: 0003
"""

from collections.abc import Sequence

from kit import dlq_actions
from kit.migrate import run_script

revision: str = "0004"
down_revision: str | None = "0003"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Create the table."""
    run_script(dlq_actions.SCHEMA)
