"""Which institutions are suspended, and so refused.

Revision ID: 0008
Revises: 0007
"""

from collections.abc import Sequence

from kit.migrate import run_script

revision: str = "0008"
down_revision: str | None = "0007"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

INSTITUTIONS = """
-- What identity has told of institutions, the latest of each.
CREATE TABLE institution_standing (
    fixmedins_code text    PRIMARY KEY,
    suspended      boolean NOT NULL,
    epoch          bigint  NOT NULL,
    sequence       bigint  NOT NULL
);
CREATE INDEX institution_standing_suspended ON institution_standing (fixmedins_code) WHERE suspended;
"""


def upgrade() -> None:
    """Create the table."""
    run_script(INSTITUTIONS)
