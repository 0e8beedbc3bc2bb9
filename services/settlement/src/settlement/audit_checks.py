"""What must always be true of the books, each as one query over the rows themselves.

Every query takes the key after which to go on ($1) and how many keys to look at ($2), and gives each key with the
problem it found there or NULL. One query is one snapshot, so a running service makes no false finding. Keys are walked
by index, so memory stays the same however long the books are. Entries are read by ranges of keys and not key by key:
each month has an index of its own, and every look costs one in each.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal
from uuid import UUID

Key = str | UUID | int
KeyType = Literal["text", "uuid", "bigint"]
_FIRST_KEYS: Final[Mapping[KeyType, Key]] = {"text": "", "uuid": UUID(int=0), "bigint": 0}


@dataclass(frozen=True, slots=True)
class Check:
    """One invariant."""

    name: str
    """What is true when there is no finding, in words."""
    sql: str
    """Gives (key, problem) in the order of the key; `$1` and `$2` as in the module's description."""
    key_type: KeyType = "text"
    chunk_keys: int | None = 2000
    """How many keys one query looks at; None is all of them, for what no index can walk."""
    arguments: tuple[float, ...] = ()
    """What the query takes from $3 on."""

    @property
    def first_key(self) -> Key:
        """A key below all others."""
        return _FIRST_KEYS[self.key_type]


POSTINGS: Final = Check(
    "postings sum to zero",
    """
    SELECT p.key, CASE WHEN p.part_fen <> 0 AND w.sum_fen <> 0
                       THEN format('posting %s sums to %s fen', p.posting_id, w.sum_fen) END AS problem
    FROM (SELECT posting_id, max(id) AS key, sum(amount_fen) AS part_fen
          FROM (SELECT id, posting_id, amount_fen FROM entry WHERE id > $1 ORDER BY id LIMIT $2) AS chunk
          GROUP BY posting_id) AS p
    LEFT JOIN LATERAL (
        -- A posting is one statement, so its ids are next to each other but for what others wrote at that moment.
        SELECT sum(e.amount_fen) AS sum_fen FROM entry AS e
        WHERE p.part_fen <> 0 AND e.posting_id = p.posting_id AND e.id BETWEEN p.key - 10000 AND p.key + 10000
    ) AS w ON true
    ORDER BY p.key
    """,
    key_type="bigint",
    chunk_keys=20_000,
)

BALANCES: Final = Check(
    "a balance is the sum of its entries, never negative",
    """
    WITH a AS MATERIALIZED (SELECT * FROM account WHERE psn_no > $1 ORDER BY psn_no LIMIT $2), e AS (
        SELECT account_key, sum(amount_fen) AS sum_fen FROM entry
        WHERE account_kind = 'PERSONAL' AND account_key > $1 AND account_key <= (SELECT max(psn_no) FROM a)
        GROUP BY account_key)
    SELECT a.psn_no AS key,
           CASE WHEN a.balance_fen <> coalesce(e.sum_fen, 0)
                THEN format('the balance is %s fen, the entries sum to %s', a.balance_fen, coalesce(e.sum_fen, 0))
                WHEN a.balance_fen < 0 OR a.held_fen < 0 OR a.held_fen > a.balance_fen
                THEN format('the balance is %s fen with %s held', a.balance_fen, a.held_fen) END AS problem
    FROM a LEFT JOIN e ON e.account_key = a.psn_no
    ORDER BY a.psn_no
    """,
)

HELD: Final = Check(
    "what is held on an account is what held previews keep of it",
    """
    SELECT a.psn_no AS key,
           CASE WHEN a.held_fen <> coalesce(k.kept_fen, 0)
                THEN format('%s fen are held, quotes keep %s', a.held_fen, coalesce(k.kept_fen, 0)) END AS problem
    FROM (SELECT psn_no, held_fen FROM account WHERE psn_no > $1 ORDER BY psn_no LIMIT $2) AS a
    LEFT JOIN (
        SELECT psn_no, sum(fen) AS kept_fen FROM (
            SELECT psn_no, acct_pay_fen AS fen FROM quote WHERE state = 'HELD'
            UNION ALL
            SELECT l.payer_psn_no, l.amount_fen FROM quote_line AS l JOIN quote AS q ON q.id = l.quote_id
            WHERE q.state = 'HELD') AS kept
        GROUP BY psn_no) AS k USING (psn_no)
    ORDER BY a.psn_no
    """,
)

