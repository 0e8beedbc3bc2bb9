"""What a batch of ended holds hands over: arrays of rows.

Revision ID: 0014
Revises: 0013
"""

from collections.abc import Sequence

from kit.migrate import run_script

revision: str = "0014"
down_revision: str | None = "0013"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

TYPES = """
CREATE TYPE ended_hold AS (authorization_id uuid, state text, used_fen bigint[]);
CREATE TYPE ended_use AS (relation_id uuid, used_fen bigint, held_fen bigint);
"""


def upgrade() -> None:
    """Both."""
    run_script(TYPES)
