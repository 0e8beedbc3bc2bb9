"""Messages found by event and person alone, and the type of the rows that a batch hands over.

Revision ID: 0002
Revises: 0001
"""

from collections.abc import Sequence

from alembic import op

from kit.migrate import run_script

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# Nothing ever looks for a message by its id, which each message paid for with an entry of an index.
KEY = """
ALTER TABLE message
    DROP CONSTRAINT message_pkey,
    DROP CONSTRAINT message_event_id_psn_no_key,
    ADD CONSTRAINT message_pkey PRIMARY KEY USING INDEX message_of_event;
"""
TYPE = """
CREATE TYPE new_message AS (
    message_id uuid, psn_no text, category text, title_ct bytea, body_ct bytea, occurred_at timestamptz, event_id uuid
);
"""


def upgrade() -> None:
    """The key is built beside the old ones, so that nobody waits; what a run before left half done is made anew."""
    with op.get_context().autocommit_block():
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS message_of_event")
        op.execute("CREATE UNIQUE INDEX CONCURRENTLY message_of_event ON message (event_id, psn_no)")
    run_script(KEY)
    run_script(TYPE)
