"""Who suspended an institution: what two operators suspended, no machine feed lifts.

Revision ID: 0007
Revises: 0006
"""

from kit.migrate import run_script

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_INSTITUTIONS = """
ALTER TABLE institution ADD COLUMN suspended_by_operators boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN institution.suspended_by_operators IS 'two operators suspended it, and only two lift that';
UPDATE institution SET suspended_by_operators = true
WHERE suspended AND EXISTS (
    SELECT FROM institution_change AS change
    WHERE change.fixmedins_code = institution.fixmedins_code AND change.state = 'CONFIRMED' AND change.suspended
);
"""


def upgrade() -> None:
    """Add it; suspensions that were once confirmed count as the operators'."""
    run_script(_INSTITUTIONS)
