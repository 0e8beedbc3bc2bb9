"""Interest, as a kind of contribution.

Revision ID: 0013
Revises: 0012
"""

from kit.migrate import run_script

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

# The new checks allow more than the ones they replace, so no row has to be looked at again: NOT VALID.
_INTEREST = """
ALTER TABLE contribution
    ADD COLUMN kind text NOT NULL DEFAULT 'CONTRIBUTION',
    ADD CONSTRAINT contribution_kind CHECK (kind IN ('CONTRIBUTION', 'INTEREST')) NOT VALID;
ALTER TABLE entry
    DROP CONSTRAINT entry_entry_kind_check,
    DROP CONSTRAINT entry_check2,
    DROP CONSTRAINT entry_of_settlement,
    ADD CONSTRAINT entry_entry_kind_check
        CHECK (entry_kind IN ('CONTRIBUTION', 'INTEREST', 'SETTLEMENT', 'REFUND', 'PAYOUT')) NOT VALID,
    ADD CONSTRAINT entry_of_contribution
        CHECK ((entry_kind IN ('CONTRIBUTION', 'INTEREST')) = (contribution_id IS NOT NULL)) NOT VALID,
    ADD CONSTRAINT entry_of_settlement
        CHECK ((entry_kind IN ('CONTRIBUTION', 'INTEREST', 'PAYOUT')) = (settlement_id IS NULL)) NOT VALID;
"""


def upgrade() -> None:
    """Let entries be interest."""
    run_script(_INTEREST)
