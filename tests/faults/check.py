"""What must be true after every round, looked up in the services' own databases."""

import asyncio
from dataclasses import dataclass, field
from typing import Final

import asyncpg
from faults.families import LIMIT_FEN
from faults.load import Sent, Told

from gongji_local.errors import StackError
from gongji_local.stack import Stack

QUIET_SECONDS: Final = 180.0
PENDING_SECONDS: Final = 90.0

_SETTLEMENTS: Final = """
SELECT s.msgid, s.id::text AS setl_id, s.state, s.acct_mulaid_pay_fen, s.psn_cash_pay_fen
FROM settlement AS s WHERE s.msgid = ANY ($1::text[])
"""
_PAID: Final = """
SELECT l.relation_id, sum(l.amount_fen)::bigint AS fen
FROM settlement AS s JOIN settlement_line AS l ON l.settlement_id = s.id WHERE s.state = 'SETTLED' GROUP BY 1
"""
_USED: Final = """
SELECT relation_id, used_fen, held_fen FROM limit_counter
WHERE window_kind = 'TOTAL' AND (used_fen <> 0 OR held_fen <> 0)
"""
_TWICE: Final = """
SELECT count(*) FROM (SELECT FROM entry WHERE account_kind = 'PERSONAL' AND settlement_id IS NOT NULL
                      GROUP BY settlement_id, account_key, entry_kind HAVING count(*) > 1) AS twice
"""
_DEBITS: Final = "SELECT count(*) FROM outbox_event WHERE topic = 'account-events-v1' AND key LIKE 'F%'"
_MESSAGES: Final = "SELECT count(*) FROM message WHERE psn_no LIKE 'F%' AND category = 'BALANCE'"


@dataclass(slots=True)
class Found:
    """What is not as it must be."""

    lost: list[str] = field(default_factory=list)
    doubled: int = 0
    unresolved: int = 0
    wrong: list[str] = field(default_factory=list)

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
    found.wrong += await _limits(stack)
    events, messages = await _value(stack, "settlement", _DEBITS), await _value(stack, "notify", _MESSAGES)
    if events != messages:
        found.wrong.append(f"{events} events of accounts, {messages} messages to their owners")
    audit = await asyncio.to_thread(stack.run_command, "settlement", "audit")
    if audit.returncode != 0:
        found.wrong.append(f"the audit is not clean:\n{audit.stdout}{audit.stderr}")
    return found


async def _pending(stack: Stack) -> int:
    """Settlements that stay PENDING beyond what the sweeper needs."""
    for _ in range(int(PENDING_SECONDS)):
        if not (count := await _value(stack, "settlement", "SELECT count(*) FROM settlement WHERE state = 'PENDING'")):
            return 0
        await asyncio.sleep(1)
    return count


async def _lost(stack: Stack, told: Told) -> list[str]:
    """Acknowledged settlements that are not there as they were told, and reversals that did not happen."""
    connection = await asyncpg.connect(stack.info.database_url("settlement"))
    try:
        rows = await connection.fetch(_SETTLEMENTS, [each.request.msgid for each in told.acknowledged])
    finally:
        await connection.close()
    kept = {row["msgid"]: row for row in rows}
    return [each.request.msgid for each in told.acknowledged if not _is_kept(each, kept.get(each.request.msgid))]


def _is_kept(sent: Sent, row: asyncpg.Record | None) -> bool:
    if row is None or sent.answer is None:
        return False
    split = sent.answer.split
    same = (row["setl_id"], row["acct_mulaid_pay_fen"], row["psn_cash_pay_fen"]) == (
        sent.answer.setl_id,
        split.acct_mulaid_pay,
        split.psn_cash_pay,
    )
    undone = sent.was_reversed or bool(sent.replaced_by)
    return same and row["state"] == ("REVERSED" if undone else "SETTLED")


async def _limits(stack: Stack) -> list[str]:
    """Relations whose counter at binding is not the sum of what settlement settled, or is above the limit."""
    paid = await _by_relation(stack, "settlement", _PAID)
    used = await _by_relation(stack, "binding", _USED)
    wrong = []
    for relation_id in paid.keys() | used.keys():
        (paid_fen, _), (used_fen, held_fen) = paid.get(relation_id, (0, 0)), used.get(relation_id, (0, 0))
        if paid_fen != used_fen or held_fen or used_fen > LIMIT_FEN:
            wrong.append(f"relation {relation_id}: {paid_fen} fen were paid, {used_fen} used and {held_fen} held")
    return wrong


async def _by_relation(stack: Stack, service: str, query: str) -> dict[str, tuple[int, int]]:
    connection = await asyncpg.connect(stack.info.database_url(service))
    try:
        rows = [tuple(row.values()) for row in await connection.fetch(query)]
    finally:
        await connection.close()
    return {str(row[0]): (row[1], row[2] if len(row) > 2 else 0) for row in rows}


async def _value(stack: Stack, service: str, query: str) -> int:
    connection = await asyncpg.connect(stack.info.database_url(service))
    try:
        return int(await connection.fetchval(query))
    finally:
        await connection.close()
