"""Several periods of designation of an institution, and suspended institutions found at once.

Revision ID: 0003
Revises: 0002
"""

from kit.migrate import run_script

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_INSTITUTIONS = """
ALTER TABLE institution_fact
    ADD COLUMN designations_from date[] NOT NULL DEFAULT '{}',
    ADD COLUMN designations_to   date[] NOT NULL DEFAULT '{}';
UPDATE institution_fact SET designations_from = ARRAY[designated_from], designations_to = ARRAY[designated_to]
WHERE designated_from IS NOT NULL;
ALTER TABLE institution_fact ADD CHECK (cardinality(designations_from) = cardinality(designations_to));
COMMENT ON COLUMN institution_fact.designations_to IS
    'last days of the periods that begin on designations_from; null: open';
COMMENT ON COLUMN institution_fact.designated_from IS
    'of the last period; written for the release before this one, which knew one period, and read no more';
CREATE INDEX institution_fact_suspended ON institution_fact (fixmedins_code) WHERE suspended;
"""


def upgrade() -> None:
    """Add the columns and the index."""
    run_script(_INSTITUTIONS)
