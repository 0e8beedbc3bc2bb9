"""Which correction a person's birth date is of, so that an older one does not undo it.

Revision ID: 0006
Revises: 0005
"""

from kit.migrate import run_script

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_PERSON = """
ALTER TABLE person ADD COLUMN brdy_sequence bigint NOT NULL DEFAULT 0 CHECK (brdy_sequence >= 0);
COMMENT ON COLUMN person.brdy_sequence IS 'of the correction that told brdy; 0 while it is what registration told';
"""


def upgrade() -> None:
    """Add the column."""
    run_script(_PERSON)
