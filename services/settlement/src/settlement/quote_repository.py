"""Rows of held previews ⇄ the domain. Locks are taken after settlements and before accounts, sorted by id."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

import asyncpg

from kit.db import Transaction
from settlement import settlement_rows as rows
from settlement.domain.quotes import Quote, QuoteState, kept_fen
from settlement.domain.state import Fingerprint
from settlement.domain.visit import InsuranceType

_SELECT = """
SELECT id, fixmedins_code, msgid, hash_version, body_hash, state, psn_no, mdtrt_id, med_type, medfee_sumamt_fen,
       fund_pay_sumamt_fen, psn_part_amt_fen, hosp_part_amt_fen, bill_details::text AS bill_details, acct_used_flag,
       use_mutual_aid, NULL::bigint AS expected_acct_pay_fen, NULL::bigint AS expected_acct_mulaid_pay_fen,
       'QUOTE' AS kind, NULL::uuid AS quote_id, NULL::uuid AS replaces, NULL::smallint AS premium_year,
       NULL::text AS premium_payer_psn_no, insutype, occurred_at, expires_at, ended_at, acct_pay_fen,
       acct_mulaid_pay_fen, psn_cash_pay_fen, own_balance_after_fen
FROM quote
"""
_BY_MSGIDS = (
    _SELECT + "JOIN unnest($1::text[], $2::text[]) AS asked (fixmedins_code, msgid) USING (fixmedins_code, msgid)"
)
_BY_IDS = _SELECT + "WHERE id = ANY($1::uuid[])"
_LOCK = _SELECT + "WHERE id = ANY($1::uuid[]) ORDER BY id FOR UPDATE"
_LOCK_DUE = (
    _SELECT
    + """
WHERE state = 'HELD' AND expires_at <= $1 AND psn_no = ANY($2::text[]) ORDER BY id FOR UPDATE
"""
)
_TAKE_EXPIRED = (
    _SELECT
    + """
