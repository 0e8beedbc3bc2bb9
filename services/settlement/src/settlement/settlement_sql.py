"""The statements of the settle pipeline: arrays in, one statement for a whole batch, locks in sorted order."""

_SELECT = """
SELECT id, fixmedins_code, msgid, hash_version, body_hash, state, reason, psn_no, mdtrt_id, med_type, medfee_sumamt_fen,
       fund_pay_sumamt_fen, psn_part_amt_fen, hosp_part_amt_fen, bill_details::text AS bill_details, acct_used_flag,
       use_mutual_aid, expected_acct_pay_fen, expected_acct_mulaid_pay_fen, kind, quote_id, replaces, replaced_by,
       premium_year, premium_payer_psn_no, reason_window, insutype, occurred_at, setl_time, reversed_at, acct_pay_fen,
       acct_mulaid_pay_fen, psn_cash_pay_fen, own_balance_after_fen
FROM settlement
"""

BY_MSGIDS = (
    _SELECT + "JOIN unnest($1::text[], $2::text[]) AS asked (fixmedins_code, msgid) USING (fixmedins_code, msgid)"
)

BY_IDS = _SELECT + "WHERE id = ANY($1::uuid[])"

LOCK = _SELECT + "WHERE id = ANY($1::uuid[]) ORDER BY id FOR UPDATE"

# The state is the one after waiting for the lock: whoever comes second finds it decided. It is no condition of the part
# that locks: that would be looked up in the index of what is PENDING, which is full of what no longer is. Each part
# counts what the part before has locked, so that settlements are locked before accounts, and both before the day.
LOCK_TO_SETTLE = """
WITH asked AS MATERIALIZED (
    SELECT id, state FROM settlement WHERE id = ANY($1::uuid[]) ORDER BY id FOR UPDATE
), owner AS MATERIALIZED (
    SELECT psn_no, state, balance_fen, held_fen, version FROM account
    WHERE psn_no = ANY($2::text[]) AND (SELECT count(*) FROM asked) >= 0 ORDER BY psn_no FOR UPDATE
), today AS MATERIALIZED (
    SELECT state = 'OPEN' AS is_open FROM business_day WHERE day = $3 AND (SELECT count(*) FROM owner) >= 0 FOR SHARE
)
SELECT ARRAY(SELECT id FROM asked WHERE state = 'PENDING') AS pending,
       ARRAY(SELECT (psn_no, state, balance_fen, held_fen, version) FROM owner) AS accounts,
       (SELECT is_open FROM today) AS is_open
"""

# By the indexes settlement_of_day, settlement_never_settled and that of what is PENDING, which is little. Requests to
# hold are no settlements.
OF_DAY = """
SELECT id FROM (
    (SELECT setl_time AS listed_at, id FROM settlement
     WHERE business_day = $2 AND fixmedins_code = $1 AND setl_time IS NOT NULL AND kind = 'BILL'
       AND (setl_time, id) > ($5, $6)
     ORDER BY setl_time, id LIMIT $7)
    UNION ALL
    (SELECT occurred_at, id FROM settlement
     WHERE fixmedins_code = $1 AND state IN ('REFUSED', 'ABANDONED') AND kind = 'BILL' AND occurred_at >= $3
       AND occurred_at < $4 AND (occurred_at, id) > ($5, $6)
     ORDER BY occurred_at, id LIMIT $7)
    UNION ALL
    (SELECT occurred_at, id FROM settlement
     WHERE fixmedins_code = $1 AND state = 'PENDING' AND kind = 'BILL' AND occurred_at >= $3 AND occurred_at < $4
       AND (occurred_at, id) > ($5, $6)
     ORDER BY occurred_at, id LIMIT $7)
) AS listed
ORDER BY listed_at, id LIMIT $7
"""

# Real elapsed time of the database, never the movable clock: an age says how long somebody has been silent.
PENDING = """
SELECT count(*), coalesce(extract(epoch FROM clock_timestamp() - min(created_at)), 0)::float8
FROM settlement WHERE state = 'PENDING'
"""

TAKE_STALE = (
    _SELECT
    + """
WHERE state = 'PENDING' AND created_at < clock_timestamp() - make_interval(secs => $1)
ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED
"""
)

