"""What the last audit found.

Revision ID: 0017
Revises: 0016
"""

from collections.abc import Sequence

from kit import audit_results
from kit.migrate import run_script

revision: str = "0017"
down_revision: str | None = "0016"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Create the tables."""
    run_script(audit_results.SCHEMA)
