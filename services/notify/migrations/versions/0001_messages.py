"""Messages to people, and the inbox of events that they come from.

Revision ID: 0001
Revises:
"""

from collections.abc import Sequence

from kit import inbox
from kit.migrate import run_script

revision: str = "0001"
down_revision: str | None = None
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

MESSAGE = """
-- One message for each event and addressee, however often the event is delivered. Title and body are encrypted: they
-- tell of amounts and of who was ill. The position orders what happened at the same moment by arrival.
CREATE TABLE message (
    message_id  uuid        PRIMARY KEY,
    position    bigint      GENERATED ALWAYS AS IDENTITY,
    psn_no      text        NOT NULL CHECK (psn_no <> ''),
    category    text        NOT NULL CHECK (category IN ('BALANCE', 'ACCOUNT', 'APPLICATION', 'RELATION')),
    title_ct    bytea       NOT NULL,
    body_ct     bytea       NOT NULL,
    occurred_at timestamptz NOT NULL,
    event_id    uuid        NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (event_id, psn_no)
);
CREATE INDEX message_of_person ON message (psn_no, occurred_at DESC, position DESC);
"""


def upgrade() -> None:
    """Create the tables."""
    run_script(MESSAGE + inbox.SCHEMA)