CHAINS: Final = Check(
    "balances follow from entry to entry, versions without a gap",
    """
    WITH a AS MATERIALIZED (SELECT * FROM account WHERE psn_no > $1 ORDER BY psn_no LIMIT $2), own AS MATERIALIZED (
        SELECT account_key AS psn_no, version, amount_fen, balance_after_fen FROM entry
        WHERE account_kind = 'PERSONAL' AND account_key > $1 AND account_key <= (SELECT max(psn_no) FROM a)
    ), v AS (
        SELECT psn_no, min(version) FILTER (WHERE step <> 1) AS broken_at, max(version) AS newest,
               (array_agg(step ORDER BY version) FILTER (WHERE step <> 1))[1] AS step
        FROM (SELECT psn_no, version,
                     version - lag(version, 1, 0::bigint) OVER (PARTITION BY psn_no ORDER BY version) AS step
              FROM (SELECT psn_no, version FROM own
                    UNION ALL
                    SELECT psn_no, version FROM account_change
                    WHERE psn_no > $1 AND psn_no <= (SELECT max(psn_no) FROM a) AND version > 0) AS rows) AS steps
        GROUP BY psn_no
    ), e AS (
        SELECT psn_no,
               min(version) FILTER (WHERE balance_after_fen IS DISTINCT FROM before_fen + amount_fen) AS wrong_at
        FROM (SELECT psn_no, version, amount_fen, balance_after_fen,
                     lag(balance_after_fen, 1, 0::bigint) OVER (PARTITION BY psn_no ORDER BY version) AS before_fen
              FROM own) AS chain
        GROUP BY psn_no)
    SELECT a.psn_no AS key,
           CASE WHEN v.broken_at IS NOT NULL
                THEN format('version %s follows %s', v.broken_at, v.broken_at - v.step)
                WHEN coalesce(v.newest, 0) <> a.version
                THEN format('the version is %s, the newest row has %s', a.version, coalesce(v.newest, 0))
                WHEN e.wrong_at IS NOT NULL THEN format('the balance after version %s does not follow', e.wrong_at)
                END AS problem
    FROM a LEFT JOIN v USING (psn_no) LEFT JOIN e USING (psn_no)
    ORDER BY a.psn_no
    """,
    chunk_keys=500,
)

OWNERS: Final = Check(
    "every personal entry is on an account that exists",
    """
    SELECT e.account_key AS key, CASE WHEN a.psn_no IS NULL THEN 'there is no such account' END AS problem
    FROM (SELECT DISTINCT account_key FROM entry
          WHERE account_kind = 'PERSONAL' AND account_key > $1
          ORDER BY account_key LIMIT $2) AS e
    LEFT JOIN account AS a ON a.psn_no = e.account_key
    ORDER BY e.account_key
    """,
)

CONTRIBUTIONS: Final = Check(
    "every contribution is one entry of its amount",
    """
    SELECT coalesce(c.contribution_id, e.contribution_id) AS key,
           CASE WHEN c.contribution_id IS NULL THEN format('an entry of %s, and no such contribution', e.account_key)
                WHEN e.contribution_id IS NULL THEN format('a contribution to %s, and no such entry', c.psn_no)
                WHEN (c.psn_no, c.amount_fen, c.balance_after_fen, c.kind)
                     IS DISTINCT FROM (e.account_key, e.amount_fen, e.balance_after_fen, e.entry_kind)
                THEN format('%s of %s got %s fen and had %s, its entry says %s of %s got %s and had %s', c.kind,
                            c.psn_no, c.amount_fen, c.balance_after_fen, e.entry_kind, e.account_key, e.amount_fen,
                            e.balance_after_fen) END AS problem
    FROM contribution AS c
    FULL JOIN (SELECT contribution_id, account_key, amount_fen, balance_after_fen, entry_kind
               FROM entry
               WHERE account_kind = 'PERSONAL' AND entry_kind IN ('CONTRIBUTION', 'INTEREST')) AS e
        USING (contribution_id)
    WHERE coalesce(c.contribution_id, e.contribution_id) > $1
    LIMIT $2
    """,
    chunk_keys=None,  # contributions have no index by account: both are read once and joined on the server
)

