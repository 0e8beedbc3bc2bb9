"""What the last audit found.

Revision ID: 0020
Revises: 0019
"""

from collections.abc import Sequence

from kit import audit_results
from kit.migrate import run_script

revision: str = "0020"
down_revision: str | None = "0019"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Create the tables."""
    run_script(audit_results.SCHEMA)
