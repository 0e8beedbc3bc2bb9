"""What is unsent is kept in runs of ids instead of one row for each event.

Revision ID: 0013
Revises: 0012
"""

from collections.abc import Sequence

from kit import outbox
from kit.migrate import run_script

revision: str = "0013"
down_revision: str | None = "0012"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Change the table; no process of the version before may be running."""
    run_script(outbox.RUNS)