# By the indexes of each patient's last ones: statement_timestamp(), unlike clock_timestamp(), can be looked up in them.
# The contract takes 200 outcomes with a request; the newest are the ones that may not have arrived by Kafka yet. A
# quote that was used is told as the settlement of the same id. What has no patient is an intent whose msgid is taken.
RECENT = """
SELECT recent.id, patient.psn_no, recent.state, recent.occurred_at, recent.is_quote,
       CASE WHEN recent.is_quote
            THEN ARRAY(SELECT (relation_id, amount_fen) FROM quote_line WHERE quote_id = recent.id ORDER BY position)
            ELSE ARRAY(SELECT (relation_id, amount_fen) FROM settlement_line
                       WHERE settlement_id = recent.id ORDER BY position)
       END AS paid, recent.updated_at
FROM unnest($1::text[]) AS patient (psn_no) CROSS JOIN LATERAL (
    (SELECT id, state, occurred_at, updated_at, false AS is_quote FROM settlement AS s
     WHERE s.psn_no = patient.psn_no AND s.updated_at > statement_timestamp() - interval '1 day'
       AND s.state <> 'PENDING' AND s.use_mutual_aid AND s.psn_part_amt_fen > 0
     ORDER BY s.updated_at DESC LIMIT 200)
    UNION ALL
    (SELECT id, state, occurred_at, updated_at, true FROM quote AS q
     WHERE q.psn_no = patient.psn_no AND q.updated_at > statement_timestamp() - interval '1 day'
       AND q.state <> 'USED' AND q.use_mutual_aid AND q.psn_part_amt_fen > 0
     ORDER BY q.updated_at DESC LIMIT 200)
    ORDER BY updated_at DESC LIMIT 200
) AS recent
UNION ALL
SELECT id, NULL, NULL, NULL, NULL, NULL, NULL
FROM unnest($2::uuid[], $3::text[], $4::text[]) AS asked (id, fixmedins_code, msgid)
WHERE EXISTS (SELECT FROM quote AS q WHERE q.fixmedins_code = asked.fixmedins_code AND q.msgid = asked.msgid)
   OR EXISTS (SELECT FROM reversal AS r WHERE r.fixmedins_code = asked.fixmedins_code AND r.msgid = asked.msgid)
ORDER BY updated_at
"""

LINES = """
SELECT settlement_id, payer_psn_no, relation_id, amount_fen, balance_after_fen FROM settlement_line
WHERE settlement_id = ANY($1::uuid[]) ORDER BY settlement_id, position
"""

DECLINES = """
SELECT settlement_id, payer_psn_no, reason, limit_window FROM settlement_decline
WHERE settlement_id = ANY($1::uuid[]) ORDER BY settlement_id, position
"""

REFUNDS = """
SELECT settlement_id, psn_no, amount_fen, balance_after_fen FROM refund
WHERE settlement_id = ANY($1::uuid[]) ORDER BY settlement_id, position
"""

_INTENT_COLUMNS = """fixmedins_code, msgid, hash_version, body_hash, psn_no, mdtrt_id, med_type, medfee_sumamt_fen,
    fund_pay_sumamt_fen, psn_part_amt_fen, hosp_part_amt_fen, bill_details, acct_used_flag, use_mutual_aid,
    expected_acct_pay_fen, expected_acct_mulaid_pay_fen, insutype, clr_type, occurred_at, kind, quote_id, replaces,
    premium_year, premium_payer_psn_no"""
_OUTCOME_COLUMNS = """state, reason, reason_window, setl_time, reversed_at, acct_pay_fen, acct_mulaid_pay_fen,
    psn_cash_pay_fen, own_balance_after_fen, replaced_by"""

# Sorted by patient: two processes with the same patients wait for each other in the same order. The credential of what
# is written is bound to its visit, unless it is bound; whether by this one is told.
ADD_INTENTS = f"""
WITH intent AS MATERIALIZED (
    SELECT * FROM unnest($1::new_intent[])
), written AS (
    INSERT INTO settlement (id, state, {_INTENT_COLUMNS})
    SELECT id, 'PENDING', {_INTENT_COLUMNS} FROM intent ORDER BY psn_no, msgid
    ON CONFLICT DO NOTHING
    RETURNING id, created_at
), bound AS (
    INSERT INTO credential_use (jti, mdtrt_id)
    SELECT jti, mdtrt_id FROM intent JOIN written USING (id) WHERE jti IS NOT NULL ORDER BY jti
    ON CONFLICT DO NOTHING
    RETURNING jti, mdtrt_id
)
SELECT id, created_at, bound.jti IS NOT NULL AS binds
FROM written JOIN intent USING (id) LEFT JOIN bound USING (jti, mdtrt_id)
"""  # noqa: S608 - constants of this file

_ADD_PARTS = """lines AS (
    INSERT INTO settlement_line (settlement_id, position, payer_psn_no, relation_id, amount_fen, balance_after_fen)
    SELECT * FROM unnest($3::new_line[])
), declines AS (
    INSERT INTO settlement_decline (settlement_id, position, payer_psn_no, reason, limit_window)
    SELECT * FROM unnest($4::new_decline[])
)"""

# What is decided in the transaction that it comes in: it was never PENDING.
ADD_DECIDED = f"""
WITH {_ADD_PARTS}
INSERT INTO settlement (id, business_day, {_INTENT_COLUMNS}, {_OUTCOME_COLUMNS})
SELECT id, CASE WHEN setl_time IS NOT NULL THEN $5::date END, {_INTENT_COLUMNS}, {_OUTCOME_COLUMNS}
FROM unnest($1::new_intent[]) JOIN unnest($2::new_outcome[]) AS outcome USING (id)
"""  # noqa: S608 - constants of this file

WITHDRAW_INTENTS = "DELETE FROM settlement WHERE id = ANY($1::uuid[]) AND state = 'PENDING'"