PAYOUTS: Final = Check(
    "every payout is one entry of its amount, after which its account was closed",
    """
    WITH a AS MATERIALIZED (SELECT * FROM account WHERE psn_no > $1 ORDER BY psn_no LIMIT $2), w AS (
        SELECT coalesce(p.psn_no, e.account_key) AS psn_no, count(*) AS payouts,
               min(coalesce(p.id, e.posting_id)::text) FILTER (WHERE differs) AS id,
               count(*) FILTER (WHERE differs) AS wrong
        FROM (SELECT * FROM payout WHERE psn_no > $1 AND psn_no <= (SELECT max(psn_no) FROM a)) AS p
        FULL JOIN (SELECT * FROM entry WHERE account_kind = 'PERSONAL' AND entry_kind = 'PAYOUT'
                   AND account_key > $1 AND account_key <= (SELECT max(psn_no) FROM a)) AS e
            ON e.posting_id = p.id AND e.account_key = p.psn_no
        CROSS JOIN LATERAL (SELECT (-p.amount_fen, p.balance_after_fen)
                                   IS DISTINCT FROM (e.amount_fen, e.balance_after_fen) AS differs) AS d
        GROUP BY 1)
    SELECT a.psn_no AS key,
           CASE WHEN w.wrong > 0 THEN format('%s payout(s) differ from their entries, such as %s', w.wrong, w.id)
                WHEN w.payouts > 0 AND a.state <> 'CLOSED' THEN format('paid out, yet the account is %s', a.state)
                END AS problem
    FROM a LEFT JOIN w USING (psn_no)
    ORDER BY a.psn_no
    """,
    chunk_keys=500,
)

CLOSED: Final = Check(
    "a closed account has what its open refunds are to pay out; others have none",
    """
    SELECT a.psn_no AS key,
           CASE WHEN a.state = 'CLOSED' AND a.balance_fen <> r.open_fen
                THEN format('closed with %s fen, its open refunds are %s', a.balance_fen, r.open_fen)
                WHEN a.state <> 'CLOSED' AND r.refunds > 0 THEN format('%s, yet refunds wait as if closed', a.state)
                WHEN r.wrong > 0 THEN format('%s refund(s) differ from how they were paid out', r.wrong)
                END AS problem
    FROM (SELECT * FROM account WHERE psn_no > $1 ORDER BY psn_no LIMIT $2) AS a
    CROSS JOIN LATERAL (
        SELECT count(*) AS refunds, coalesce(sum(c.amount_fen) FILTER (WHERE c.payout_id IS NULL), 0) AS open_fen,
               count(*) FILTER (WHERE c.payout_id IS NOT NULL AND (p.psn_no, p.amount_fen)
                                      IS DISTINCT FROM (c.psn_no, c.amount_fen)) AS wrong
        FROM closed_refund AS c LEFT JOIN payout AS p ON p.id = c.payout_id WHERE c.psn_no = a.psn_no) AS r
    ORDER BY a.psn_no
    """,
)

STATES: Final = Check(
    "an account's state is what its last change made it",
    """
    SELECT a.psn_no AS key,
           CASE WHEN a.state <> CASE c.change WHEN 'FROZEN' THEN 'FROZEN' WHEN 'CLOSED' THEN 'CLOSED' ELSE 'OPEN' END
                THEN format('%s after %s', a.state, coalesce(c.change, 'no change')) END AS problem
    FROM (SELECT * FROM account WHERE psn_no > $1 ORDER BY psn_no LIMIT $2) AS a
    LEFT JOIN LATERAL (SELECT change FROM account_change WHERE psn_no = a.psn_no
                       ORDER BY version DESC LIMIT 1) AS c ON true
    ORDER BY a.psn_no
    """,
)

