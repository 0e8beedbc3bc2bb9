"""Contacts, the codes that verify them, and what people chose.

Revision ID: 0004
Revises: 0003
"""

from collections.abc import Sequence

from kit.migrate import run_script

revision: str = "0004"
down_revision: str | None = "0003"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

CONTACT_POINT = """
-- An address of a person, encrypted; address_index is a keyed hash. Of a removed one only that there was one is left.
CREATE TABLE contact_point (
    contact_id    uuid        PRIMARY KEY,
    psn_no        text        NOT NULL CHECK (psn_no <> ''),
    channel       text        NOT NULL
                  CHECK (channel IN ('SMS', 'PUSH', 'EMAIL', 'WECOM', 'DINGTALK', 'FEISHU')),
    address_ct    bytea,
    address_index bytea,
    state         text        NOT NULL CHECK (state IN ('UNVERIFIED', 'VERIFIED', 'REMOVED')),
    created_at    timestamptz NOT NULL,
    verified_at   timestamptz,
    CHECK ((state = 'REMOVED') = (address_ct IS NULL) AND (address_ct IS NULL) = (address_index IS NULL)),
    CHECK (state <> 'VERIFIED' OR verified_at IS NOT NULL)
);
CREATE UNIQUE INDEX contact_verified ON contact_point (psn_no, channel) WHERE state = 'VERIFIED';
CREATE UNIQUE INDEX contact_unverified ON contact_point (psn_no, channel) WHERE state = 'UNVERIFIED';
"""
CONTACT_CODE = """
-- A one-time code: code_index is a keyed hash; code_ct is the code, encrypted, until somebody takes it to send it.
CREATE TABLE contact_code (
    code_id       uuid        PRIMARY KEY,
    contact_id    uuid        NOT NULL REFERENCES contact_point,
    psn_no        text        NOT NULL,
    address_index bytea       NOT NULL,
    code_index    bytea       NOT NULL,
    code_ct       bytea,
    created_at    timestamptz NOT NULL,
    expires_at    timestamptz NOT NULL,
    wrong_tries   smallint    NOT NULL CHECK (wrong_tries >= 0),
    is_open       boolean     NOT NULL,
    recorded_at   timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON COLUMN contact_code.created_at IS 'by the service''s clock, which counts codes; recorded_at is real time';
CREATE UNIQUE INDEX contact_code_open ON contact_code (contact_id) WHERE is_open;
CREATE INDEX contact_code_of_contact ON contact_code (contact_id, recorded_at);
CREATE INDEX contact_code_of_person ON contact_code (psn_no, created_at);
CREATE INDEX contact_code_of_address ON contact_code (address_index, created_at);
CREATE INDEX contact_code_waiting ON contact_code (recorded_at) WHERE code_ct IS NOT NULL;
CREATE INDEX contact_code_age ON contact_code (recorded_at);
"""
CHOICES = """
-- What is not here is wanted.
CREATE TABLE preference (
    psn_no    text    NOT NULL CHECK (psn_no <> ''),
    kind      text    NOT NULL
              CHECK (kind IN ('DEBIT', 'REFUND', 'CREDIT', 'ACCOUNT', 'APPLICATION', 'RELATION', 'LIMIT')),
    channel   text    NOT NULL
              CHECK (channel IN ('INBOX', 'SMS', 'PUSH', 'EMAIL', 'WECOM', 'DINGTALK', 'FEISHU')),
    is_wanted boolean NOT NULL,
    PRIMARY KEY (psn_no, kind, channel),
    CONSTRAINT required_in_the_inbox CHECK (is_wanted OR channel <> 'INBOX' OR kind IN ('CREDIT', 'LIMIT'))
);
-- Who is not here reads zh-CN and has quiet hours from 22:00 to 08:00. Without both times there are none.
CREATE TABLE person_setting (
    psn_no      text PRIMARY KEY CHECK (psn_no <> ''),
    language    text NOT NULL CHECK (language <> ''),
    quiet_from  time,
    quiet_until time,
    CHECK ((quiet_from IS NULL) = (quiet_until IS NULL)),
    CHECK (quiet_from <> quiet_until)
);
"""


def upgrade() -> None:
    """Create the tables."""
    for script in (CONTACT_POINT, CONTACT_CODE, CHOICES):
        run_script(script)
