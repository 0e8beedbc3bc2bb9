"""Imports of the register: what has been taken of each batch, and an index that tells an unchanged row.

Revision ID: 0003
Revises: 0002
"""

from kit.migrate import run_script

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_IMPORTS = """
ALTER TABLE insured_certificate ADD COLUMN stated_index bytea;
COMMENT ON COLUMN insured_certificate.stated_index IS
    'keyed hash of what a register''s row says but for the enrolment; null until the person is saved again';

-- A batch of the register. What has been taken of it is recorded in the transaction of its effect.
CREATE TABLE insured_import (
    id              bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    batch_id        text        NOT NULL UNIQUE CHECK (batch_id ~ '^[0-9A-Za-z._-]{1,64}$'),
    started_by      text        NOT NULL,
    started_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    content_sha256  bytea       CHECK (length(content_sha256) = 32),
    next_row        bigint      NOT NULL CHECK (next_row >= 1),
    changed_count   bigint      NOT NULL CHECK (changed_count >= 0),
    unchanged_count bigint      NOT NULL CHECK (unchanged_count >= 0),
    refused_count   bigint      NOT NULL CHECK (refused_count >= 0),
    complete        boolean     NOT NULL,
    CHECK (next_row - 1 = changed_count + unchanged_count + refused_count)
);

CREATE TABLE insured_import_chunk (
    batch_id     text    NOT NULL REFERENCES insured_import (batch_id),
    first_row    bigint  NOT NULL CHECK (first_row >= 1),
    row_count    integer NOT NULL CHECK (row_count >= 1),
    fingerprints bytea   NOT NULL CHECK (length(fingerprints) = 8 * row_count),
    PRIMARY KEY (batch_id, first_row)
);
COMMENT ON COLUMN insured_import_chunk.fingerprints IS
    'the first 8 bytes of a keyed hash of each row: a row that is sent again must be the same';

CREATE TABLE insured_import_refused (
    batch_id    text   NOT NULL REFERENCES insured_import (batch_id),
    row_number  bigint NOT NULL CHECK (row_number >= 1),
    description text   NOT NULL,
    PRIMARY KEY (batch_id, row_number)
);
COMMENT ON COLUMN insured_import_refused.description IS 'names no personal data';
"""


def upgrade() -> None:
    """Create the tables; the column is added without a rewrite."""
    run_script(_IMPORTS)
