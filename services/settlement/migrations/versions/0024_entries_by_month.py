"""The ledger by months.

Revision ID: 0024
Revises: 0023
"""

from alembic import op

from kit import month_tables
from settlement.entry_months import ENTRY_MONTHS

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

# Added unvalidated when they came. A table that is to hold others' rows by the same rules must be known to keep them.
_RULES = """
ALTER TABLE entry
    VALIDATE CONSTRAINT entry_account_kind_check,
    VALIDATE CONSTRAINT entry_entry_kind_check,
    VALIDATE CONSTRAINT entry_of_contribution,
    VALIDATE CONSTRAINT entry_of_settlement
"""


def upgrade() -> None:
    """Reads the table twice beside those who write; then keeps them waiting for a moment."""
    with op.get_context().autocommit_block():
        op.execute(_RULES)
    month_tables.turn(ENTRY_MONTHS)
