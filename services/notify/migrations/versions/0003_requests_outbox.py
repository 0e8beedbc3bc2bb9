"""Requests that were answered, assertions that were used, and the outbox.

Revision ID: 0003
Revises: 0002
"""

from collections.abc import Sequence

from kit import outbox, requests, used_assertions
from kit.migrate import run_script

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Create the tables."""
    for script in (requests.SCHEMA, used_assertions.SCHEMA, outbox.SCHEMA, outbox.RUNS):
        run_script(script)
