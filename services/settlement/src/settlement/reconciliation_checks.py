"""What must always be true of days, for the audit; see `audit_checks`."""

from typing import Final

from settlement.audit_checks import Check
from settlement.reconciliation_sql import COLUMNS, REVERSED, SETTLED, totals

_OF_DAY: Final = totals(
    SETTLED.replace("$1::date", "d.day"), REVERSED.replace("$2", "d.begins_at").replace("$3", "d.ends_at")
)
_NUMBERS: Final = ", ".join(COLUMNS)

DAYS: Final = Check(
    "a settlement counts on the Shanghai day of its time",
    """
    SELECT id AS key,
           CASE WHEN setl_time IS NOT NULL AND business_day IS DISTINCT FROM settled_on
                THEN format('settled on %s, counted on %s', settled_on, business_day) END AS problem
    FROM (SELECT id, setl_time, business_day, (setl_time AT TIME ZONE 'Asia/Shanghai')::date AS settled_on
          FROM settlement WHERE id > $1 ORDER BY id LIMIT $2) AS s
    ORDER BY id
    """,
    key_type="uuid",
)

POSTED: Final = Check(
    "an entry counts on the Shanghai day of its time",
    """
    SELECT id AS key, CASE WHEN business_day <> posted_on
                           THEN format('posted on %s, counted on %s', posted_on, business_day) END AS problem
    FROM (SELECT id, business_day, (posted_at AT TIME ZONE 'Asia/Shanghai')::date AS posted_on
          FROM entry WHERE id > $1 ORDER BY id LIMIT $2) AS e
    ORDER BY id
    """,
    key_type="bigint",
    chunk_keys=20_000,
)

CLOSED_DAYS: Final = Check(
    "a closed day's totals are its settlements and reversals",
    f"""
    SELECT d.day::text AS key,
           CASE WHEN w.wrong > 0 THEN format('%s row(s) of totals differ, such as one of %s', w.wrong, w.fixmedins_code)
                END AS problem
    FROM (SELECT day, day::timestamp AT TIME ZONE 'Asia/Shanghai' AS begins_at,
                 (day + 1)::timestamp AT TIME ZONE 'Asia/Shanghai' AS ends_at
          FROM business_day WHERE state = 'CLOSED' AND day::text > $1 ORDER BY day LIMIT $2) AS d
    CROSS JOIN LATERAL (
        SELECT count(*) AS wrong, min(coalesce(f.fixmedins_code, n.fixmedins_code)) AS fixmedins_code
        FROM (SELECT fixmedins_code, clr_type, insutype, ROW({_NUMBERS}) AS numbers FROM daily_total
              WHERE day = d.day) AS f
        FULL JOIN (SELECT fixmedins_code, clr_type, insutype, ROW({_NUMBERS}) AS numbers FROM ({_OF_DAY}) AS t) AS n
            USING (fixmedins_code, clr_type, insutype)
        WHERE f.numbers IS DISTINCT FROM n.numbers) AS w
    ORDER BY d.day
    """,  # noqa: S608 - only our own names
    chunk_keys=5,
)

CLEARED: Final = Check(
    "what accounts pay by a closed day's totals is what was posted on the clearing accounts",
    """
    SELECT format('%s %s', day, fixmedins_code) AS key,
           CASE WHEN coalesce(t.fen, 0) <> coalesce(e.fen, 0)
                THEN format('the totals say %s fen, the entries %s', coalesce(t.fen, 0), coalesce(e.fen, 0))
                END AS problem
    FROM (SELECT day, fixmedins_code, sum(gross_acct_pay_fen + gross_acct_mulaid_pay_fen
                                          - refund_acct_pay_fen - refund_acct_mulaid_pay_fen) AS fen
          FROM daily_total GROUP BY day, fixmedins_code) AS t
    FULL JOIN (SELECT business_day AS day, account_key AS fixmedins_code, sum(amount_fen) AS fen FROM entry
               WHERE account_kind = 'CLEARING' GROUP BY 1, 2) AS e USING (day, fixmedins_code)
    JOIN business_day AS d USING (day)
    WHERE d.state = 'CLOSED' AND format('%s %s', day, fixmedins_code) > $1
    ORDER BY 1 LIMIT $2
    """,
    chunk_keys=None,  # entries have no index by day: all are read once and aggregated on the server
)

CHECKS: Final = (DAYS, POSTED, CLOSED_DAYS, CLEARED)
