"""What the repository of webhooks says to PostgreSQL."""

from typing import Final

_WEBHOOK: Final = """webhook_id, owner, url_ct, event_types, description, secret_ct, previous_secret_ct,
    previous_secret_until, state, off_reason, failing_since, failures_in_row, rests_until, last_delivered_at,
    events_told"""

ADD: Final = f"""
INSERT INTO webhook ({_WEBHOOK}, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
"""  # noqa: S608 - names of columns
SAVE: Final = f"""
UPDATE webhook SET ({_WEBHOOK}) = ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
WHERE webhook_id = $1
"""  # noqa: S608
# The bound of webhooks for each owner holds also when two are made at once. The space is "hook".
LOCK_OWNER: Final = "SELECT pg_advisory_xact_lock(1752133483, hashtext($1))"
COUNT: Final = "SELECT count(*) FROM webhook WHERE owner = $1 AND state <> 'REMOVED'"
GET: Final = f"SELECT {_WEBHOOK}, created_at FROM webhook WHERE webhook_id = $1 AND state <> 'REMOVED'"  # noqa: S608
# NO KEY: whoever queues an event for it does not wait.
GET_LOCKED: Final = f"{GET} FOR NO KEY UPDATE"
PAGE: Final = f"""
SELECT {_WEBHOOK}, created_at FROM webhook
WHERE state <> 'REMOVED' AND ($1::text IS NULL OR owner = $1) AND ($2::uuid IS NULL OR webhook_id > $2)
ORDER BY webhook_id LIMIT $3
"""  # noqa: S608
WEBHOOKS: Final = f"SELECT {_WEBHOOK}, created_at FROM webhook WHERE webhook_id = ANY ($1::uuid[])"  # noqa: S608
LISTENING: Final = "SELECT webhook_id, owner, event_types, created_at FROM webhook WHERE state <> 'REMOVED'"

LEARN: Final = """
INSERT INTO institution_standing AS known (fixmedins_code, suspended, epoch, sequence) VALUES ($1, $2, $3, $4)
ON CONFLICT (fixmedins_code) DO UPDATE
SET suspended = excluded.suspended, epoch = excluded.epoch, sequence = excluded.sequence
WHERE (excluded.epoch, excluded.sequence) > (known.epoch, known.sequence)
"""
SUSPENDED: Final = "SELECT fixmedins_code FROM institution_standing WHERE suspended"

KEEP_EVENTS: Final = """
INSERT INTO webhook_event (event_id, body_ct, occurred_at)
SELECT * FROM unnest($1::uuid[], $2::bytea[], $3::timestamptz[])
ON CONFLICT DO NOTHING
"""
QUEUE: Final = """
INSERT INTO webhook_delivery
    (webhook_id, event_id, event_type, is_test, occurred_at, queued_at, next_attempt_at, state)
SELECT n.webhook_id, n.event_id, n.event_type, n.is_test, n.occurred_at, $6, $6, 'QUEUED'
FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::boolean[], $5::timestamptz[])
     AS n (webhook_id, event_id, event_type, is_test, occurred_at)
ON CONFLICT DO NOTHING
RETURNING event_id
"""
BODIES: Final = "SELECT event_id, body_ct FROM webhook_event WHERE event_id = ANY ($1::uuid[])"

