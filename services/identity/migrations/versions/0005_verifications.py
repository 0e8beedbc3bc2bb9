"""One-time codes, and the attempts that are bounded.

Revision ID: 0005
Revises: 0004
"""

from kit.migrate import run_script

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_VERIFICATIONS = """
-- Codes that were sent to telephones on file. The code is a keyed hash; the telephone is not here at all.
CREATE TABLE verification (
    verification_id uuid        PRIMARY KEY,
    psn_no          text        NOT NULL REFERENCES insured,
    purpose         text        NOT NULL CHECK (purpose IN ('REGISTRATION')),
    caller          text        NOT NULL,
    code_index      bytea       NOT NULL,
    expires_at      timestamptz NOT NULL,
    wrong_tries     integer     NOT NULL CHECK (wrong_tries BETWEEN 0 AND 5),
    used_at         timestamptz,
    created_at      timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX verification_of_person ON verification (psn_no, expires_at);
COMMENT ON COLUMN verification.caller IS 'who started it and alone may use it, as in access_log';
"""

_ATTEMPTS = """
-- What is bounded in any hour, each kind by itself. Keyed hashes only: the table tells nobody's name or number.
CREATE TABLE attempt (
    id            bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind          text        NOT NULL CHECK (kind IN ('CODE_SENT', 'WRONG_CODE', 'MISMATCH')),
    subject_index bytea       NOT NULL,
    caller_index  bytea       NOT NULL,
    occurred_at   timestamptz NOT NULL,
    request_id    text        NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX attempt_about ON attempt (subject_index, kind, occurred_at);
CREATE INDEX attempt_by ON attempt (caller_index, kind, occurred_at);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON attempt
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
"""

# NOT VALID: the rows that are there keep the narrower rule anyway, and nobody waits for them to be read.
_ACCESS_LOG = """
ALTER TABLE access_log DROP CONSTRAINT access_log_operation_check;
ALTER TABLE access_log ADD CONSTRAINT access_log_operation_check
    CHECK (operation IN ('IDENTIFY', 'GET_PERSON', 'FIND_PERSON', 'VIEW_ENROLMENTS', 'VIEW_REMOTE_CARE', 'LIST_ACCESS',
        'START_VERIFICATION', 'REGISTER_PERSON')) NOT VALID;
"""


def upgrade() -> None:
    """Create both tables, and let the access log take registrations."""
    for script in (_VERIFICATIONS, _ATTEMPTS, _ACCESS_LOG):
        run_script(script)