SETTLEMENTS: Final = Check(
    "a settlement's lines and refunds are its entries; what is reversed nets to zero",
    """
    WITH s AS MATERIALIZED (SELECT * FROM settlement WHERE id > $1 ORDER BY id LIMIT $2), own AS MATERIALIZED (
        SELECT settlement_id, account_kind, account_key, amount_fen, balance_after_fen, entry_kind FROM entry
        WHERE settlement_id > $1 AND settlement_id <= (SELECT id FROM s ORDER BY id DESC LIMIT 1)
    ), e AS (
        SELECT s.id,
               jsonb_agg(jsonb_build_array(account_key, -amount_fen, balance_after_fen) ORDER BY account_key)
                   FILTER (WHERE account_kind = 'PERSONAL' AND entry_kind IN ('SETTLEMENT', 'PREMIUM')) AS taken,
               jsonb_agg(jsonb_build_array(account_key, amount_fen, balance_after_fen) ORDER BY account_key)
                   FILTER (WHERE account_kind = 'PERSONAL' AND entry_kind IN ('REFUND', 'PREMIUM_REFUND')) AS given,
               count(*) FILTER (WHERE account_kind <> 'PERSONAL' AND (account_kind, account_key) IS DISTINCT FROM
                   (CASE WHEN s.kind = 'PREMIUM' THEN 'PREMIUM' ELSE 'CLEARING' END,
                    coalesce(s.premium_year::text, s.fixmedins_code))) AS elsewhere
        FROM s JOIN own ON own.settlement_id = s.id GROUP BY s.id
    ), o AS (
        SELECT settlement_id AS id, count(*) AS unbalanced
        FROM (SELECT settlement_id FROM own GROUP BY settlement_id, account_kind, account_key
              HAVING sum(amount_fen) <> 0) AS open
        GROUP BY settlement_id)
    SELECT s.id AS key,
           CASE WHEN s.state NOT IN ('SETTLED', 'REVERSED') AND (t.paid IS NOT NULL OR e.taken IS NOT NULL)
                THEN format('%s, yet lines %s and entries %s', s.state, t.paid, e.taken)
                WHEN s.state <> 'REVERSED' AND (t.refunded IS NOT NULL OR e.given IS NOT NULL)
                THEN format('%s, yet refunds %s and entries %s', s.state, t.refunded, e.given)
                WHEN t.paid IS DISTINCT FROM e.taken THEN format('lines %s, entries %s', t.paid, e.taken)
                WHEN t.refunded IS DISTINCT FROM e.given THEN format('refunds %s, entries %s', t.refunded, e.given)
                WHEN s.state = 'REVERSED' AND o.unbalanced > 0
                THEN format('reversed, yet %s account(s) did not get back what they paid', o.unbalanced)
                WHEN e.elsewhere > 0 THEN format('%s entries of another institution or year', e.elsewhere)
                END AS problem
    FROM s
    CROSS JOIN LATERAL (
        SELECT (SELECT jsonb_agg(jsonb_build_array(p.psn_no, p.amount_fen, p.balance_after_fen) ORDER BY p.psn_no)
                FROM (SELECT payer_psn_no AS psn_no, amount_fen, balance_after_fen FROM settlement_line
                      WHERE settlement_id = s.id
                      UNION ALL SELECT s.psn_no, s.acct_pay_fen, s.own_balance_after_fen WHERE s.acct_pay_fen > 0) AS p
               ) AS paid,
               (SELECT jsonb_agg(jsonb_build_array(psn_no, amount_fen, balance_after_fen) ORDER BY psn_no)
                FROM refund WHERE settlement_id = s.id) AS refunded) AS t
    LEFT JOIN e USING (id) LEFT JOIN o USING (id)
    ORDER BY s.id
    """,
    key_type="uuid",
)

SPLITS: Final = Check(
    "the parts of a bill and of its split add up (R16)",
    """
    SELECT s.id AS key,
           CASE WHEN s.medfee_sumamt_fen <> s.fund_pay_sumamt_fen + s.psn_part_amt_fen + s.hosp_part_amt_fen
                THEN format('the bill of %s fen is %s + %s + %s', s.medfee_sumamt_fen, s.fund_pay_sumamt_fen,
                            s.psn_part_amt_fen, s.hosp_part_amt_fen)
                WHEN s.setl_time IS NOT NULL
                     AND s.psn_part_amt_fen IS DISTINCT FROM s.acct_pay_fen + s.acct_mulaid_pay_fen + s.psn_cash_pay_fen
                THEN format('%s fen of the person are %s + %s + %s', s.psn_part_amt_fen, s.acct_pay_fen,
                            s.acct_mulaid_pay_fen, s.psn_cash_pay_fen)
                WHEN s.setl_time IS NOT NULL AND s.acct_mulaid_pay_fen <> l.sum_fen
                THEN format('payers paid %s fen, the lines sum to %s', s.acct_mulaid_pay_fen, l.sum_fen)
                END AS problem
    FROM (SELECT * FROM settlement WHERE id > $1 ORDER BY id LIMIT $2) AS s
    CROSS JOIN LATERAL (SELECT coalesce(sum(amount_fen), 0) AS sum_fen FROM settlement_line
                        WHERE settlement_id = s.id) AS l
    ORDER BY s.id
    """,
    key_type="uuid",
)

