"""Held previews, and requests under way that end as one.

Revision ID: 0004
Revises: 0003
"""

from kit.migrate import run_script

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_SETTLEMENT = """
-- A preview that holds is a row here while its payers are asked, so that a patient has one request under way at a time,
-- whatever it comes to; then it moves to quote under the same id.
ALTER TABLE settlement
    ADD COLUMN kind     text NOT NULL DEFAULT 'BILL' CHECK (kind IN ('BILL', 'QUOTE')),
    ADD COLUMN quote_id uuid,
    ADD CONSTRAINT settlement_kind CHECK (kind = 'BILL' OR state IN ('PENDING', 'ABANDONED'));
COMMENT ON COLUMN settlement.quote_id IS 'the held preview that was to be settled; of a SETTLED one it is the id';
"""

_QUOTE = """
CREATE TABLE quote (
    id                    uuid        PRIMARY KEY,
    fixmedins_code        text        NOT NULL,
    msgid                 text        NOT NULL,
    hash_version          smallint    NOT NULL,
    body_hash             bytea       NOT NULL,
    state                 text        NOT NULL CHECK (state IN ('HELD', 'USED', 'EXPIRED', 'CANCELLED')),
    psn_no                text        NOT NULL,
    mdtrt_id              text        NOT NULL,
    med_type              smallint    NOT NULL,
    medfee_sumamt_fen     bigint      NOT NULL CHECK (medfee_sumamt_fen > 0),
    fund_pay_sumamt_fen   bigint      NOT NULL CHECK (fund_pay_sumamt_fen >= 0),
    psn_part_amt_fen      bigint      NOT NULL CHECK (psn_part_amt_fen >= 0),
    hosp_part_amt_fen     bigint      NOT NULL CHECK (hosp_part_amt_fen >= 0),
    bill_details          jsonb       NOT NULL,
    acct_used_flag        boolean     NOT NULL,
    use_mutual_aid        boolean     NOT NULL,
    insutype              smallint,
    occurred_at           timestamptz NOT NULL,
    expires_at            timestamptz NOT NULL,
    ended_at              timestamptz,
    acct_pay_fen          bigint      NOT NULL CHECK (acct_pay_fen >= 0),
    acct_mulaid_pay_fen   bigint      NOT NULL CHECK (acct_mulaid_pay_fen >= 0),
    psn_cash_pay_fen      bigint      NOT NULL CHECK (psn_cash_pay_fen >= 0),
    own_balance_after_fen bigint      CHECK (own_balance_after_fen >= 0),
    created_at            timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at            timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (fixmedins_code, msgid),
    CHECK ((state = 'HELD') = (ended_at IS NULL)),
    CHECK (psn_part_amt_fen = acct_pay_fen + acct_mulaid_pay_fen + psn_cash_pay_fen)
);
-- Those that may have run out.
CREATE INDEX quote_held ON quote (expires_at) WHERE state = 'HELD';
-- Recent outcomes of a patient, told to binding along with the next request.
CREATE INDEX quote_of_patient ON quote (psn_no, updated_at);

CREATE TABLE quote_line (
    quote_id          uuid     NOT NULL REFERENCES quote,
    position          smallint NOT NULL,
    payer_psn_no      text     NOT NULL,
    relation_id       uuid     NOT NULL,
    amount_fen        bigint   NOT NULL CHECK (amount_fen > 0),
    balance_after_fen bigint   NOT NULL CHECK (balance_after_fen >= 0),
    PRIMARY KEY (quote_id, position)
);

CREATE TABLE quote_decline (
    quote_id     uuid     NOT NULL REFERENCES quote,
    position     smallint NOT NULL,
    payer_psn_no text     NOT NULL,
    reason       text     NOT NULL,
    limit_window text     CHECK (limit_window IN ('SETTLEMENT', 'DAY', 'MONTH', 'YEAR', 'TOTAL')),
    PRIMARY KEY (quote_id, position),
    CHECK ((reason = 'LIMIT_REACHED') = (limit_window IS NOT NULL))
);
"""


def upgrade() -> None:
    """Both; adding columns with a constant default rewrites no row."""
    for script in (_SETTLEMENT, _QUOTE):
        run_script(script)
