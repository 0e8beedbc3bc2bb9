"""Authorizations that replace one another, and which limits were told to be nearly used.

Revision ID: 0004
Revises: 0003
"""

from collections.abc import Sequence

from kit.migrate import run_script

revision: str = "0004"
down_revision: str | None = "0003"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# Columns without a default, or with a constant one: no row is rewritten.
PAIRS = """
-- What a settlement that settles again replaces, and who has claimed the replaced one; released, its claim is gone.
ALTER TABLE authorization_record ADD COLUMN replaces uuid;
ALTER TABLE authorization_record ADD COLUMN replaced_by uuid;
"""
NOTICES = """
-- Told once in each window: a window is a row, and its relation's lock is held by whoever looks.
ALTER TABLE limit_counter ADD COLUMN nearly_told boolean NOT NULL DEFAULT false;
"""


def upgrade() -> None:
    """Both."""
    run_script(PAIRS)
    run_script(NOTICES)
