"""Which settlement replaces which.

Revision ID: 0005
Revises: 0004
"""

from kit.migrate import run_script

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_PAIRS = """
ALTER TABLE settlement
    ADD COLUMN replaces    uuid,
    ADD COLUMN replaced_by uuid,
    ADD CONSTRAINT settlement_replaced CHECK (replaced_by IS NULL OR state = 'REVERSED');
COMMENT ON COLUMN settlement.replaces IS 'the settlement that this one was to replace; has replaced it once settled';
CREATE UNIQUE INDEX settlement_replaced_once ON settlement (replaces)
    WHERE replaces IS NOT NULL AND state IN ('SETTLED', 'REVERSED');
"""


def upgrade() -> None:
    """Add both columns; no row has one yet, so the index is empty."""
    run_script(_PAIRS)
