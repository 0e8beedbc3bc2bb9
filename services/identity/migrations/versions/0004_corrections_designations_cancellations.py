"""Corrections, designation periods and their proposals, kinds and cancellations of filings, more in the access log.

Revision ID: 0004
Revises: 0003
"""

from kit.migrate import run_script

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_CORRECTIONS = """
-- What was corrected of a person, by whom and why; which fields, and never what they said.
CREATE TABLE correction (
    id           bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    psn_no       text        NOT NULL REFERENCES insured,
    corrected_at timestamptz NOT NULL,
    corrected_by text        NOT NULL,
    fields       text[]      NOT NULL CHECK (cardinality(fields) >= 1),
    reason       text        NOT NULL CHECK (length(reason) BETWEEN 1 AND 200)
);
CREATE INDEX correction_of_person ON correction (psn_no, id);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON correction
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
"""

_REMOTE_CARE = """
ALTER TABLE remote_filing ADD COLUMN kind text, ADD COLUMN cancelled_on date;
UPDATE remote_filing SET kind = CASE WHEN valid_to IS NULL THEN 'LONG_TERM' ELSE 'TEMPORARY' END;
ALTER TABLE remote_filing
    ALTER COLUMN kind SET NOT NULL,
    ADD CHECK (kind = 'LONG_TERM' OR kind = 'TEMPORARY' AND valid_to IS NOT NULL),
    DROP CONSTRAINT remote_filing_psn_no_admdvs_valid_from_valid_to_key;
-- The same care is filed once; after a cancellation it can be filed anew.
CREATE UNIQUE INDEX remote_filing_not_cancelled ON remote_filing (psn_no, admdvs, kind, valid_from, valid_to)
    NULLS NOT DISTINCT WHERE cancelled_on IS NULL;
CREATE INDEX remote_filing_of_person ON remote_filing (psn_no, filing_id);
COMMENT ON COLUMN remote_filing.cancelled_on IS 'from this day on the filing counts no more';
"""

_INSTITUTIONS = """
ALTER TABLE institution
    ADD COLUMN designations_from date[] NOT NULL DEFAULT '{}',
    ADD COLUMN designations_to   date[] NOT NULL DEFAULT '{}';
UPDATE institution SET designations_from = ARRAY[designated_from], designations_to = ARRAY[designated_to]
WHERE designated_from IS NOT NULL;
ALTER TABLE institution ADD CHECK (cardinality(designations_from) = cardinality(designations_to));
COMMENT ON COLUMN institution.designations_to IS 'last days of the periods that begin on designations_from; null: open';
COMMENT ON COLUMN institution.designated_from IS
    'of the last period; written for the release before this one, which knew one period, and read no more';

-- One operator proposes, another confirms.
CREATE TABLE institution_change (
    change_id         uuid        PRIMARY KEY,
    fixmedins_code    text        NOT NULL CHECK (fixmedins_code ~ '^[A-Z][0-9]{11}$'),
    fixmedins_name    text        NOT NULL CHECK (length(fixmedins_name) BETWEEN 1 AND 100),
    fixmedins_type    text        NOT NULL CHECK (fixmedins_type IN ('1', '2')),
    admdvs            text        NOT NULL CHECK (admdvs ~ '^[1-9][0-9]{5}$'),
    designations_from date[]      NOT NULL,
    designations_to   date[]      NOT NULL CHECK (cardinality(designations_from) = cardinality(designations_to)),
    remote_settlement boolean     NOT NULL,
    suspended         boolean     NOT NULL,
    base_version      bigint      NOT NULL CHECK (base_version >= 0),
    proposed_by       text        NOT NULL,
    proposed_at       timestamptz NOT NULL,
    reason            text        NOT NULL CHECK (length(reason) BETWEEN 1 AND 200),
    state             text        NOT NULL CHECK (state IN ('PROPOSED', 'CONFIRMED', 'REJECTED')),
    decided_by        text,
    decided_at        timestamptz,
    rejection_reason  text        NOT NULL,
    CHECK ((state = 'PROPOSED') = (decided_by IS NULL) AND (decided_by IS NULL) = (decided_at IS NULL)),
    CHECK (state <> 'CONFIRMED' OR decided_by <> proposed_by)
);
COMMENT ON COLUMN institution_change.base_version IS
    'of the institution that was proposed to change; confirmed only while the institution still has it';
CREATE INDEX institution_change_of_institution ON institution_change (fixmedins_code, change_id);
CREATE INDEX institution_change_undecided ON institution_change (change_id) WHERE state = 'PROPOSED';
"""

_ACCESS_LOG = """
ALTER TABLE access_log ADD COLUMN stated_reason text NOT NULL DEFAULT '', DROP CONSTRAINT access_log_operation_check;
-- NOT VALID: the lines that are there kept a narrower rule, and checking them would lock the log for long.
ALTER TABLE access_log ADD CONSTRAINT access_log_operation_check CHECK (operation IN
    ('IDENTIFY', 'GET_PERSON', 'FIND_PERSON', 'VIEW_ENROLMENTS', 'VIEW_REMOTE_CARE', 'LIST_ACCESS')) NOT VALID;
COMMENT ON COLUMN access_log.stated_reason IS 'why, in the words of the caller; empty if none were asked for';
CREATE INDEX access_log_of_caller ON access_log (caller, id);
"""


def upgrade() -> None:
    """Change and create everything."""
    for script in (_CORRECTIONS, _REMOTE_CARE, _INSTITUTIONS, _ACCESS_LOG):
        run_script(script)
