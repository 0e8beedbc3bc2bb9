"""Premiums: settlements that pay one, the accounts of their years, and what operators have said of them.

Revision ID: 0014
Revises: 0013
"""

from alembic import op

from kit.migrate import run_script

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

# The new checks allow more than the ones they replace, so no row has to be looked at again: NOT VALID.
_SETTLEMENT = """
ALTER TABLE settlement
    ADD COLUMN premium_year         smallint,
    ADD COLUMN premium_payer_psn_no text,
    ADD COLUMN reason_window        text,
    DROP CONSTRAINT settlement_kind,
    DROP CONSTRAINT settlement_kind_check,
    ADD CONSTRAINT settlement_kind_check CHECK (kind IN ('BILL', 'QUOTE', 'PREMIUM')) NOT VALID,
    ADD CONSTRAINT settlement_kind CHECK (kind <> 'QUOTE' OR state IN ('PENDING', 'ABANDONED')) NOT VALID,
    ADD CONSTRAINT settlement_premium CHECK (
        (kind = 'PREMIUM') = (premium_year IS NOT NULL) AND (kind = 'PREMIUM') = (premium_payer_psn_no IS NOT NULL)
    ) NOT VALID,
    ADD CONSTRAINT settlement_reason_window CHECK (
        reason_window IS NULL OR (reason = 'LIMIT_REACHED'
                                  AND reason_window IN ('SETTLEMENT', 'DAY', 'MONTH', 'YEAR', 'TOTAL'))
    ) NOT VALID;
COMMENT ON COLUMN settlement.premium_payer_psn_no IS 'who pays the premium of a year; the insured is psn_no';
"""

# By name and what it is on. No row has a year yet, so the unique one cannot fail.
_INDEXES = {
    "UNIQUE INDEX CONCURRENTLY settlement_premium_once": """(psn_no, premium_year)
        WHERE premium_year IS NOT NULL AND state IN ('PENDING', 'SETTLED')""",
    "INDEX CONCURRENTLY settlement_premium_of_insured": "(psn_no, id) WHERE premium_year IS NOT NULL",
    "INDEX CONCURRENTLY settlement_premium_of_payer": "(premium_payer_psn_no, id) WHERE premium_year IS NOT NULL",
}

_ENTRY = """
ALTER TABLE entry
    DROP CONSTRAINT entry_account_kind_check,
    DROP CONSTRAINT entry_entry_kind_check,
    ADD CONSTRAINT entry_account_kind_check
        CHECK (account_kind IN ('PERSONAL', 'CLEARING', 'CONTRIBUTION', 'PAYOUT', 'PREMIUM')) NOT VALID,
    ADD CONSTRAINT entry_entry_kind_check
        CHECK (entry_kind IN ('CONTRIBUTION', 'INTEREST', 'SETTLEMENT', 'REFUND', 'PAYOUT', 'PREMIUM',
                              'PREMIUM_REFUND')) NOT VALID;
"""

_TERMS = """
-- What operators have said of premiums; never changed: of a year the last word holds.
CREATE TABLE premium_terms (
    id           bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    year         smallint    NOT NULL,
    amount_fen   bigint      NOT NULL CHECK (amount_fen > 0),
    collect_from date        NOT NULL,
    collect_to   date        NOT NULL,
    stated_by    text        NOT NULL,
    stated_at    timestamptz NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK (collect_from <= collect_to)
);
CREATE INDEX premium_terms_of_year ON premium_terms (year, id);
"""


def upgrade() -> None:
    """Everything that premiums need; the indexes without keeping anybody waiting."""
    for script in (_SETTLEMENT, _ENTRY, _TERMS):
        run_script(script)
    with op.get_context().autocommit_block():
        for index, columns in _INDEXES.items():
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {index.rpartition(' ')[2]}")
            op.execute(f"CREATE {index} ON settlement {columns}")
