"""What a day comes to, frozen when it is closed.

Revision ID: 0006
Revises: 0005
"""

from kit.migrate import run_script

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

# The day comes first in both: a day is asked for as a whole when it is closed, and one institution's of it otherwise.
_INDEXES = """
CREATE INDEX settlement_of_day ON settlement (business_day, fixmedins_code, setl_time, id)
    WHERE setl_time IS NOT NULL AND kind = 'BILL';
CREATE INDEX reversal_of_day ON settlement (reversed_at, fixmedins_code, id)
    WHERE reversed_at IS NOT NULL AND kind = 'BILL';
"""

_TOTALS = """
CREATE TABLE daily_total (
    fixmedins_code             text     NOT NULL,
    day                        date     NOT NULL REFERENCES business_day,
    clr_type                   smallint NOT NULL,
    insutype                   smallint NOT NULL,
    gross_count                bigint   NOT NULL CHECK (gross_count >= 0),
    gross_medfee_sumamt_fen    bigint   NOT NULL,
    gross_fund_pay_sumamt_fen  bigint   NOT NULL,
    gross_hosp_part_amt_fen    bigint   NOT NULL,
    gross_acct_pay_fen         bigint   NOT NULL,
    gross_acct_mulaid_pay_fen  bigint   NOT NULL,
    gross_psn_cash_pay_fen     bigint   NOT NULL,
    refund_count               bigint   NOT NULL CHECK (refund_count >= 0),
    refund_medfee_sumamt_fen   bigint   NOT NULL,
    refund_fund_pay_sumamt_fen bigint   NOT NULL,
    refund_hosp_part_amt_fen   bigint   NOT NULL,
    refund_acct_pay_fen        bigint   NOT NULL,
    refund_acct_mulaid_pay_fen bigint   NOT NULL,
    refund_psn_cash_pay_fen    bigint   NOT NULL,
    PRIMARY KEY (fixmedins_code, day, clr_type, insutype),
    CHECK (gross_count + refund_count > 0),
    CHECK (gross_medfee_sumamt_fen = gross_fund_pay_sumamt_fen + gross_hosp_part_amt_fen + gross_acct_pay_fen
                                     + gross_acct_mulaid_pay_fen + gross_psn_cash_pay_fen),
    CHECK (refund_medfee_sumamt_fen = refund_fund_pay_sumamt_fen + refund_hosp_part_amt_fen + refund_acct_pay_fen
                                      + refund_acct_mulaid_pay_fen + refund_psn_cash_pay_fen)
);
COMMENT ON COLUMN daily_total.insutype IS '0 of a patient whose insurance is not known';
"""

_GUARDS = """
ALTER TABLE business_day ADD COLUMN closed_by text,
    ADD CONSTRAINT business_day_closed CHECK (state = 'OPEN' OR (closed_at IS NOT NULL AND closed_by IS NOT NULL));

CREATE FUNCTION closed_day_is_forever() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a closed day never changes: what comes later belongs to the day on which it happens'
        USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER closed_day_is_forever BEFORE UPDATE OR DELETE ON business_day
    FOR EACH ROW WHEN (OLD.state = 'CLOSED') EXECUTE FUNCTION closed_day_is_forever();
CREATE TRIGGER daily_total_is_forever BEFORE UPDATE OR DELETE OR TRUNCATE ON daily_total
    FOR EACH STATEMENT EXECUTE FUNCTION closed_day_is_forever();
"""


def upgrade() -> None:
    """All of it; no day has totals yet."""
    for script in (_INDEXES, _TOTALS, _GUARDS):
        run_script(script)