STRAYS: Final = Check(
    "every entry and line of a settlement belongs to one that exists",
    """
    SELECT e.settlement_id AS key, CASE WHEN s.id IS NULL THEN 'there is no such settlement' END AS problem
    FROM (SELECT settlement_id FROM (
              (SELECT DISTINCT settlement_id FROM entry
               WHERE settlement_id IS NOT NULL AND settlement_id > $1 ORDER BY settlement_id LIMIT $2)
              UNION
              (SELECT DISTINCT settlement_id FROM settlement_line
               WHERE settlement_id > $1 ORDER BY settlement_id LIMIT $2)) AS either
          ORDER BY settlement_id LIMIT $2) AS e
    LEFT JOIN settlement AS s ON s.id = e.settlement_id
    ORDER BY e.settlement_id
    """,
    key_type="uuid",
)

PENDING: Final = Check(
    "no settlement is PENDING for longer than the sweeper lets it",
    """
    SELECT s.id AS key,
           CASE WHEN s.age_seconds > $3::float8 THEN format('PENDING for %s s', round(s.age_seconds)) END AS problem
    FROM (SELECT id, extract(epoch FROM clock_timestamp() - created_at) AS age_seconds FROM settlement
          WHERE state = 'PENDING' AND id > $1 ORDER BY id LIMIT $2) AS s
    ORDER BY s.id
    """,
    key_type="uuid",
)

EVENTS: Final = Check(
    "every version of an account was told once, in order",
    """
    SELECT coalesce(a.psn_no, o.key) AS key,
           CASE WHEN a.psn_no IS NULL THEN 'events of an account that does not exist'
                WHEN o.key IS NULL AND a.version > 0 AND kept.from_the_first
                THEN format('version %s, no events', a.version)
                WHEN o.highest <> a.version OR o.told <> o.highest - o.lowest + 1 OR o.different <> o.told
                     OR o.disordered OR (kept.from_the_first AND o.lowest <> 1)
                THEN format('version %s, %s events with sequences %s to %s%s', a.version, o.told, o.lowest, o.highest,
                            CASE WHEN o.disordered THEN ', out of order' END) END AS problem
    FROM account AS a
    FULL JOIN (
        SELECT key, count(*) AS told, count(DISTINCT sequence) AS different, min(sequence) AS lowest,
               max(sequence) AS highest, bool_or(sequence <= before) AS disordered
        FROM (SELECT key, sequence, lag(sequence) OVER (PARTITION BY key ORDER BY id) AS before
              FROM outbox_event WHERE topic = 'account-events-v1') AS told
        GROUP BY key) AS o ON o.key = a.psn_no
    CROSS JOIN (SELECT NOT EXISTS (SELECT FROM purged_month WHERE table_name = 'outbox_event')
                       AS from_the_first) AS kept  -- false once policy has dropped the oldest events
    WHERE coalesce(a.psn_no, o.key) > $1
    ORDER BY 1 LIMIT $2
    """,
    chunk_keys=None,  # the outbox has no index by key: all of it is read once and aggregated on the server
)

UNSENT: Final = """
SELECT count(*) AS unsent,
       coalesce(extract(epoch FROM clock_timestamp() - (
           SELECT e.created_at FROM outbox_event AS e WHERE e.id = min(u.id))), 0)::float8 AS age_seconds
FROM outbox_unsent AS u
"""
"""How many events wait for the relay, and how long the oldest has."""


def all_checks(pending_age_seconds: float) -> tuple[Check, ...]:
    """Every invariant; `pending_age_seconds` is how long the sweeper leaves a PENDING settlement alone."""
    pending = replace(PENDING, arguments=(pending_age_seconds,))
    accounts = (BALANCES, HELD, CHAINS, STATES, OWNERS, CONTRIBUTIONS, PAYOUTS, CLOSED)
    return (POSTINGS, *accounts, SETTLEMENTS, STRAYS, SPLITS, pending, EVENTS)
