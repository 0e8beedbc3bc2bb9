"""Proofs with the checksum of what is kept, and who of the staff looked at them.

Revision ID: 0008
Revises: 0007
"""

from collections.abc import Sequence

from kit.migrate import run_script

revision: str = "0008"
down_revision: str | None = "0007"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

PROOFS = """
-- Of the file as it is kept; pictures are written anew. Empty for those from before.
ALTER TABLE proof ADD COLUMN kept_sha256 text NOT NULL DEFAULT '' CHECK (kept_sha256 ~ '^([0-9a-f]{64})?$');

-- No reference to the proof: it may be removed, the look at it may not.
CREATE TABLE proof_view (
    view_id        uuid        PRIMARY KEY,
    application_id uuid        NOT NULL REFERENCES application,
    proof_id       uuid        NOT NULL,
    at             timestamptz NOT NULL,
    subject        text        NOT NULL CHECK (subject <> ''),
    role           text        NOT NULL CHECK (role <> '')
);
CREATE INDEX proof_view_of_application ON proof_view (application_id, at, view_id);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON proof_view
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
"""


def upgrade() -> None:
    """The checksum, and the looks."""
    run_script(PROOFS)
