"""What operators did with dead letters.

Revision ID: 0005
Revises: 0004
"""

from collections.abc import Sequence

from kit import dlq_actions
from kit.migrate import run_script

revision: str = "0005"
down_revision: str | None = "0004"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Create the table."""
    run_script(dlq_actions.SCHEMA)
