"""The review queue by region and due day, leases of claims, and what clerks did, for good.

Revision ID: 0005
Revises: 0004
"""

from collections.abc import Sequence

from kit.migrate import run_script

revision: str = "0005"
down_revision: str | None = "0004"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

QUEUE = """
ALTER TABLE application
    ADD COLUMN region               text   NOT NULL DEFAULT '',
    ADD COLUMN due_on               date,
    ADD COLUMN handlers             text[] NOT NULL DEFAULT '{}',
    ADD COLUMN claim_expires_at     timestamptz,
    ADD COLUMN handled_at           timestamptz,
    ADD COLUMN decision_reason_code text   NOT NULL DEFAULT '',
    -- Whoever had it in hand does not decide it, whatever the code before it believed.
    ADD CONSTRAINT application_four_eyes CHECK (decider = '' OR decider <> ALL (handlers));
COMMENT ON COLUMN application.region IS 'insured region of the payer when it was handed in';
COMMENT ON COLUMN application.claim_expires_at IS 'by the time of the database, not by the clock of the policy';

-- What waits already: a week is what five working days mostly are, and an open claim is free for others at once.
UPDATE application SET
    due_on = (submitted_at AT TIME ZONE 'Asia/Shanghai')::date + 7,
    region = coalesce((SELECT e.insuplc_admdvs FROM person_enrolment e WHERE e.psn_no = payer_psn_no
                       ORDER BY e.sequence DESC LIMIT 1), ''),
    handlers = CASE WHEN handler = '' THEN '{}' ELSE ARRAY[handler] END
WHERE submitted_at IS NOT NULL;

-- The order of the queue: oldest due first. A replica of the release before hands in without a due day: it comes first.
CREATE INDEX application_queue ON application
    (region, (coalesce(due_on, DATE '1970-01-01')), submitted_at, application_id)
    WHERE state IN ('SUBMITTED', 'CLAIMED');
DROP INDEX application_waiting;
"""

STEPS = """
-- What clerks did: what statistics are counted from, so it never changes.
CREATE TABLE review_step (
    step_no        bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    application_id uuid        NOT NULL REFERENCES application,
    step           text        NOT NULL
        CHECK (step IN ('CLAIM', 'FINISH', 'RELEASE', 'HAND_OVER', 'APPROVE', 'REJECT', 'RETURN')),
    clerk          text        NOT NULL,
    at             timestamptz NOT NULL,
    day            date        NOT NULL,
    region         text        NOT NULL,
    submitted_at   timestamptz NOT NULL,
    due_on         date,
    handed_to      text        NOT NULL DEFAULT '',
    reason_code    text        NOT NULL DEFAULT '',
    words          text        NOT NULL DEFAULT '',
    request_id     uuid
);
COMMENT ON COLUMN review_step.day IS 'Asia/Shanghai date of at';
COMMENT ON COLUMN review_step.request_id IS 'of an item of a batch';
CREATE INDEX review_step_by_day ON review_step (day, region);
CREATE UNIQUE INDEX review_step_of_item ON review_step (clerk, request_id) WHERE request_id IS NOT NULL;

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON review_step
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
"""


def upgrade() -> None:
    """The queue, then the steps."""
    for script in (QUEUE, STEPS):
        run_script(script)
