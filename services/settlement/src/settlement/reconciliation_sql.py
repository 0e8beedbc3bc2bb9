"""The statements of reconciliation. Each looks at a day by index: `settlement_of_day`, `reversal_of_day`."""

from typing import Final

SUMMED: Final = (
    "medfee_sumamt_fen",
    "fund_pay_sumamt_fen",
    "hosp_part_amt_fen",
    "acct_pay_fen",
    "acct_mulaid_pay_fen",
    "psn_cash_pay_fen",
)
_FACTS: Final = f"""id, msgid, psn_no, mdtrt_id, med_type, fixmedins_code, clr_type, coalesce(insutype, 0) AS insutype,
       {", ".join(SUMMED)}"""

SETTLED: Final = f"""
SELECT {_FACTS}, setl_time AS at, false AS refund FROM settlement
WHERE setl_time IS NOT NULL AND kind = 'BILL' AND business_day = $1::date
"""  # noqa: S608 - only our own names
"""What was settled on a day ($1)."""

REVERSED: Final = f"""
SELECT {_FACTS}, reversed_at AS at, true AS refund FROM settlement
WHERE reversed_at IS NOT NULL AND kind = 'BILL' AND reversed_at >= $2 AND reversed_at < $3
"""  # noqa: S608 - only our own names
"""What was reversed between two moments ($2, $3), whenever it had been settled."""

_SIDES: Final = ", ".join(
    f"count(*) FILTER (WHERE {side}) AS {name}_count, "
    + ", ".join(f"coalesce(sum({each}) FILTER (WHERE {side}), 0)::bigint AS {name}_{each}" for each in SUMMED)
    for side, name in (("NOT refund", "gross"), ("refund", "refund"))
)
COLUMNS: Final = tuple(f"{side}_{each}" for side in ("gross", "refund") for each in ("count", *SUMMED))


def totals(settled: str = SETTLED, reversed_: str = REVERSED) -> str:
    """Totals by institution, clr_type and insutype of lines that two statements give."""
    return f"""
SELECT fixmedins_code, clr_type, insutype, {_SIDES} FROM ({settled} UNION ALL {reversed_}) AS line
GROUP BY fixmedins_code, clr_type, insutype ORDER BY fixmedins_code, clr_type, insutype
"""  # noqa: S608 - only our own names


def _own(lines: str) -> str:
    return f"{lines} AND fixmedins_code = $4"


TOTALS: Final = totals()
"""Of a day, all institutions: day, its first moment, the first one after it."""

TOTALS_OF_INSTITUTION: Final = totals(_own(SETTLED), _own(REVERSED))
"""The same for one institution ($4)."""

FROZEN: Final = f"""
SELECT fixmedins_code, clr_type, insutype, {", ".join(COLUMNS)} FROM daily_total
WHERE fixmedins_code = $1 AND day = $2 ORDER BY clr_type, insutype
"""  # noqa: S608 - only our own names

FROZEN_BETWEEN: Final = f"""
SELECT day, fixmedins_code, clr_type, insutype, {", ".join(COLUMNS)} FROM daily_total
WHERE fixmedins_code = $1 AND day BETWEEN $2 AND $3 ORDER BY day, clr_type, insutype
"""  # noqa: S608 - only our own names

CLOSED_BETWEEN: Final = """
SELECT day, state, closed_at, closed_by FROM business_day WHERE state = 'CLOSED' AND day BETWEEN $1 AND $2
"""

FROZEN_OF_ALL: Final = f"""
SELECT count(DISTINCT fixmedins_code) AS institutions,
       {", ".join(f"coalesce(sum({each}), 0)::bigint AS {each}" for each in COLUMNS)}
FROM daily_total WHERE day = $1
"""  # noqa: S608 - only our own names

# Pages by key, so that each costs the same however far on it is.
SETTLED_PAGE: Final = f"""
{SETTLED} AND fixmedins_code = $2 AND ($3::timestamptz IS NULL OR (setl_time, id) > ($3::timestamptz, $4::uuid))
ORDER BY setl_time, id LIMIT $5
"""
REVERSED_PAGE: Final = f"""
{REVERSED.replace("$2", "$1").replace("$3", "$2")} AND fixmedins_code = $3
    AND ($4::timestamptz IS NULL OR (reversed_at, id) > ($4::timestamptz, $5::uuid))
ORDER BY reversed_at, id LIMIT $6
"""

DAY: Final = "SELECT day, state, closed_at, closed_by FROM business_day WHERE day = $1"

FIRST_DAY: Final = "SELECT min(day) FROM business_day"

OPENED_UNTIL: Final = "SELECT day FROM business_day WHERE state = 'OPEN' AND day <= $1 ORDER BY day"

OPEN_DAY: Final = "INSERT INTO business_day (day) VALUES ($1) ON CONFLICT DO NOTHING"

# Waits for every posting on the day that is under way; those that come later find it closed.
LOCK_DAY: Final = f"{DAY} FOR UPDATE"

FREEZE: Final = f"""
INSERT INTO daily_total (fixmedins_code, clr_type, insutype, {", ".join(COLUMNS)}, day)
SELECT *, $1::date FROM ({TOTALS}) AS totals
"""  # noqa: S608 - only our own names

CLOSE: Final = "UPDATE business_day SET state = 'CLOSED', closed_at = $2, closed_by = $3 WHERE day = $1"
