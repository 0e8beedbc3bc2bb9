"""Deliveries outside of the inbox, how many each person got in a day, and what the inbox tells of a message.

Revision ID: 0006
Revises: 0005
"""

from collections.abc import Sequence

from kit.migrate import run_script

revision: str = "0006"
down_revision: str | None = "0005"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

DELIVERY = """
-- One for each event, person and channel outside of the inbox. payload_ct is what it says, encrypted, and goes when it
-- has ended. next_attempt_at is of the service's clock, leased_until of the database's.
CREATE TABLE delivery (
    delivery_id     uuid        PRIMARY KEY,
    event_id        uuid        NOT NULL,
    psn_no          text        NOT NULL CHECK (psn_no <> ''),
    channel         text        NOT NULL CHECK (channel IN ('SMS', 'PUSH', 'EMAIL', 'WECOM', 'DINGTALK', 'FEISHU')),
    message_id      uuid,
    contact_id      uuid        NOT NULL,
    kind            text        NOT NULL,
    payload_ct      bytea,
    state           text        NOT NULL DEFAULT 'QUEUED'
                                CHECK (state IN ('QUEUED', 'SENT', 'DELIVERED', 'FAILED', 'GIVEN_UP')),
    attempts        integer     NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    next_attempt_at timestamptz NOT NULL,
    leased_until    timestamptz,
    is_counted      boolean     NOT NULL DEFAULT false,
    provider_id     text,
    last_error      text,
    created_at      timestamptz NOT NULL,
    sent_at         timestamptz,
    ended_at        timestamptz,
    UNIQUE (event_id, psn_no, channel),
    CHECK (state <> 'QUEUED' OR (payload_ct IS NOT NULL AND ended_at IS NULL)),
    CHECK (state NOT IN ('DELIVERED', 'FAILED', 'GIVEN_UP') OR ended_at IS NOT NULL)
);
CREATE INDEX delivery_due ON delivery (channel, next_attempt_at) WHERE state = 'QUEUED';
CREATE INDEX delivery_of_person ON delivery (psn_no, created_at DESC, delivery_id DESC);
CREATE INDEX delivery_newest ON delivery (created_at DESC, delivery_id DESC);

-- How many deliveries of a channel were first claimed for a person on a day (Asia/Shanghai), those that the bound
-- stopped included.
CREATE TABLE daily_count (
    psn_no  text    NOT NULL,
    channel text    NOT NULL,
    day     date    NOT NULL,
    sent    integer NOT NULL CHECK (sent >= 0),
    PRIMARY KEY (psn_no, channel, day)
);
CREATE INDEX daily_count_age ON daily_count (day);
"""
# Of messages of before, kind is not known; their language is.
MESSAGE = """
ALTER TABLE message
    ADD COLUMN kind     text,
    ADD COLUMN language text NOT NULL DEFAULT 'zh-CN',
    ADD COLUMN read_at  timestamptz;
CREATE TYPE kept_message AS (
    message_id uuid, psn_no text, category text, title_ct bytea, body_ct bytea, occurred_at timestamptz, event_id uuid,
    kind text, language text
);
"""


def upgrade() -> None:
    """Create the tables; what is added to messages needs no rewriting of them."""
    run_script(DELIVERY)
    run_script(MESSAGE)
