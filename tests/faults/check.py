"""What must be true after every round, looked up in the services' own databases."""

import asyncio
from dataclasses import dataclass, field
from typing import Final

import asyncpg
from faults.told import Sent, Told
from support.books import findings

from gongji.settlement.v1.settlement_pb2 import Quote
from gongji_local.errors import StackError
from gongji_local.stack import Stack

QUIET_SECONDS: Final = 180.0
PENDING_SECONDS: Final = 90.0

_SETTLEMENTS: Final = """
SELECT msgid, state, (id::text, acct_pay_fen, acct_mulaid_pay_fen, psn_cash_pay_fen) AS taken
FROM settlement WHERE msgid = ANY ($1::text[])
"""
_MOVED: Final = "SELECT msgid, state FROM settlement WHERE state IN ('SETTLED', 'REVERSED')"
_ABOVE: Final = """
SELECT format('relation %s, %s from %s: %s fen are above its limit', relation_id, c.window_kind, c.window_start,
              c.used_fen + c.held_fen)
FROM limit_counter AS c JOIN relation AS r USING (relation_id)
WHERE c.used_fen + c.held_fen > CASE c.window_kind WHEN 'DAY' THEN r.day_fen WHEN 'MONTH' THEN r.month_fen
                                                   WHEN 'YEAR' THEN r.year_fen ELSE r.total_fen END
"""
_LIMITS_OF_ONE: Final = "SELECT relation_id, settlement_fen FROM relation WHERE settlement_fen IS NOT NULL"
_LARGEST: Final = "SELECT relation_id, max(amount_fen) FROM settlement_line GROUP BY relation_id"
_TWICE: Final = """
SELECT count(*) FROM (SELECT FROM entry WHERE account_kind = 'PERSONAL' AND settlement_id IS NOT NULL
                      GROUP BY settlement_id, account_key, entry_kind HAVING count(*) > 1) AS twice
"""
_DEBITS: Final = "SELECT count(*) FROM outbox_event WHERE topic = 'account-events-v1' AND key ~ '^[FP]'"
_MESSAGES: Final = "SELECT count(*) FROM message WHERE psn_no ~ '^[FP]' AND category = 'BALANCE'"


@dataclass(slots=True)
class Found:
    """What is not as it must be."""

    lost: list[str] = field(default_factory=list)
    doubled: int = 0
    unresolved: int = 0
    wrong: list[str] = field(default_factory=list)
    deaths: int = 0
    """Processes that were seen to die in the round."""

    @property
    def is_clean(self) -> bool:
        """Whether there is nothing to tell."""
        return not (self.lost or self.doubled or self.unresolved or self.wrong)


async def check(stack: Stack, told: Told) -> Found:
    """Everything, once all has come to rest."""
    found = Found()
    found.unresolved = await _pending(stack)
    try:
        await asyncio.to_thread(stack.quiesce, QUIET_SECONDS)
    except StackError as error:
        found.wrong.append(str(error))
    found.lost = await _lost(stack, told)
    found.doubled = await _value(stack, "settlement", _TWICE)
    found.wrong += told.contradictions
    found.wrong += await _untold(stack, told)
    found.wrong += [row[0] for row in await _rows(stack, "binding", _ABOVE)]
    found.wrong += await _too_large(stack)
    events, messages = await _value(stack, "settlement", _DEBITS), await _value(stack, "notify", _MESSAGES)
    if events != messages:
        found.wrong.append(f"{events} events of accounts, {messages} messages to their owners")
    found.wrong += await findings(stack)
    return found


async def _pending(stack: Stack) -> int:
    """Settlements that stay PENDING beyond what the sweeper needs."""
    for _ in range(int(PENDING_SECONDS)):
        if not (count := await _value(stack, "settlement", "SELECT count(*) FROM settlement WHERE state = 'PENDING'")):
            return 0
        await asyncio.sleep(1)
    return count


async def _lost(stack: Stack, told: Told) -> list[str]:
    """What was acknowledged and is not there as it was told, and reversals that did not happen."""
    rows = await _rows(stack, "settlement", _SETTLEMENTS, [each.key for each in told.acknowledged])
    settled = {row["msgid"]: row for row in rows}
    quotes = {row[0] for row in await _rows(stack, "settlement", "SELECT id::text FROM quote")}
    return [
        *(each.key for each in told.acknowledged if not _is_kept(each, settled.get(each.key))),
        *(each.key for each in told.held if isinstance(each.answer, Quote) and each.answer.quote_id not in quotes),
    ]


def _is_kept(sent: Sent, row: asyncpg.Record | None) -> bool:
    undone = sent.was_reversed or bool(sent.replaced_by)
    return row is not None and (row["state"], row["taken"]) == ("REVERSED" if undone else "SETTLED", sent.taken)


async def _untold(stack: Stack, told: Told) -> list[str]:
    """Settlements in the books of which the hospital was told otherwise; of an unknown outcome it may still hear."""
    rows = await _rows(stack, "settlement", _MOVED)
    wrong = []
    for msgid, state in rows:
        sent = told.sent.get(msgid)
        if sent is None:
            wrong.append(f"{msgid} is {state} and was never sent")
        elif sent.refusal is not None and sent.answer is None:
            wrong.append(f"{msgid} is {state}, and was refused to the hospital with {sent.refusal}")
    return wrong


async def _too_large(stack: Stack) -> list[str]:
    """Relations under which one settlement took more than its limit of a settlement."""
    limits = dict(map(tuple, await _rows(stack, "binding", _LIMITS_OF_ONE)))
    largest = dict(map(tuple, await _rows(stack, "settlement", _LARGEST)))
    above = {each: fen for each, fen in largest.items() if fen > limits.get(each, fen)}
    return [f"relation {each}: {fen} fen are above its limit of a settlement" for each, fen in above.items()]


async def _rows(stack: Stack, service: str, query: str, *arguments: object) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(stack.info.database_url(service))
    try:
        return list(await connection.fetch(query, *arguments))
    finally:
        await connection.close()


async def _value(stack: Stack, service: str, query: str) -> int:
    connection = await asyncpg.connect(stack.info.database_url(service))
    try:
        return int(await connection.fetchval(query))
    finally:
        await connection.close()
