"""Applications are changed, withdrawn and end by time; pledges by their hash; consents with their evidence; wider kin.

Revision ID: 0007
Revises: 0006
"""

from collections.abc import Sequence

from kit.migrate import run_script

revision: str = "0007"
down_revision: str | None = "0006"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

STATES = """
-- NOT VALID first: adding the check then waits for nobody, and validating it lets everybody write meanwhile.
ALTER TABLE application DROP CONSTRAINT application_state_check;
ALTER TABLE application ADD CONSTRAINT application_state_check CHECK (state IN
    ('DRAFT', 'SUBMITTED', 'CLAIMED', 'APPROVED', 'REJECTED', 'RETURNED', 'WITHDRAWN', 'EXPIRED')) NOT VALID;
ALTER TABLE application VALIDATE CONSTRAINT application_state_check;
ALTER TABLE application DROP CONSTRAINT application_relationship_check;
ALTER TABLE application ADD CONSTRAINT application_relationship_check CHECK (relationship IN
    ('SPOUSE', 'PARENT', 'CHILD', 'SIBLING', 'GRANDPARENT', 'GRANDCHILD')) NOT VALID;
ALTER TABLE application VALIDATE CONSTRAINT application_relationship_check;
ALTER TABLE relation DROP CONSTRAINT relation_relationship_check;
ALTER TABLE relation ADD CONSTRAINT relation_relationship_check CHECK (relationship IN
    ('SPOUSE', 'PARENT', 'CHILD', 'SIBLING', 'GRANDPARENT', 'GRANDCHILD')) NOT VALID;
ALTER TABLE relation VALIDATE CONSTRAINT relation_relationship_check;

ALTER TABLE application ADD COLUMN pledge_sha256 text NOT NULL DEFAULT ''
    CHECK (pledge_sha256 ~ '^([0-9a-f]{64})?$');
-- Requests are answered once by kit's records; a release later these two columns go.
ALTER TABLE application ALTER COLUMN request_id DROP NOT NULL;
ALTER TABLE application ALTER COLUMN body_hash DROP NOT NULL;

CREATE INDEX application_of_payer ON application (payer_psn_no, created_at, application_id);
CREATE INDEX application_of_beneficiary ON application (beneficiary_psn_no, created_at, application_id);
-- What the scheduler ends by time, the oldest first.
CREATE INDEX application_open ON application (coalesce(decided_at, created_at), application_id)
    WHERE state IN ('DRAFT', 'RETURNED');
"""

CONSENT = """
-- Every consent with its evidence, also one that a later change of the application has made void.
CREATE TABLE consent (
    application_id uuid        NOT NULL REFERENCES application,
    psn_no         text        NOT NULL,
    pledge_sha256  text        NOT NULL CHECK (pledge_sha256 ~ '^[0-9a-f]{64}$'),
    given_at       timestamptz NOT NULL,
    issuer         text        NOT NULL,
    jti            text        NOT NULL,
    assertion      text        NOT NULL,
    PRIMARY KEY (application_id, issuer, jti)
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON consent
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
"""


def upgrade() -> None:
    """Widen what there is, add what is new."""
    for script in (STATES, CONSENT):
        run_script(script)