WHERE state = 'HELD' AND expires_at <= $1 AND id <> ALL($3::uuid[])
ORDER BY expires_at, id LIMIT $2 FOR UPDATE SKIP LOCKED
"""
)
# Out of settlement and into quote by one statement: a request is never in both, nor in neither.
_KEEP = """
WITH decided AS (
    SELECT * FROM unnest($1::uuid[], $2::timestamptz[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[])
        AS d (id, expires_at, acct_pay_fen, acct_mulaid_pay_fen, psn_cash_pay_fen, own_balance_after_fen)
), moved AS (
    DELETE FROM settlement AS s USING decided AS d WHERE s.id = d.id AND s.state = 'PENDING' AND s.kind = 'QUOTE'
    RETURNING s.*
)
INSERT INTO quote (
    id, fixmedins_code, msgid, hash_version, body_hash, state, psn_no, mdtrt_id, med_type, medfee_sumamt_fen,
    fund_pay_sumamt_fen, psn_part_amt_fen, hosp_part_amt_fen, bill_details, acct_used_flag, use_mutual_aid, insutype,
    occurred_at, expires_at, acct_pay_fen, acct_mulaid_pay_fen, psn_cash_pay_fen, own_balance_after_fen
)
SELECT m.id, m.fixmedins_code, m.msgid, m.hash_version, m.body_hash, 'HELD', m.psn_no, m.mdtrt_id, m.med_type,
       m.medfee_sumamt_fen, m.fund_pay_sumamt_fen, m.psn_part_amt_fen, m.hosp_part_amt_fen, m.bill_details,
       m.acct_used_flag, m.use_mutual_aid, m.insutype, m.occurred_at, d.expires_at, d.acct_pay_fen,
       d.acct_mulaid_pay_fen, d.psn_cash_pay_fen, d.own_balance_after_fen
FROM moved AS m JOIN decided AS d USING (id)
"""
_END = """
UPDATE quote AS q SET state = n.state, ended_at = n.ended_at, updated_at = clock_timestamp()
FROM unnest($1::uuid[], $2::text[], $3::timestamptz[]) AS n (id, state, ended_at)
WHERE q.id = n.id AND q.state = 'HELD'
"""
_CHANGE_HELD = """
UPDATE account AS a SET held_fen = a.held_fen + n.change_fen, updated_at = clock_timestamp()
FROM unnest($1::text[], $2::bigint[]) AS n (psn_no, change_fen) WHERE a.psn_no = n.psn_no
"""
_ADD_LINES = """
INSERT INTO quote_line (quote_id, position, payer_psn_no, relation_id, amount_fen, balance_after_fen)
SELECT * FROM unnest($1::new_line[])
"""
_ADD_DECLINES = """
INSERT INTO quote_decline (quote_id, position, payer_psn_no, reason, limit_window)
SELECT * FROM unnest($1::new_decline[])
"""
_LINES = """
SELECT quote_id AS settlement_id, payer_psn_no, relation_id, amount_fen, balance_after_fen FROM quote_line
WHERE quote_id = ANY($1::uuid[]) ORDER BY quote_id, position
"""
_DECLINES = """
SELECT quote_id AS settlement_id, payer_psn_no, reason, limit_window FROM quote_decline
WHERE quote_id = ANY($1::uuid[]) ORDER BY quote_id, position
"""


class LostQuoteError(Exception):
    """A row that was locked was not there to be moved; a fault in the code."""


class QuoteRepository(Protocol):
    """Held previews, in one unit of work."""

    async def find_by_msgids(self, keys: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Quote]:
        """The quotes of these requests (fixmedins_code, msgid), those that there are."""
        ...

    async def find_by_ids(self, ids: Iterable[UUID]) -> dict[UUID, Quote]:
        """The quotes of these ids, those that there are."""
        ...

    async def lock(self, ids: Iterable[UUID]) -> dict[UUID, Quote]:
        """Lock these quotes in whatever state, those that there are."""
        ...

    async def lock_due(self, now: datetime, patients: Collection[str]) -> list[Quote]:
        """Lock HELD quotes of these patients whose time is over, after waiting for those that others hold."""
        ...

    async def take_expired(self, now: datetime, limit: int, but: Collection[UUID] = ()) -> list[Quote]:
        """Lock HELD quotes whose time is over but these, passing over those that others hold."""
        ...

    async def keep(self, quotes: Sequence[Quote]) -> None:
        """Turn locked PENDING requests into these quotes, and hold what they keep on the accounts, which are locked."""
        ...

    async def end(self, quotes: Sequence[Quote]) -> None:
        """Write the end of locked quotes, and free what they kept on the accounts, which are locked."""
        ...


class PostgresQuoteRepository:
    """See `QuoteRepository`."""

    def __init__(self, transaction: Transaction) -> None:
        self._raw = transaction.raw

    async def find_by_msgids(self, keys: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Quote]:
        """See `QuoteRepository.find_by_msgids`."""
        listed = list(keys)
        codes, msgids = [code for code, _ in listed], [msgid for _, msgid in listed]
        found = await self._whole(await self._raw.fetch(_BY_MSGIDS, codes, msgids))
        return {(quote.order.fixmedins_code, quote.order.msgid): quote for quote in found}

    async def find_by_ids(self, ids: Iterable[UUID]) -> dict[UUID, Quote]:
        """See `QuoteRepository.find_by_ids`."""
        return {quote.quote_id: quote for quote in await self._whole(await self._raw.fetch(_BY_IDS, list(ids)))}

    async def lock(self, ids: Iterable[UUID]) -> dict[UUID, Quote]:
        """See `QuoteRepository.lock`."""
        return {quote.quote_id: quote for quote in await self._whole(await self._raw.fetch(_LOCK, list(ids)))}

    async def lock_due(self, now: datetime, patients: Collection[str]) -> list[Quote]:
        """See `QuoteRepository.lock_due`."""
        return await self._whole(await self._raw.fetch(_LOCK_DUE, now, list(patients)))

    async def take_expired(self, now: datetime, limit: int, but: Collection[UUID] = ()) -> list[Quote]:
        """See `QuoteRepository.take_expired`."""
        return await self._whole(await self._raw.fetch(_TAKE_EXPIRED, now, limit, list(but)))

    async def keep(self, quotes: Sequence[Quote]) -> None:
        """See `QuoteRepository.keep`."""
        status = await self._raw.execute(
            _KEEP,
            [quote.quote_id for quote in quotes],
            [quote.expires_at for quote in quotes],
            [quote.split.acct_pay_fen for quote in quotes],
            [quote.split.acct_mulaid_pay_fen for quote in quotes],
            [quote.split.psn_cash_pay_fen for quote in quotes],
            [quote.split.own_balance_after_fen for quote in quotes],
        )
        _must_be(status, f"INSERT 0 {len(quotes)}")
        splits = [(quote.quote_id, quote.split) for quote in quotes]
        if lines := rows.line_rows(splits):
            await self._raw.execute(_ADD_LINES, lines)
        if declines := rows.decline_rows(splits):
            await self._raw.execute(_ADD_DECLINES, declines)
        await self._change_held(quotes, 1)

    async def end(self, quotes: Sequence[Quote]) -> None:
        """See `QuoteRepository.end`."""
        status = await self._raw.execute(
            _END,
            [quote.quote_id for quote in quotes],
            [str(quote.state) for quote in quotes],
            [quote.ended_at for quote in quotes],
        )
        _must_be(status, f"UPDATE {len(quotes)}")
        await self._change_held(quotes, -1)

    async def _change_held(self, quotes: Sequence[Quote], sign: int) -> None:
        if kept := kept_fen(quotes):
            await self._raw.execute(_CHANGE_HELD, list(kept), [sign * amount_fen for amount_fen in kept.values()])

    async def _whole(self, found: rows.Rows) -> list[Quote]:
        if not found:
            return []
        ids = [row["id"] for row in found]
        lines = rows.by_settlement(await self._raw.fetch(_LINES, ids))
        declines = rows.by_settlement(await self._raw.fetch(_DECLINES, ids))
        return [_quote(row, lines.get(row["id"], ()), declines.get(row["id"], ())) for row in found]


def _quote(row: asyncpg.Record, lines: rows.Rows, declines: rows.Rows) -> Quote:
    return Quote(
        quote_id=row["id"],
        order=rows.order_of(row),
        fingerprint=Fingerprint(row["hash_version"], bytes(row["body_hash"])),
        insutype=InsuranceType(row["insutype"]) if row["insutype"] else None,
        occurred_at=row["occurred_at"],
        split=rows.split_of(row, lines, declines),
        expires_at=row["expires_at"],
        state=QuoteState(row["state"]),
        ended_at=row["ended_at"],
    )


def _must_be(status: str, expected: str) -> None:
    if status != expected:
        raise LostQuoteError(f"the database says {status}, expected was {expected}")
