"""Outbox and inbox are cut into months, and what is purged of them is written down.

Revision ID: 0014
Revises: 0013
"""

from collections.abc import Sequence

from kit import month_tables
from kit.bus_months import INBOX_MONTHS, OUTBOX_MONTHS
from kit.migrate import run_script

revision: str = "0014"
down_revision: str | None = "0013"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """The old tables stay and become what is older than the first month; the version before goes on."""
    month_tables.turn(OUTBOX_MONTHS)
    month_tables.turn(INBOX_MONTHS)
    run_script(month_tables.SCHEMA)
