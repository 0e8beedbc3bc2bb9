"""What a batch hands over as arrays of rows; lines that are written without looking up their settlements.

Revision ID: 0015
Revises: 0014
"""

from alembic import op

from kit.migrate import run_script

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

# One array of rows for a statement and not one array for each of its columns: half of the price on either side. They
# are types of their own, so that a table may get a column while the release before still writes to it. A type is
# never changed: another form is another type.
_TYPES = """
CREATE TYPE new_intent AS (
    id uuid, fixmedins_code text, msgid text, hash_version smallint, body_hash bytea, psn_no text, mdtrt_id text,
    med_type smallint, medfee_sumamt_fen bigint, fund_pay_sumamt_fen bigint, psn_part_amt_fen bigint,
    hosp_part_amt_fen bigint, bill_details jsonb, acct_used_flag boolean, use_mutual_aid boolean,
    expected_acct_pay_fen bigint, expected_acct_mulaid_pay_fen bigint, insutype smallint, clr_type smallint,
    occurred_at timestamptz, kind text, quote_id uuid, replaces uuid, premium_year smallint, premium_payer_psn_no text,
    jti text
);
CREATE TYPE new_outcome AS (
    id uuid, state text, reason text, reason_window text, setl_time timestamptz, reversed_at timestamptz,
    acct_pay_fen bigint, acct_mulaid_pay_fen bigint, psn_cash_pay_fen bigint, own_balance_after_fen bigint,
    replaced_by uuid
);
CREATE TYPE new_line AS (
    owner uuid, position smallint, payer_psn_no text, relation_id uuid, amount_fen bigint, balance_after_fen bigint
);
CREATE TYPE new_decline AS (owner uuid, position smallint, payer_psn_no text, reason text, limit_window text);
CREATE TYPE new_refund AS (
    settlement_id uuid, position smallint, psn_no text, amount_fen bigint, balance_after_fen bigint
);
CREATE TYPE new_standing AS (psn_no text, state text, balance_fen bigint, version bigint);
CREATE TYPE new_entry AS (
    posting_id uuid, account_kind text, account_key text, amount_fen bigint, balance_after_fen bigint, version bigint,
    entry_kind text, settlement_id uuid, contribution_id text, patient_psn_no text, fixmedins_code text,
    posted_at timestamptz, business_day date
);
"""

# Looked up row by row and locked each time, at a tenth of what settling costs the database. Lines are written by the
# statement that settles their settlement, nothing removes one that is decided, and the audit looks.
_LINES = "ALTER TABLE settlement_line DROP CONSTRAINT settlement_line_settlement_id_fkey"


def upgrade() -> None:
    """Both at once."""
    run_script(_TYPES)
    op.execute(_LINES)
