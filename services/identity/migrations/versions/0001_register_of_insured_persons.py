"""Persons, enrolments, institutions, filings, vouchers, the access log and the outbox.

Revision ID: 0001
Revises:
"""

from kit import outbox
from kit.migrate import run_script

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_PERSONS = """
-- The register of insured persons. Columns named *_ct are ciphertexts of kit.crypto; *_index are keyed hashes.
CREATE TABLE insured (
    psn_no     text    PRIMARY KEY CHECK (psn_no ~ '^[0-9A-Za-z]{1,30}$'),
    name_ct    bytea   NOT NULL,
    brdy       date    NOT NULL,
    tel_ct     bytea,
    card_sn_ct bytea,
    died_on    date    CHECK (died_on >= brdy),
    version    bigint  NOT NULL CHECK (version >= 0)
);
COMMENT ON COLUMN insured.version IS 'counts this person''s events without a gap; raised under the row''s lock';

CREATE TABLE insured_certificate (
    psn_no          text  NOT NULL REFERENCES insured,
    psn_cert_type   text  NOT NULL CHECK (psn_cert_type IN ('01', '04', '05', '06', '07', '08', '99', '990201')),
    number_ct       bytea NOT NULL,
    number_index    bytea NOT NULL UNIQUE,
    real_name_index bytea NOT NULL UNIQUE,
    card_index      bytea,
    PRIMARY KEY (psn_no, psn_cert_type)
);
COMMENT ON COLUMN insured_certificate.real_name_index IS
    'of type, number and name together: a wrong name and an unknown number are the same lookup that finds nothing';
COMMENT ON COLUMN insured_certificate.card_index IS 'of number and card_sn together; null without a card';
CREATE INDEX insured_certificate_card ON insured_certificate (card_index) WHERE card_index IS NOT NULL;

CREATE TABLE registration (
    psn_no        text        PRIMARY KEY REFERENCES insured,
    verified_at   timestamptz NOT NULL,
    registered_by text        NOT NULL REFERENCES insured
);

CREATE TABLE guardian (
    psn_no          text NOT NULL REFERENCES registration,
    guardian_psn_no text NOT NULL REFERENCES registration CHECK (guardian_psn_no <> psn_no),
    PRIMARY KEY (psn_no, guardian_psn_no)
);

-- Statements in the order in which they were recorded. A day belongs to the last recorded of those that had begun.
CREATE TABLE enrolment (
    psn_no         text        NOT NULL REFERENCES insured,
    position       integer     NOT NULL CHECK (position >= 1),
    insutype       text        NOT NULL CHECK (insutype IN ('310', '390')),
    insuplc_admdvs text        NOT NULL CHECK (insuplc_admdvs ~ '^[1-9][0-9]{5}$'),
    psn_insu_stas  text        NOT NULL CHECK (psn_insu_stas IN ('0', '1', '2', '3', '4')),
    arrears        boolean     NOT NULL,
    valid_from     date        NOT NULL,
    valid_to       date        CHECK (valid_to >= valid_from),
    recorded_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (psn_no, position)
);

CREATE TABLE remote_filing (
    filing_id  uuid        PRIMARY KEY,
    psn_no     text        NOT NULL REFERENCES insured,
    admdvs     text        NOT NULL CHECK (admdvs ~ '^[1-9][0-9]{3}00$'),
    valid_from date        NOT NULL,
    valid_to   date        CHECK (valid_to >= valid_from),
    filed_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE NULLS NOT DISTINCT (psn_no, admdvs, valid_from, valid_to)
);

CREATE TABLE voucher (
    token_index    bytea       PRIMARY KEY,
    psn_no         text        NOT NULL REFERENCES registration,
    expires_at     timestamptz NOT NULL,
    fixmedins_code text
);
COMMENT ON COLUMN voucher.fixmedins_code IS 'the institution that identified it first; it is good nowhere else';
CREATE INDEX voucher_of_person ON voucher (psn_no, expires_at);
"""

_INSTITUTIONS = """
CREATE TABLE institution (
    fixmedins_code    text    PRIMARY KEY CHECK (fixmedins_code ~ '^[A-Z][0-9]{11}$'),
    fixmedins_name    text    NOT NULL CHECK (length(fixmedins_name) BETWEEN 1 AND 100),
    fixmedins_type    text    NOT NULL CHECK (fixmedins_type IN ('1', '2')),
    admdvs            text    NOT NULL CHECK (admdvs ~ '^[1-9][0-9]{5}$'),
    designated_from   date,
    designated_to     date    CHECK (designated_to >= designated_from),
    remote_settlement boolean NOT NULL,
    suspended         boolean NOT NULL,
    version           bigint  NOT NULL CHECK (version >= 1)
);
COMMENT ON COLUMN institution.version IS 'counts this institution''s events without a gap; raised under its lock';
"""

_ACCESS_LOG = """
-- Who was told what about whom, refused attempts included.
CREATE TABLE access_log (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    occurred_at timestamptz NOT NULL,
    caller      text        NOT NULL,
    operation   text        NOT NULL CHECK (operation IN ('IDENTIFY', 'GET_PERSON')),
    means       text        NOT NULL,
    outcome     text        NOT NULL,
    psn_no      text,
    jti         uuid,
    request_id  text        NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX access_log_of_person ON access_log (psn_no, id) WHERE psn_no IS NOT NULL;
COMMENT ON COLUMN access_log.means IS 'mdtrt_cert_type that was shown, or the role that was used';
COMMENT ON COLUMN access_log.outcome IS 'RECOGNISED, or the reason of the refusal';

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% takes no %: its rows are never changed', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'restrict_violation';
END $$;
-- Triggers and not grants: the service's role owns its tables, and an owner's rights cannot be taken for good.
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON access_log
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON enrolment
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
"""


def upgrade() -> None:
    """Create everything."""
    for script in (outbox.SCHEMA, _PERSONS, _INSTITUTIONS, _ACCESS_LOG):
        run_script(script)
