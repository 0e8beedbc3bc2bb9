"""Webhooks, the events that they want, and what became of each.

Revision ID: 0007
Revises: 0006
"""

from collections.abc import Sequence

from kit.migrate import run_script

revision: str = "0007"
down_revision: str | None = "0006"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

WEBHOOKS = """
-- Addresses may carry tokens, and secrets are secrets: both are encrypted. Times are the service's, but for leases.
CREATE TABLE webhook (
    webhook_id            uuid        PRIMARY KEY,
    owner                 text        NOT NULL CHECK (owner ~ '^(institution|system)/.'),
    url_ct                bytea       NOT NULL,
    event_types           text[]      NOT NULL CHECK (cardinality(event_types) BETWEEN 1 AND 50),
    description           text        NOT NULL CHECK (length(description) <= 200),
    secret_ct             bytea       NOT NULL,
    previous_secret_ct    bytea,
    previous_secret_until timestamptz,
    state                 text        NOT NULL CHECK (state IN ('ACTIVE', 'PAUSED', 'OFF', 'REMOVED')),
    off_reason            text        CHECK (off_reason IN ('LASTING_FAILURE', 'GONE')),
    failing_since         timestamptz,
    failures_in_row       integer     NOT NULL CHECK (failures_in_row >= 0),
    rests_until           timestamptz,
    last_delivered_at     timestamptz,
    events_told           bigint      NOT NULL CHECK (events_told >= 0),
    created_at            timestamptz NOT NULL,
    CHECK ((state = 'OFF') = (off_reason IS NOT NULL)),
    CHECK ((failing_since IS NULL) = (failures_in_row = 0)),
    CHECK ((previous_secret_ct IS NULL) = (previous_secret_until IS NULL))
);
CREATE INDEX webhook_of_owner ON webhook (owner, webhook_id) WHERE state <> 'REMOVED';

-- An event that at least one webhook wants, as it is sent; once, however many want it.
CREATE TABLE webhook_event (
    event_id    uuid        PRIMARY KEY,
    body_ct     bytea       NOT NULL,
    occurred_at timestamptz NOT NULL
);
CREATE INDEX webhook_event_age ON webhook_event (occurred_at);

-- One row for each event and webhook, however often the event is delivered to us.
CREATE TABLE webhook_delivery (
    webhook_id      uuid        NOT NULL REFERENCES webhook,
    event_id        uuid        NOT NULL REFERENCES webhook_event ON DELETE CASCADE,
    event_type      text        NOT NULL,
    is_test         boolean     NOT NULL,
    occurred_at     timestamptz NOT NULL,
    queued_at       timestamptz NOT NULL,
    state           text        NOT NULL CHECK (state IN ('QUEUED', 'DELIVERED', 'GIVEN_UP')),
    attempts        integer     NOT NULL DEFAULT 0,
    attempts_before integer     NOT NULL DEFAULT 0 CHECK (attempts_before <= attempts),
    next_attempt_at timestamptz,
    leased_until    timestamptz,
    PRIMARY KEY (webhook_id, event_id),
    CHECK ((state = 'QUEUED') = (next_attempt_at IS NOT NULL))
);
COMMENT ON COLUMN webhook_delivery.attempts_before IS 'those made before it was queued again by a replay';
COMMENT ON COLUMN webhook_delivery.leased_until IS 'by the clock of this database';
CREATE INDEX webhook_delivery_due ON webhook_delivery (webhook_id, next_attempt_at, event_id) WHERE state = 'QUEUED';
CREATE INDEX webhook_delivery_leased ON webhook_delivery (webhook_id, leased_until)
    WHERE state = 'QUEUED' AND leased_until IS NOT NULL;
CREATE INDEX webhook_delivery_time ON webhook_delivery (webhook_id, occurred_at, event_id);
CREATE INDEX webhook_delivery_of_event ON webhook_delivery (event_id);

-- Requests that were made. Nothing of what was said or answered.
CREATE TABLE webhook_attempt (
    attempt_id   uuid        PRIMARY KEY,
    webhook_id   uuid        NOT NULL,
    event_id     uuid        NOT NULL,
    attempted_at timestamptz NOT NULL,
    outcome      text        NOT NULL,
    status       integer,
    duration_ms  integer     NOT NULL CHECK (duration_ms >= 0),
    FOREIGN KEY (webhook_id, event_id) REFERENCES webhook_delivery ON DELETE CASCADE
);
CREATE INDEX webhook_attempt_of_webhook ON webhook_attempt (webhook_id, attempt_id);
CREATE INDEX webhook_attempt_of_delivery ON webhook_attempt (webhook_id, event_id, attempt_id);
"""


def upgrade() -> None:
    """Create the tables."""
    run_script(WEBHOOKS)
