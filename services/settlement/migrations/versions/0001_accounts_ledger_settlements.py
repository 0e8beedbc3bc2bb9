"""Accounts, the ledger, settlements and what settlement knows of persons and institutions.

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

ACCOUNT = """
-- A personal account. The version counts its entries and changes of state, and is the sequence of its events; holds of
-- previews do not touch it. Room in the pages, because every settlement updates rows in place.
CREATE TABLE account (
    psn_no      text        PRIMARY KEY,
    state       text        NOT NULL DEFAULT 'OPEN' CHECK (state IN ('OPEN', 'FROZEN', 'CLOSED')),
    balance_fen bigint      NOT NULL DEFAULT 0 CHECK (balance_fen >= 0),
    held_fen    bigint      NOT NULL DEFAULT 0 CHECK (held_fen >= 0),
    version     bigint      NOT NULL DEFAULT 0 CHECK (version >= 0),
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK (balance_fen - held_fen >= 0)
) WITH (fillfactor = 70);

-- Openings, freezes, releases and closings, with reason and authority. An opening has version 0: it is no event.
CREATE TABLE account_change (
    psn_no     text        NOT NULL REFERENCES account,
    version    bigint      NOT NULL CHECK (version >= 0),
    change     text        NOT NULL CHECK (change IN ('OPENED', 'FROZEN', 'UNFROZEN', 'CLOSED')),
    reason     text        NOT NULL,
    changed_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (psn_no, version)
);

CREATE TABLE contribution (
    contribution_id   text        PRIMARY KEY,
    psn_no            text        NOT NULL REFERENCES account,
    amount_fen        bigint      NOT NULL CHECK (amount_fen > 0),
    balance_after_fen bigint      NOT NULL CHECK (balance_after_fen >= 0),
    body_hash         bytea       NOT NULL,
    created_at        timestamptz NOT NULL DEFAULT clock_timestamp()
);
"""

LEDGER = """
-- The ledger. Only personal accounts have a running balance and a version; the balance of a clearing account or of a
-- fund is the sum of its entries, so that no institution is a hot row.
CREATE TABLE entry (
    id                bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    posting_id        uuid        NOT NULL,
    account_kind      text        NOT NULL CHECK (account_kind IN ('PERSONAL', 'CLEARING', 'CONTRIBUTION')),
    account_key       text        NOT NULL,
    amount_fen        bigint      NOT NULL CHECK (amount_fen <> 0),
    balance_after_fen bigint      CHECK (balance_after_fen >= 0),
    version           bigint      CHECK (version > 0),
    entry_kind        text        NOT NULL CHECK (entry_kind IN ('CONTRIBUTION', 'SETTLEMENT', 'REFUND')),
    settlement_id     uuid,
    contribution_id   text,
    patient_psn_no    text,
    fixmedins_code    text,
    posted_at         timestamptz NOT NULL,
    business_day      date        NOT NULL,
    created_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK ((account_kind = 'PERSONAL') = (balance_after_fen IS NOT NULL)),
    CHECK ((account_kind = 'PERSONAL') = (version IS NOT NULL)),
    CHECK ((entry_kind = 'CONTRIBUTION') = (contribution_id IS NOT NULL)),
    CHECK ((entry_kind = 'CONTRIBUTION') = (settlement_id IS NULL))
);
CREATE UNIQUE INDEX entry_of_account ON entry (account_key, version) WHERE account_kind = 'PERSONAL';
"""

ENTRY_GUARDS = """
CREATE FUNCTION entry_is_forever() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'entries are never changed or removed: a correction is a new posting'
        USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER entry_is_forever BEFORE UPDATE OR DELETE OR TRUNCATE ON entry
    FOR EACH STATEMENT EXECUTE FUNCTION entry_is_forever();

-- Once a statement over its new rows, not once a row at commit: a batch writes whole postings in one statement, and if
-- every statement adds up to zero for each posting that it touches, every posting does, forever.
CREATE FUNCTION posting_sums_to_zero() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE unbalanced uuid;
BEGIN
    SELECT posting_id INTO unbalanced FROM written GROUP BY posting_id HAVING sum(amount_fen) <> 0 LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'posting % does not sum to zero', unbalanced USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER posting_sums_to_zero AFTER INSERT ON entry REFERENCING NEW TABLE AS written
    FOR EACH STATEMENT EXECUTE FUNCTION posting_sums_to_zero();
