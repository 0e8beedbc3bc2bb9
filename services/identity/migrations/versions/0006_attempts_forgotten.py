"""Attempts that no longer count may be dropped.

Revision ID: 0006
Revises: 0005
"""

from kit.migrate import run_script

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

# An hour is the longest stretch in which an attempt counts; a day leaves time for questions and for clocks that differ.
_ATTEMPTS = """
DROP TRIGGER append_only ON attempt;
CREATE TRIGGER append_only BEFORE UPDATE OR TRUNCATE ON attempt
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER kept_while_it_counts BEFORE DELETE ON attempt
    FOR EACH ROW WHEN (OLD.created_at > clock_timestamp() - interval '1 day') EXECUTE FUNCTION refuse_change();
CREATE INDEX attempt_age ON attempt (created_at);
"""


def upgrade() -> None:
    """Let them go after a day and not before."""
    run_script(_ATTEMPTS)
