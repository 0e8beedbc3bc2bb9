"""How far a command came that changes every row of a table in batches.

Revision ID: 0018
Revises: 0017
"""

from collections.abc import Sequence

from kit import backfill
from kit.migrate import run_script

revision: str = "0018"
down_revision: str | None = "0017"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Create the table."""
    run_script(backfill.SCHEMA)
