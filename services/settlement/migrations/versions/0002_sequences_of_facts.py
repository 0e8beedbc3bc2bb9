"""Tell apart the sequences of the facts of one person, find a settlement's entries and an account's contributions.

Revision ID: 0002
Revises: 0001
"""

from collections.abc import Sequence

from kit.migrate import run_script

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# One person's events share one sequence, but each tells a part: an enrolment that comes after a newer death must still
# be taken in, and the other way round. So each part keeps the sequence that told it.
SEQUENCES = """
ALTER TABLE person_fact ADD COLUMN died_sequence bigint,
    ADD CONSTRAINT person_fact_death CHECK ((died_on IS NULL) = (died_sequence IS NULL));
ALTER TABLE person_enrolment ADD COLUMN sequence bigint NOT NULL CHECK (sequence > 0);
"""

# The audit's and the support desk's. Settlement ids ascend, so the first index grows at its end.
INDEXES = """
CREATE INDEX entry_of_settlement ON entry (settlement_id) WHERE settlement_id IS NOT NULL;
CREATE INDEX contribution_of_account ON contribution (psn_no);
"""


def upgrade() -> None:
    """Both."""
    for script in (SEQUENCES, INDEXES):
        run_script(script)
