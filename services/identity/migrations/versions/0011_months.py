"""The outbox is cut into months, and what is purged of it is written down.

Revision ID: 0011
Revises: 0010
"""

from collections.abc import Sequence

from kit import month_tables
from kit.bus_months import OUTBOX_MONTHS
from kit.migrate import run_script

revision: str = "0011"
down_revision: str | None = "0010"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """The old table stays and becomes what is older than the first month; the version before goes on."""
    month_tables.turn(OUTBOX_MONTHS)
    run_script(month_tables.SCHEMA)
