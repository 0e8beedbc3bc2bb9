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

# The state is looked at again after waiting for the lock: whoever comes second finds it decided.
LOCK_PENDING = "SELECT id FROM settlement WHERE id = ANY($1::uuid[]) AND state = 'PENDING' ORDER BY id FOR UPDATE"

# By the indexes settlement_of_day and settlement_unsettled. Requests to hold are no settlements.
OF_DAY = """
SELECT id FROM (
    (SELECT setl_time AS listed_at, id FROM settlement
     WHERE business_day = $2 AND fixmedins_code = $1 AND setl_time IS NOT NULL AND kind = 'BILL'
       AND (setl_time, id) > ($5, $6)
     ORDER BY setl_time, id LIMIT $7)
    UNION ALL
    (SELECT occurred_at, id FROM settlement
     WHERE fixmedins_code = $1 AND setl_time IS NULL AND kind = 'BILL' AND occurred_at >= $3 AND occurred_at < $4
       AND (occurred_at, id) > ($5, $6)
     ORDER BY occurred_at, id LIMIT $7)
) AS listed
ORDER BY listed_at, id LIMIT $7
"""

# Real elapsed time of the database, never the movable clock: an age says how long somebody has been silent.
TAKE_STALE = (
    _SELECT
    + """
WHERE state = 'PENDING' AND created_at < clock_timestamp() - make_interval(secs => $1)
ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED
"""
)

# The contract takes 200 outcomes with a request; the newest are the ones that may not have arrived by Kafka yet. A
# quote that was used is told as the settlement of the same id.
RECENT = """
SELECT recent.id, patient.psn_no, recent.state, recent.occurred_at, recent.is_quote
FROM unnest($1::text[]) AS patient (psn_no) CROSS JOIN LATERAL (
    (SELECT id, state, occurred_at, updated_at, false AS is_quote FROM settlement AS s
     WHERE s.psn_no = patient.psn_no AND s.updated_at > clock_timestamp() - interval '1 day'
       AND s.state <> 'PENDING' AND s.use_mutual_aid AND s.psn_part_amt_fen > 0
     ORDER BY s.updated_at DESC LIMIT 200)
    UNION ALL
    (SELECT id, state, occurred_at, updated_at, true FROM quote AS q
     WHERE q.psn_no = patient.psn_no AND q.updated_at > clock_timestamp() - interval '1 day'
       AND q.state <> 'USED' AND q.use_mutual_aid AND q.psn_part_amt_fen > 0
     ORDER BY q.updated_at DESC LIMIT 200)
    ORDER BY updated_at DESC LIMIT 200
) AS recent
ORDER BY recent.updated_at
"""

PAID = """
SELECT settlement_id, relation_id, amount_fen FROM settlement_line WHERE settlement_id = ANY($1::uuid[])
UNION ALL
SELECT quote_id, relation_id, amount_fen FROM quote_line WHERE quote_id = ANY($2::uuid[])
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

# Sorted by patient: two processes with the same patients wait for each other in the same order.
ADD_INTENTS = """
INSERT INTO settlement (
    id, fixmedins_code, msgid, hash_version, body_hash, state, psn_no, mdtrt_id, med_type, medfee_sumamt_fen,
    fund_pay_sumamt_fen, psn_part_amt_fen, hosp_part_amt_fen, bill_details, acct_used_flag, use_mutual_aid,
    expected_acct_pay_fen, expected_acct_mulaid_pay_fen, insutype, clr_type, occurred_at, kind, replaces,
    premium_year, premium_payer_psn_no
)
SELECT id, fixmedins_code, msgid, hash_version, body_hash, 'PENDING', psn_no, mdtrt_id, med_type, medfee_sumamt_fen,
       fund_pay_sumamt_fen, psn_part_amt_fen, hosp_part_amt_fen, bill_details::jsonb, acct_used_flag, use_mutual_aid,
       expected_acct_pay_fen, expected_acct_mulaid_pay_fen, insutype, clr_type, occurred_at, kind, replaces,
       premium_year, premium_payer_psn_no
FROM unnest(
    $1::uuid[], $2::text[], $3::text[], $4::smallint[], $5::bytea[], $6::text[], $7::text[], $8::smallint[],
    $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::text[], $14::boolean[], $15::boolean[],
    $16::bigint[], $17::bigint[], $18::smallint[], $19::smallint[], $20::timestamptz[], $21::text[], $22::uuid[],
    $23::smallint[], $24::text[]
) AS i (
    id, fixmedins_code, msgid, hash_version, body_hash, psn_no, mdtrt_id, med_type, medfee_sumamt_fen,
    fund_pay_sumamt_fen, psn_part_amt_fen, hosp_part_amt_fen, bill_details, acct_used_flag, use_mutual_aid,
    expected_acct_pay_fen, expected_acct_mulaid_pay_fen, insutype, clr_type, occurred_at, kind, replaces,
    premium_year, premium_payer_psn_no
)
ORDER BY psn_no, msgid
ON CONFLICT DO NOTHING
RETURNING id, created_at
"""

# What is decided in the transaction that it comes in: it was never PENDING.
ADD_DECIDED = """
INSERT INTO settlement (
    id, fixmedins_code, msgid, hash_version, body_hash, psn_no, mdtrt_id, med_type, medfee_sumamt_fen,
    fund_pay_sumamt_fen, psn_part_amt_fen, hosp_part_amt_fen, bill_details, acct_used_flag, use_mutual_aid,
    expected_acct_pay_fen, expected_acct_mulaid_pay_fen, insutype, clr_type, occurred_at, kind, replaces,
    premium_year, premium_payer_psn_no, quote_id, state, reason, setl_time, reversed_at, acct_pay_fen,
    acct_mulaid_pay_fen, psn_cash_pay_fen, own_balance_after_fen, replaced_by, reason_window, business_day
)
SELECT id, fixmedins_code, msgid, hash_version, body_hash, psn_no, mdtrt_id, med_type, medfee_sumamt_fen,
       fund_pay_sumamt_fen, psn_part_amt_fen, hosp_part_amt_fen, bill_details::jsonb, acct_used_flag, use_mutual_aid,
       expected_acct_pay_fen, expected_acct_mulaid_pay_fen, insutype, clr_type, occurred_at, kind, replaces,
       premium_year, premium_payer_psn_no, quote_id, state, reason, setl_time, reversed_at, acct_pay_fen,
       acct_mulaid_pay_fen, psn_cash_pay_fen, own_balance_after_fen, replaced_by, reason_window,
       CASE WHEN setl_time IS NOT NULL THEN $36::date END
