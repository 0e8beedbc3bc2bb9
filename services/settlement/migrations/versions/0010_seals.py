"""Sealed blocks of entries.

Revision ID: 0010
Revises: 0009
"""

from alembic import op

from kit.migrate import run_script

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_ENTRY = """
-- Which transaction wrote an entry: those of transactions below the oldest that still runs are all there are of them.
-- A constant default rewrites no row: what was written before has 0, below all others. Only from now on it is told.
ALTER TABLE entry ADD COLUMN tx xid8 NOT NULL DEFAULT '0';
ALTER TABLE entry ALTER COLUMN tx SET DEFAULT pg_current_xact_id();
"""

_BLOCK = """
-- Entries in the order (tx, id), cut into blocks; the hash is over the block's entries and the hash before it.
CREATE TABLE entry_block (
    number        bigint      PRIMARY KEY CHECK (number > 0),
    format        smallint    NOT NULL,
    algorithm     text        NOT NULL CHECK (algorithm IN ('SHA-256', 'SM3')),
    entries       integer     NOT NULL CHECK (entries > 0),
    last_tx       xid8        NOT NULL,
    last_entry_id bigint      NOT NULL,
    previous_hash bytea       NOT NULL CHECK (length(previous_hash) = 32),
    hash          bytea       NOT NULL CHECK (length(hash) = 32),
    sealed_at     timestamptz NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE FUNCTION entry_block_is_forever() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'sealed blocks are never changed or removed' USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER entry_block_is_forever BEFORE UPDATE OR DELETE OR TRUNCATE ON entry_block
    FOR EACH STATEMENT EXECUTE FUNCTION entry_block_is_forever();
"""


def upgrade() -> None:
    """The column, the blocks, and the index by which entries are sealed, made without keeping anybody waiting."""
    for script in (_ENTRY, _BLOCK):
        run_script(script)
    with op.get_context().autocommit_block():
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS entry_sealing")
        op.execute("CREATE INDEX CONCURRENTLY entry_sealing ON entry (tx, id)")
