"""The access log by months.

Revision ID: 0013
Revises: 0012
"""

from alembic import op

from identity.access_months import ACCESS_LOG_MONTHS
from kit import month_tables

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

# A table that is to hold others' rows by the same rules must be known to keep them.
_RULE = "ALTER TABLE access_log VALIDATE CONSTRAINT access_log_operation_check"


def upgrade() -> None:
    """Reads the table twice beside those who write; then keeps them waiting for a moment."""
    with op.get_context().autocommit_block():
        op.execute(_RULE)
    month_tables.turn(ACCESS_LOG_MONTHS)