# Each webhook is looked at by the index of what is due, so a long queue of one costs the others nothing. Who fails is
# tried by one event at a time: there is nothing else to be learned. An owner's deliveries have turns, counted on from
# those under way: the first turn of everybody comes before the second of anybody. Turns are in one order everywhere and
# locked in the end only, so two replicas choose the same of an owner, and the second passes over what the first has.
CLAIM: Final = """
WITH busy AS (
    SELECT webhook_id, count(*) AS leases FROM webhook_delivery
    WHERE state = 'QUEUED' AND leased_until >= clock_timestamp()
    GROUP BY webhook_id
), owned AS (
    SELECT w.owner, sum(busy.leases) AS leases FROM busy JOIN webhook AS w USING (webhook_id) GROUP BY w.owner
), ready AS (
    SELECT w.webhook_id, w.owner, w.event_types,
           w.state <> 'ACTIVE' OR coalesce(w.rests_until > $1, false) AS tests_only,
           CASE WHEN w.failures_in_row >= $5 THEN 1 ELSE $3::integer END - coalesce(busy.leases, 0) AS room,
           coalesce(owned.leases, 0) AS of_owner
    FROM webhook AS w LEFT JOIN busy USING (webhook_id) LEFT JOIN owned USING (owner)
    WHERE w.state <> 'REMOVED' AND coalesce(owned.leases, 0) < $6
      AND EXISTS (SELECT FROM webhook_delivery AS d
                  WHERE d.webhook_id = w.webhook_id AND d.state = 'QUEUED' AND d.next_attempt_at <= $1)
), waiting AS (
    SELECT d.webhook_id, d.event_id, ready.owner, ready.of_owner, d.next_attempt_at,
           row_number() OVER (PARTITION BY d.webhook_id ORDER BY d.next_attempt_at, d.event_id) AS turn
    FROM ready
    CROSS JOIN LATERAL (
        SELECT q.webhook_id, q.event_id, q.next_attempt_at
        FROM webhook_delivery AS q
        WHERE q.webhook_id = ready.webhook_id AND q.state = 'QUEUED' AND q.next_attempt_at <= $1
          AND (q.leased_until IS NULL OR q.leased_until < clock_timestamp())
          AND (q.is_test OR NOT ready.tests_only AND q.event_type = ANY (ready.event_types))
        ORDER BY q.next_attempt_at, q.event_id
        LIMIT greatest(ready.room, 0)
    ) AS d
), turns AS (
    SELECT webhook_id, event_id, of_owner + row_number() OVER (
               PARTITION BY owner ORDER BY turn, next_attempt_at, webhook_id
           ) AS turn
    FROM waiting
), chosen AS (
    SELECT webhook_id, event_id FROM turns WHERE turn <= $6 ORDER BY turn, random() LIMIT $2
), due AS (
    SELECT q.webhook_id, q.event_id
    FROM webhook_delivery AS q JOIN chosen USING (webhook_id, event_id)
    WHERE q.state = 'QUEUED' AND q.next_attempt_at <= $1
      AND (q.leased_until IS NULL OR q.leased_until < clock_timestamp())
    FOR UPDATE OF q SKIP LOCKED
)
UPDATE webhook_delivery AS d
SET attempts = d.attempts + 1, leased_until = clock_timestamp() + $4::interval
FROM due
WHERE d.webhook_id = due.webhook_id AND d.event_id = due.event_id
RETURNING d.webhook_id, d.event_id, d.is_test, d.attempts,
          d.attempts - d.attempts_before AS tries, d.queued_at
"""
POSTPONE: Final = """
UPDATE webhook_delivery AS d SET next_attempt_at = $3, leased_until = NULL
FROM unnest($1::uuid[], $2::uuid[]) AS n (webhook_id, event_id)
WHERE d.webhook_id = n.webhook_id AND d.event_id = n.event_id
"""
HASTEN: Final = """
UPDATE webhook_delivery SET next_attempt_at = $2 WHERE webhook_id = $1 AND state = 'QUEUED' AND next_attempt_at > $2
"""
FINISH: Final = """
WITH finished AS (
    UPDATE webhook_delivery
    SET state = $4, next_attempt_at = $5, leased_until = NULL
    WHERE webhook_id = $1 AND event_id = $2 AND attempts = $3 AND state = 'QUEUED'
    RETURNING true
)
INSERT INTO webhook_attempt (webhook_id, event_id, attempt_id, attempted_at, outcome, status, duration_ms)
SELECT $1, $2, $6, $7, $8, $9, $10 FROM finished
RETURNING true
"""
REPLAYED: Final = """
SELECT event_id, occurred_at
FROM webhook_delivery JOIN webhook USING (webhook_id)
WHERE webhook_id = $1 AND occurred_at >= $2 AND occurred_at < $3 AND webhook_delivery.state = ANY ($4::text[])
  AND NOT is_test AND event_type = ANY (event_types)
ORDER BY occurred_at, event_id
LIMIT $5
"""
# `attempts` goes on counting, so that an attempt of before which is still under way is told apart.
REQUEUE: Final = """
UPDATE webhook_delivery
SET state = 'QUEUED', queued_at = $3, next_attempt_at = $3, leased_until = NULL, attempts_before = attempts
WHERE webhook_id = $1 AND event_id = ANY ($2::uuid[]) AND state <> 'QUEUED'
"""
ATTEMPTS: Final = """
SELECT a.attempt_id, a.webhook_id, a.event_id, a.attempted_at, a.outcome, a.status, a.duration_ms, d.event_type,
       d.state, d.next_attempt_at
FROM webhook_attempt AS a JOIN webhook_delivery AS d USING (webhook_id, event_id)
WHERE a.webhook_id = $1
  AND ($2::uuid IS NULL OR a.event_id = $2)
  AND (NOT $3 OR a.outcome <> 'DELIVERED')
  AND ($4::uuid IS NULL OR a.attempt_id < $4)
ORDER BY a.attempt_id DESC
LIMIT $5
"""
GIVE_UP: Final = """
UPDATE webhook_delivery AS d SET state = 'GIVEN_UP', next_attempt_at = NULL, leased_until = NULL
FROM (SELECT q.webhook_id, q.event_id
      FROM webhook_delivery AS q JOIN webhook AS w USING (webhook_id)
      WHERE q.state = 'QUEUED'
        AND (q.queued_at <= $1 AND w.state <> 'ACTIVE' OR NOT (q.is_test OR q.event_type = ANY (w.event_types)))
      LIMIT $2 FOR UPDATE OF q SKIP LOCKED) AS waiting
WHERE d.webhook_id = waiting.webhook_id AND d.event_id = waiting.event_id
"""
# Deliveries and attempts go with their event.
FORGET: Final = """
DELETE FROM webhook_event WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM webhook_event WHERE occurred_at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED
))
"""
CLEAR_DELIVERIES: Final = """
DELETE FROM webhook_delivery WHERE ctid = ANY (ARRAY(
    SELECT d.ctid FROM webhook_delivery AS d JOIN webhook AS w USING (webhook_id)
    WHERE w.state = 'REMOVED' LIMIT $1 FOR UPDATE OF d SKIP LOCKED
))
"""
CLEAR_WEBHOOKS: Final = """
DELETE FROM webhook WHERE ctid = ANY (ARRAY(
    SELECT w.ctid FROM webhook AS w
    WHERE w.state = 'REMOVED' AND NOT EXISTS (SELECT FROM webhook_delivery AS d WHERE d.webhook_id = w.webhook_id)
    LIMIT $1 FOR UPDATE OF w SKIP LOCKED
))
"""
