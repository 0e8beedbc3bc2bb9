"""Accounts that are closed, what is paid out, refunds that come afterwards; by whose order an account was changed.

Revision ID: 0008
Revises: 0007
"""

from kit.migrate import run_script

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_CHANGES = """
ALTER TABLE account_change
    ADD COLUMN authority  text NOT NULL DEFAULT '',
    ADD COLUMN changed_by text NOT NULL DEFAULT '';
"""

# The new checks allow more than the ones they replace, so no row has to be looked at again: NOT VALID.
_ENTRIES = """
ALTER TABLE entry
    DROP CONSTRAINT entry_account_kind_check,
    DROP CONSTRAINT entry_entry_kind_check,
    DROP CONSTRAINT entry_check3,
    ADD CONSTRAINT entry_account_kind_check
        CHECK (account_kind IN ('PERSONAL', 'CLEARING', 'CONTRIBUTION', 'PAYOUT')) NOT VALID,
    ADD CONSTRAINT entry_entry_kind_check
        CHECK (entry_kind IN ('CONTRIBUTION', 'SETTLEMENT', 'REFUND', 'PAYOUT')) NOT VALID,
    ADD CONSTRAINT entry_of_settlement
        CHECK ((entry_kind IN ('CONTRIBUTION', 'PAYOUT')) = (settlement_id IS NULL)) NOT VALID;
"""

_PAYOUTS = """
-- Money that left a closed account, with its order; the id is its posting's.
CREATE TABLE payout (
    id                uuid        PRIMARY KEY,
    psn_no            text        NOT NULL REFERENCES account,
    amount_fen        bigint      NOT NULL CHECK (amount_fen > 0),
    balance_after_fen bigint      NOT NULL CHECK (balance_after_fen >= 0),
    way               text        NOT NULL CHECK (way IN ('HEIRS', 'TRANSFER')),
    payment_reference text        NOT NULL,
    reason            text        NOT NULL,
    authority         text        NOT NULL,
    paid_by           text        NOT NULL,
    paid_at           timestamptz NOT NULL,
    created_at        timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX payout_of_account ON payout (psn_no);

-- Refunds that came to closed accounts: the worklist of those who pay them out. The id is the refund's posting's.
CREATE TABLE closed_refund (
    id            uuid        PRIMARY KEY,
    position      bigint      GENERATED ALWAYS AS IDENTITY UNIQUE,
    psn_no        text        NOT NULL REFERENCES account,
    settlement_id uuid        NOT NULL,
    amount_fen    bigint      NOT NULL CHECK (amount_fen > 0),
    refunded_at   timestamptz NOT NULL,
    payout_id     uuid        UNIQUE REFERENCES payout,
    created_at    timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON COLUMN closed_refund.payout_id IS 'how it was paid out; NULL: it waits on the account';
CREATE INDEX closed_refund_of_account ON closed_refund (psn_no);
CREATE INDEX closed_refund_open ON closed_refund (position) WHERE payout_id IS NULL;
"""


def upgrade() -> None:
    """Add tables and columns, and let entries pay out."""
    for script in (_CHANGES, _ENTRIES, _PAYOUTS):
        run_script(script)