FROM unnest(
    $1::uuid[], $2::text[], $3::text[], $4::smallint[], $5::bytea[], $6::text[], $7::text[], $8::smallint[],
    $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::text[], $14::boolean[], $15::boolean[],
    $16::bigint[], $17::bigint[], $18::smallint[], $19::smallint[], $20::timestamptz[], $21::text[], $22::uuid[],
    $23::smallint[], $24::text[], $25::uuid[], $26::text[], $27::text[], $28::timestamptz[], $29::timestamptz[],
    $30::bigint[], $31::bigint[], $32::bigint[], $33::bigint[], $34::uuid[], $35::text[]
) AS i (
    id, fixmedins_code, msgid, hash_version, body_hash, psn_no, mdtrt_id, med_type, medfee_sumamt_fen,
    fund_pay_sumamt_fen, psn_part_amt_fen, hosp_part_amt_fen, bill_details, acct_used_flag, use_mutual_aid,
    expected_acct_pay_fen, expected_acct_mulaid_pay_fen, insutype, clr_type, occurred_at, kind, replaces,
    premium_year, premium_payer_psn_no, quote_id, state, reason, setl_time, reversed_at, acct_pay_fen,
    acct_mulaid_pay_fen, psn_cash_pay_fen, own_balance_after_fen, replaced_by, reason_window
)
"""

WITHDRAW_INTENTS = "DELETE FROM settlement WHERE id = ANY($1::uuid[]) AND state = 'PENDING'"

ADD_FENCES = """
INSERT INTO settlement (id, fixmedins_code, msgid, state, reason, occurred_at)
SELECT id, fixmedins_code, msgid, 'ABANDONED', reason, occurred_at
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::timestamptz[])
  AS f (id, fixmedins_code, msgid, reason, occurred_at)
ORDER BY fixmedins_code, msgid
ON CONFLICT DO NOTHING
RETURNING id
"""

SAVE = """
UPDATE settlement AS s
SET state = n.state, reason = n.reason, setl_time = n.setl_time, reversed_at = n.reversed_at,
    business_day = coalesce($12, s.business_day), acct_pay_fen = n.acct_pay_fen,
    acct_mulaid_pay_fen = n.acct_mulaid_pay_fen, psn_cash_pay_fen = n.psn_cash_pay_fen,
    own_balance_after_fen = n.own_balance_after_fen, replaced_by = n.replaced_by, reason_window = n.reason_window,
    updated_at = clock_timestamp()
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[], $5::timestamptz[], $6::bigint[], $7::bigint[],
            $8::bigint[], $9::bigint[], $10::uuid[], $11::text[])
  AS n (id, state, reason, setl_time, reversed_at, acct_pay_fen, acct_mulaid_pay_fen, psn_cash_pay_fen,
        own_balance_after_fen, replaced_by, reason_window)
WHERE s.id = n.id
"""

ADD_LINES = """
INSERT INTO settlement_line (settlement_id, position, payer_psn_no, relation_id, amount_fen, balance_after_fen)
SELECT * FROM unnest($1::uuid[], $2::smallint[], $3::text[], $4::uuid[], $5::bigint[], $6::bigint[])
"""

ADD_DECLINES = """
INSERT INTO settlement_decline (settlement_id, position, payer_psn_no, reason, limit_window)
SELECT * FROM unnest($1::uuid[], $2::smallint[], $3::text[], $4::text[], $5::text[])
"""

ADD_REFUNDS = """
INSERT INTO refund (settlement_id, position, psn_no, amount_fen, balance_after_fen)
SELECT * FROM unnest($1::uuid[], $2::smallint[], $3::text[], $4::bigint[], $5::bigint[])
"""

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

PERSONS = """
SELECT p.psn_no, p.died_on, e.insutype, e.psn_insu_stas, e.valid_from, e.valid_to, e.as_of AS enrolment_as_of
FROM person_fact AS p LEFT JOIN person_enrolment AS e USING (psn_no)
WHERE p.psn_no = ANY($1::text[]) ORDER BY p.psn_no, e.valid_from
"""

INSTITUTIONS = """
SELECT fixmedins_code, fixmedins_type, admdvs, designations_from, designations_to, remote_settlement, suspended, as_of
FROM institution_fact WHERE fixmedins_code = ANY($1::text[])
"""

BOUND_VISITS = "SELECT jti, mdtrt_id FROM credential_use WHERE jti = ANY($1::text[])"

BIND_CREDENTIALS = """
INSERT INTO credential_use (jti, mdtrt_id)
SELECT jti, mdtrt_id FROM unnest($1::text[], $2::text[]) AS c (jti, mdtrt_id) ORDER BY jti
ON CONFLICT DO NOTHING
"""

READ_ACCOUNTS = "SELECT psn_no, state, balance_fen, held_fen, version FROM account WHERE psn_no = ANY($1::text[])"

REAL_TIME = "SELECT clock_timestamp()"
