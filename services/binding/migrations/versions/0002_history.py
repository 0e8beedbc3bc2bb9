"""The history of applications and relations, to which rows are only ever added.

Revision ID: 0002
Revises: 0001
"""

from collections.abc import Sequence

from kit.migrate import run_script

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

HISTORY = """
-- One row per change: only the fields that changed, persons only by psn_no. Positions count from 1 per aggregate.
CREATE TABLE history (
    aggregate_kind text        NOT NULL CHECK (aggregate_kind IN ('APPLICATION', 'RELATION')),
    aggregate_id   uuid        NOT NULL,
    position       integer     NOT NULL CHECK (position > 0),
    at             timestamptz NOT NULL,
    subject        text        NOT NULL CHECK (subject <> ''),
    role           text        NOT NULL CHECK (role <> ''),
    what           text        NOT NULL CHECK (what ~ '^[A-Z_]{1,40}$'),
    before         jsonb       NOT NULL CHECK (jsonb_typeof(before) = 'object'),
    after          jsonb       NOT NULL CHECK (jsonb_typeof(after) = 'object'),
    why            text        NOT NULL,
    written_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (aggregate_kind, aggregate_id, position)
);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% takes no %: its rows are never changed', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'restrict_violation';
END $$;
-- A trigger and not grants: the service's role owns its tables.
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON history
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
"""


def upgrade() -> None:
    """The table and what keeps it as it was written."""
    run_script(HISTORY)
