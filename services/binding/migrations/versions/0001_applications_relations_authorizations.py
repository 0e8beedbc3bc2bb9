"""Applications with proofs, relations with counters, authorizations, and what binding knows of persons.

Revision ID: 0001
Revises:
"""

from collections.abc import Sequence

from kit import inbox, outbox
from kit.migrate import run_script

revision: str = "0001"
down_revision: str | None = None
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

PERSON = """
-- What identity's events have told. Which enrolment is in force on a day is the newest statement that has begun, so
-- statements are kept and may arrive in any order.
CREATE TABLE person (
    psn_no      text PRIMARY KEY,
    brdy        date,
    verified_at timestamptz,
    died_on     date
);
CREATE TABLE person_enrolment (
    psn_no         text    NOT NULL REFERENCES person,
    sequence       bigint  NOT NULL CHECK (sequence > 0),
    insutype       text    NOT NULL CHECK (insutype IN ('310', '390')),
    insuplc_admdvs text    NOT NULL,
    psn_insu_stas  integer NOT NULL CHECK (psn_insu_stas BETWEEN 0 AND 4),
    arrears        boolean NOT NULL,
    valid_from     date    NOT NULL,
    valid_to       date,
    PRIMARY KEY (psn_no, sequence)
);
"""

APPLICATION = """
CREATE TABLE application (
    application_id     uuid        PRIMARY KEY,
    applicant          text        NOT NULL,
    request_id         uuid        NOT NULL,
    body_hash          bytea       NOT NULL,
    payer_psn_no       text        NOT NULL,
    beneficiary_psn_no text        NOT NULL,
    relationship       text        NOT NULL CHECK (relationship IN ('SPOUSE', 'PARENT', 'CHILD')),
    settlement_fen     bigint      CHECK (settlement_fen > 0),
    day_fen            bigint      CHECK (day_fen > 0),
    month_fen          bigint      CHECK (month_fen > 0),
    year_fen           bigint      CHECK (year_fen > 0),
    total_fen          bigint      CHECK (total_fen > 0),
    valid_from         date,
    valid_to           date        NOT NULL,
    priority           integer     NOT NULL CHECK (priority BETWEEN 0 AND 99),
    pledge_version     text        NOT NULL,
    state              text        NOT NULL
        CHECK (state IN ('DRAFT', 'SUBMITTED', 'CLAIMED', 'APPROVED', 'REJECTED', 'RETURNED')),
    consented_at       timestamptz,
    submitted_at       timestamptz,
    handler            text        NOT NULL DEFAULT '',
    decider            text        NOT NULL DEFAULT '',
    decision_reason    text        NOT NULL DEFAULT '',
    decided_at         timestamptz,
    relation_id        uuid,
    sequence           bigint      NOT NULL DEFAULT 0,
    created_at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (applicant, request_id),
    CHECK (coalesce(settlement_fen, day_fen, month_fen, year_fen, total_fen) IS NOT NULL),
    CHECK (handler = '' OR handler <> decider),
    CHECK ((state = 'APPROVED') = (relation_id IS NOT NULL))
);
-- One application of a pair waits at a time, whatever the code before it believed.
CREATE UNIQUE INDEX application_one_pending ON application (payer_psn_no, beneficiary_psn_no)
    WHERE state IN ('SUBMITTED', 'CLAIMED');
-- The clerks' queue, oldest first.
CREATE INDEX application_waiting ON application (submitted_at, application_id) WHERE state IN ('SUBMITTED', 'CLAIMED');

-- The bytes are encrypted; the hash of the plain file makes uploading it again harmless.
CREATE TABLE proof (
    proof_id       uuid        PRIMARY KEY,
    application_id uuid        NOT NULL REFERENCES application,
    kind           text        NOT NULL
        CHECK (kind IN ('HOUSEHOLD_REGISTER', 'BIRTH_CERTIFICATE', 'MARRIAGE_CERTIFICATE')),
    media_type     text        NOT NULL CHECK (media_type IN ('application/pdf', 'image/jpeg', 'image/png')),
    sha256         text        NOT NULL CHECK (length(sha256) = 64),
    size_bytes     bigint      NOT NULL CHECK (size_bytes BETWEEN 1 AND 10485760),
    content_ct     bytea       NOT NULL,
    created_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (application_id, kind, sha256)
);
"""

