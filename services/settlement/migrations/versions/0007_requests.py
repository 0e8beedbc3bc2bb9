"""Requests that were answered, and assertions that were used.

Revision ID: 0007
Revises: 0006
"""

from kit import requests, used_assertions
from kit.migrate import run_script

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create both tables."""
    for script in (requests.SCHEMA, used_assertions.SCHEMA):
        run_script(script)