"""

SETTLEMENT = """
-- One row for every msgid that got as far as an intent, and for those that were reversed before they came; of the
-- latter nothing is known but institution and msgid.
CREATE TABLE settlement (
    id                           uuid        PRIMARY KEY,
    fixmedins_code               text        NOT NULL,
    msgid                        text        NOT NULL,
    hash_version                 smallint,
    body_hash                    bytea,
    state                        text        NOT NULL
        CHECK (state IN ('PENDING', 'SETTLED', 'REVERSED', 'REFUSED', 'ABANDONED')),
    reason                       text,
    psn_no                       text,
    mdtrt_id                     text,
    med_type                     smallint,
    medfee_sumamt_fen            bigint      CHECK (medfee_sumamt_fen > 0),
    fund_pay_sumamt_fen          bigint      CHECK (fund_pay_sumamt_fen >= 0),
    psn_part_amt_fen             bigint      CHECK (psn_part_amt_fen >= 0),
    hosp_part_amt_fen            bigint      CHECK (hosp_part_amt_fen >= 0),
    bill_details                 jsonb,
    acct_used_flag               boolean,
    use_mutual_aid               boolean,
    expected_acct_pay_fen        bigint,
    expected_acct_mulaid_pay_fen bigint,
    insutype                     smallint,
    clr_type                     smallint,
    occurred_at                  timestamptz,
    setl_time                    timestamptz,
    reversed_at                  timestamptz,
    business_day                 date,
    acct_pay_fen                 bigint      CHECK (acct_pay_fen >= 0),
    acct_mulaid_pay_fen          bigint      CHECK (acct_mulaid_pay_fen >= 0),
    psn_cash_pay_fen             bigint      CHECK (psn_cash_pay_fen >= 0),
    own_balance_after_fen        bigint      CHECK (own_balance_after_fen >= 0),
    created_at                   timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at                   timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (fixmedins_code, msgid),
    CHECK (state = 'ABANDONED' OR body_hash IS NOT NULL),
    CHECK ((state IN ('REFUSED', 'ABANDONED')) = (reason IS NOT NULL)),
    CHECK ((state IN ('SETTLED', 'REVERSED')) = (setl_time IS NOT NULL)),
    CHECK ((state = 'REVERSED') = (reversed_at IS NOT NULL)),
    CHECK (body_hash IS NULL OR medfee_sumamt_fen = fund_pay_sumamt_fen + psn_part_amt_fen + hosp_part_amt_fen),
    CHECK (setl_time IS NULL OR psn_part_amt_fen = acct_pay_fen + acct_mulaid_pay_fen + psn_cash_pay_fen)
);
-- One at a time for each patient: limits and money of one settlement are decided before the next one asks.
CREATE UNIQUE INDEX settlement_pending_of_patient ON settlement (psn_no) WHERE state = 'PENDING';
-- The sweeper's.
CREATE INDEX settlement_pending ON settlement (created_at) WHERE state = 'PENDING';
-- Recent outcomes of a patient, told to binding along with the next request.
CREATE INDEX settlement_of_patient ON settlement (psn_no, updated_at);

CREATE TABLE settlement_line (
    settlement_id     uuid     NOT NULL REFERENCES settlement,
    position          smallint NOT NULL,
    payer_psn_no      text     NOT NULL,
    relation_id       uuid     NOT NULL,
    amount_fen        bigint   NOT NULL CHECK (amount_fen > 0),
    balance_after_fen bigint   NOT NULL CHECK (balance_after_fen >= 0),
    PRIMARY KEY (settlement_id, position)
);

CREATE TABLE settlement_decline (
    settlement_id uuid     NOT NULL REFERENCES settlement,
    position      smallint NOT NULL,
    payer_psn_no  text     NOT NULL,
    reason        text     NOT NULL,
    limit_window  text     CHECK (limit_window IN ('SETTLEMENT', 'DAY', 'MONTH', 'YEAR', 'TOTAL')),
    PRIMARY KEY (settlement_id, position),
    CHECK ((reason = 'LIMIT_REACHED') = (limit_window IS NOT NULL))
);

CREATE TABLE refund (
    settlement_id     uuid     NOT NULL REFERENCES settlement,
    position          smallint NOT NULL,
    psn_no            text     NOT NULL,
    amount_fen        bigint   NOT NULL CHECK (amount_fen > 0),
    balance_after_fen bigint   NOT NULL CHECK (balance_after_fen >= 0),
    PRIMARY KEY (settlement_id, position)
);

-- Requests to reverse, by their own msgid; several may name one settlement.
CREATE TABLE reversal (
    fixmedins_code text        NOT NULL,
    msgid          text        NOT NULL,
    settlement_id  uuid        NOT NULL REFERENCES settlement,
    hash_version   smallint    NOT NULL,
    body_hash      bytea       NOT NULL,
    reason         text        NOT NULL,
    created_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (fixmedins_code, msgid)
);
CREATE INDEX reversal_of_settlement ON reversal (settlement_id);

-- A visit credential belongs to the visit of its first settlement.
CREATE TABLE credential_use (
    jti        text        PRIMARY KEY,
    mdtrt_id   text        NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Postings hold their day's row FOR SHARE, closing a day takes it FOR UPDATE: a closed day never changes.
CREATE TABLE business_day (
    day       date        PRIMARY KEY,
    state     text        NOT NULL DEFAULT 'OPEN' CHECK (state IN ('OPEN', 'CLOSED')),
    closed_at timestamptz
);
"""

PROJECTION = """
-- What identity has told, by its events. `sequence` is the last one taken in, `as_of` when identity recorded it.
CREATE TABLE person_fact (
    psn_no   text        PRIMARY KEY,
    died_on  date,
    sequence bigint      NOT NULL CHECK (sequence > 0),
    as_of    timestamptz NOT NULL
);

-- Enrolments are dated: one that begins next month must not be seen today. Recording one as of a day replaces those
-- that begin on that day or later. In force on a day: the last that has begun, unless it has ended.
CREATE TABLE person_enrolment (
    psn_no         text        NOT NULL REFERENCES person_fact,
    valid_from     date        NOT NULL,
    valid_to       date,
    insutype       smallint    NOT NULL,
    insuplc_admdvs text        NOT NULL,
    psn_insu_stas  smallint    NOT NULL,
    arrears        boolean     NOT NULL,
    as_of          timestamptz NOT NULL,
    PRIMARY KEY (psn_no, valid_from)
);

CREATE TABLE institution_fact (
    fixmedins_code    text        PRIMARY KEY,
    fixmedins_type    smallint    NOT NULL,
    admdvs            text        NOT NULL,
    designated_from   date,
    designated_to     date,
    remote_settlement boolean     NOT NULL,
    suspended         boolean     NOT NULL,
    sequence          bigint      NOT NULL CHECK (sequence > 0),
    as_of             timestamptz NOT NULL
);
"""


def upgrade() -> None:
    """Everything that the service starts with."""
    for script in (ACCOUNT, LEDGER, ENTRY_GUARDS, SETTLEMENT, PROJECTION, outbox.SCHEMA, inbox.SCHEMA):
        run_script(script)
