"""What a posting makes of an account, and from which version it goes on.

Revision ID: 0023
Revises: 0022
"""

from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

_TYPE = """
CREATE TYPE new_step AS (psn_no text, state text, balance_fen bigint, version bigint, version_before bigint)
"""


def upgrade() -> None:
    """A type of its own: the version before hands over `new_standing`."""
    op.execute(_TYPE)