# Of these ids, those that this transaction has written.
WITHDRAW_FENCES = "DELETE FROM settlement WHERE id = ANY($1::uuid[]) AND state = 'ABANDONED'"

ADD_FENCES = """
INSERT INTO settlement (id, fixmedins_code, msgid, state, reason, occurred_at)
SELECT id, fixmedins_code, msgid, 'ABANDONED', reason, occurred_at
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::timestamptz[])
  AS f (id, fixmedins_code, msgid, reason, occurred_at)
ORDER BY fixmedins_code, msgid
ON CONFLICT DO NOTHING
RETURNING id
"""

SAVE = f"""
WITH saved AS (
    UPDATE settlement AS s
    SET state = n.state, reason = n.reason, setl_time = n.setl_time, reversed_at = n.reversed_at,
        business_day = coalesce($1, s.business_day), acct_pay_fen = n.acct_pay_fen,
        acct_mulaid_pay_fen = n.acct_mulaid_pay_fen, psn_cash_pay_fen = n.psn_cash_pay_fen,
        own_balance_after_fen = n.own_balance_after_fen, replaced_by = n.replaced_by, reason_window = n.reason_window,
        updated_at = clock_timestamp()
    FROM unnest($2::new_outcome[]) AS n WHERE s.id = n.id
    RETURNING s.id
), {_ADD_PARTS}, refunds AS (
    INSERT INTO refund (settlement_id, position, psn_no, amount_fen, balance_after_fen)
    SELECT * FROM unnest($5::new_refund[])
)
SELECT count(*) FROM saved
"""  # noqa: S608 - constants of this file

FIND_REVERSALS = """
SELECT fixmedins_code, msgid, settlement_id, hash_version, body_hash, reason FROM reversal
JOIN unnest($1::text[], $2::text[]) AS asked (fixmedins_code, msgid) USING (fixmedins_code, msgid)
"""

ADD_REVERSALS = """
INSERT INTO reversal (fixmedins_code, msgid, settlement_id, hash_version, body_hash, reason)
SELECT * FROM unnest($1::text[], $2::text[], $3::uuid[], $4::smallint[], $5::bytea[], $6::text[]) AS r
ORDER BY 1, 2
ON CONFLICT DO NOTHING
"""

_PERSON = "p.psn_no, p.died_on, e.insutype, e.psn_insu_stas, e.valid_from, e.valid_to, e.as_of"
_OF_PERSONS = "FROM person_fact AS p LEFT JOIN person_enrolment AS e USING (psn_no)"

# A row for each period of designation, and one for an institution without any.
_INSTITUTION = """i.fixmedins_code, i.fixmedins_type, i.admdvs, i.remote_settlement, i.suspended, i.as_of, d.first_day,
    d.last_day"""
_OF_INSTITUTIONS = """FROM institution_fact AS i
    LEFT JOIN LATERAL unnest(i.designations_from, i.designations_to) WITH ORDINALITY AS d (first_day, last_day, place)
    ON true"""

PERSONS = f"SELECT {_PERSON} {_OF_PERSONS} WHERE p.psn_no = ANY($1::text[]) ORDER BY p.psn_no, e.valid_from"

INSTITUTIONS = f"""
SELECT {_INSTITUTION} {_OF_INSTITUTIONS} WHERE i.fixmedins_code = ANY($1::text[]) ORDER BY i.fixmedins_code, d.place
"""

BOUND_VISITS = "SELECT jti, mdtrt_id FROM credential_use WHERE jti = ANY($1::text[])"

# All that a batch has to know before it begins, as of one moment.
LOOK = f"""
SELECT EXISTS (SELECT FROM settlement JOIN unnest($1::text[], $2::text[]) AS asked (fixmedins_code, msgid)
               USING (fixmedins_code, msgid))
       OR EXISTS (SELECT FROM quote JOIN unnest($1::text[], $2::text[]) AS asked (fixmedins_code, msgid)
                  USING (fixmedins_code, msgid))
       OR EXISTS (SELECT FROM reversal JOIN unnest($1::text[], $2::text[]) AS asked (fixmedins_code, msgid)
                  USING (fixmedins_code, msgid)) AS known,
       EXISTS (SELECT FROM quote WHERE state = 'HELD' AND expires_at <= $6) AS due,
       ARRAY(SELECT (jti, mdtrt_id) FROM credential_use WHERE jti = ANY($3::text[])) AS bound,
       ARRAY(SELECT ({_PERSON}) {_OF_PERSONS}
             WHERE p.psn_no = ANY($4::text[]) ORDER BY p.psn_no, e.valid_from) AS persons,
       ARRAY(SELECT ({_INSTITUTION}) {_OF_INSTITUTIONS}
             WHERE i.fixmedins_code = ANY($5::text[]) ORDER BY i.fixmedins_code, d.place) AS institutions
"""  # noqa: S608 - constants of this file

READ_ACCOUNTS = "SELECT psn_no, state, balance_fen, held_fen, version FROM account WHERE psn_no = ANY($1::text[])"

REAL_TIME = "SELECT clock_timestamp()"