RELATION = """
CREATE TABLE relation (
    relation_id        uuid        PRIMARY KEY,
    application_id     uuid        NOT NULL UNIQUE REFERENCES application,
    payer_psn_no       text        NOT NULL,
    beneficiary_psn_no text        NOT NULL,
    relationship       text        NOT NULL CHECK (relationship IN ('SPOUSE', 'PARENT', 'CHILD')),
    priority           integer     NOT NULL CHECK (priority BETWEEN 1 AND 99),
    settlement_fen     bigint      CHECK (settlement_fen > 0),
    day_fen            bigint      CHECK (day_fen > 0),
    month_fen          bigint      CHECK (month_fen > 0),
    year_fen           bigint      CHECK (year_fen > 0),
    total_fen          bigint      CHECK (total_fen > 0),
    valid_from         date        NOT NULL,
    valid_to           date        NOT NULL,
    approved_at        timestamptz NOT NULL,
    state              text        NOT NULL CHECK (state IN ('ACTIVE', 'SUSPENDED', 'ENDED')),
    state_reason       text        NOT NULL DEFAULT '',
    end_cause          text        CHECK (end_cause IN ('UNBOUND', 'EXPIRED', 'PAYER_DIED', 'BENEFICIARY_DIED')),
    ended_at           timestamptz,
    sequence           bigint      NOT NULL DEFAULT 0,
    created_at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK (payer_psn_no <> beneficiary_psn_no),
    CHECK (valid_to >= valid_from),
    CHECK (coalesce(settlement_fen, day_fen, month_fen, year_fen, total_fen) IS NOT NULL),
    CHECK ((state = 'ENDED') = (end_cause IS NOT NULL AND ended_at IS NOT NULL))
);
-- At most one that has not ended per pair, whatever the code before it believed.
CREATE UNIQUE INDEX relation_one_living ON relation (payer_psn_no, beneficiary_psn_no) WHERE state <> 'ENDED';
CREATE INDEX relation_of_beneficiary ON relation (beneficiary_psn_no);
CREATE INDEX relation_of_payer ON relation (payer_psn_no);
"""

AUTHORIZATION = """
-- Counters exist for every window of every relation that was ever spent under, limited or not. Room in the pages,
-- because every settlement updates rows in place.
CREATE TABLE limit_counter (
    relation_id  uuid   NOT NULL REFERENCES relation,
    window_kind  text   NOT NULL CHECK (window_kind IN ('DAY', 'MONTH', 'YEAR', 'TOTAL')),
    window_start date   NOT NULL,
    used_fen     bigint NOT NULL DEFAULT 0 CHECK (used_fen >= 0),
    held_fen     bigint NOT NULL DEFAULT 0 CHECK (held_fen >= 0),
    PRIMARY KEY (relation_id, window_kind, window_start)
) WITH (fillfactor = 70);

-- One row per settlement that asked, or whose outcome came first. It moves only forward; a RELEASED row of an id that
-- was never asked for is the fence against an Authorize that arrives late.
CREATE TABLE authorization_record (
    authorization_id   uuid        PRIMARY KEY,
    state              text        NOT NULL CHECK (state IN ('HELD', 'CAPTURED', 'RELEASED', 'RESTORED')),
    beneficiary_psn_no text        NOT NULL,
    occurred_at        timestamptz NOT NULL,
    occurred_on        date        NOT NULL,
    created_at         timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 80);
-- What settlement is asked about when it reconciles holds.
CREATE INDEX authorization_held ON authorization_record (created_at) WHERE state = 'HELD';

-- The answer as it was given (granted_fen, reason, window), and what the line charges to the counters now.
CREATE TABLE authorization_line (
    authorization_id uuid     NOT NULL REFERENCES authorization_record,
    relation_id      uuid     NOT NULL REFERENCES relation,
    position         smallint NOT NULL,
    granted_fen      bigint   NOT NULL CHECK (granted_fen >= 0),
    reason           text,
    window_kind      text     CHECK (window_kind IN ('SETTLEMENT', 'DAY', 'MONTH', 'YEAR', 'TOTAL')),
    held_fen         bigint   NOT NULL CHECK (held_fen >= 0),
    used_fen         bigint   NOT NULL CHECK (used_fen >= 0),
    PRIMARY KEY (authorization_id, relation_id)
) WITH (fillfactor = 80);
"""


def upgrade() -> None:
    """Every table, and those of the outbox and the inbox."""
    for script in (PERSON, APPLICATION, RELATION, AUTHORIZATION, outbox.SCHEMA, inbox.SCHEMA):
        run_script(script)
