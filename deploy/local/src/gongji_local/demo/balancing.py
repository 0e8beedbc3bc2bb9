"""At the end everything adds up: accounts, entries, limits, events, and the audit of the ledger."""

import asyncio
from typing import Final

from gongji.binding.v1 import relation_pb2
from gongji.settlement.v1 import account_pb2, settlement_pb2
from gongji_local.demo.cast import Cast
from gongji_local.demo.checks import require, require_amount, require_equal, yuan
from gongji_local.demo.joining import CONTRIBUTION_FEN, SETTLEMENT_LIMIT_FEN, wait_for_delivery
from gongji_local.demo.visiting import BALANCE_AFTER_FIRST_FEN, BALANCE_AFTER_LARGE_FEN, PERSON_FEN, Settled
from kit.clock import Elapsed

# Newest first: what came in or went out, and the balance after it.
STATEMENT: Final = (
    (account_pb2.ENTRY_KIND_REFUND, SETTLEMENT_LIMIT_FEN, BALANCE_AFTER_FIRST_FEN),
    (account_pb2.ENTRY_KIND_SETTLEMENT, -SETTLEMENT_LIMIT_FEN, BALANCE_AFTER_LARGE_FEN),
    (account_pb2.ENTRY_KIND_SETTLEMENT, -PERSON_FEN, BALANCE_AFTER_FIRST_FEN),
    (account_pb2.ENTRY_KIND_CONTRIBUTION, CONTRIBUTION_FEN, CONTRIBUTION_FEN),
)


async def statement(cast: Cast) -> list[account_pb2.Entry]:
    """The father reads his statement."""
    cast.narrator.step("The payer's statement (明细)")
    entries = await cast.father.entries()
    require_equal(
        "the statement", [(entry.kind, entry.amount, entry.balance_after) for entry in entries], list(STATEMENT)
    )
    versions = [entry.version for entry in entries]
    require_equal("the numbers of the entries", versions, list(range(len(entries), 0, -1)))
    cast.narrator.statement(entries)
    return entries


async def summary(
    cast: Cast, relation_id: str, first: Settled, large: Settled, entries: list[account_pb2.Entry]
) -> None:
    """Everything adds up."""
    cast.narrator.step("Does it add up?")
    await wait_for_delivery(cast)
    rows = [
        await _account_adds_up(cast, entries),
        await _hospital_adds_up(cast, first, large),
        await _limits_add_up(cast, relation_id),
        await _audit(cast),
        ("events", "every outbox empty, every consumer group at the end of its topics"),
    ]
    cast.narrator.summary(rows)
    cast.narrator.fact(f"{cast.narrator.calls} calls in {cast.narrator.seconds:.1f} s")


async def _account_adds_up(cast: Cast, entries: list[account_pb2.Entry]) -> tuple[str, str]:
    account = await cast.father.account()
    total_fen = sum(entry.amount for entry in entries)
    require_amount("the account's balance", account.balance, total_fen)
    require_amount("what is held on the account", account.held, 0)
    return (
        "account",
        f"{len(entries)} entries sum to {yuan(total_fen)}, the balance is {yuan(account.balance)}, held nothing",
    )


async def _hospital_adds_up(cast: Cast, first: Settled, large: Settled) -> tuple[str, str]:
    paid = await cast.hospital.settlement_by_setl_id(first.settlement.setl_id)
    reversed_ = await cast.hospital.settlement_by_setl_id(large.settlement.setl_id)
    require_equal("the first settlement's state", paid.state, settlement_pb2.SETTLEMENT_STATE_SETTLED)
    require_equal("the larger settlement's state", reversed_.state, settlement_pb2.SETTLEMENT_STATE_REVERSED)
    due_fen = paid.split.acct_mulaid_pay + reversed_.split.acct_mulaid_pay
    due_fen -= sum(refund.amount for refund in reversed_.refunds)
    require_amount("what the hospital is due", due_fen, PERSON_FEN)
    spent_fen = CONTRIBUTION_FEN - (await cast.father.account()).balance
    require_amount("what the father spent", spent_fen, due_fen)
    return "hospital", f"due from mutual aid {yuan(due_fen)}, exactly what the father spent"


async def _limits_add_up(cast: Cast, relation_id: str) -> tuple[str, str]:
    relation = await cast.father.relation(relation_id)
    for use in relation.use:
        window = relation_pb2.LimitWindow.Name(use.window).removeprefix("LIMIT_WINDOW_").lower()
        require_amount(f"what is used in the {window} window", use.used_fen, PERSON_FEN)
        require_amount(f"what is held in the {window} window", use.held_fen, 0)
    require(len(relation.use) > 0, "the relation tells no use of its windows")
    return "limits", f"{yuan(PERSON_FEN)} used in each window, the reversed bill's share is free again, held nothing"


async def _audit(cast: Cast) -> tuple[str, str]:
    elapsed = Elapsed()
    finished = await asyncio.to_thread(cast.stack.run_command, "settlement", "audit")
    told = " ".join(finished.stdout.split())[-300:]
    require(finished.returncode == 0, f"`settlement audit` ended with status {finished.returncode}: {told}")
    return "ledger", f"`settlement audit` finds every invariant kept ({elapsed.seconds:.1f} s)"
