"""The father's messages: each arrives, once, with the right amounts."""

import asyncio
from collections.abc import Sequence
from typing import Final

from gongji.notify.v1 import inbox_pb2
from gongji_local.demo.cast import Cast
from gongji_local.demo.checks import DemoFailedError, require, require_equal, yuan
from gongji_local.demo.joining import MILLISECONDS, SETTLEMENT_LIMIT_FEN
from gongji_local.demo.visiting import BALANCE_AFTER_FIRST_FEN, PERSON_FEN
from kit.clock import Elapsed

NOTICE_TIMEOUT_SECONDS: Final = 15.0
POLL_SECONDS: Final = 0.05

SUBMITTED: Final = "共济申请已提交"
IN_FORCE: Final = "共济关系已生效"
CREDITED: Final = "个人账户入账提醒"
DEBITED: Final = "共济账户支出提醒"
REFUNDED: Final = "共济账户退款提醒"


async def notice_of_debit(cast: Cast, settled: Elapsed) -> None:
    """The father is told of the debit; his child was told of the approval."""
    cast.narrator.step("The father's notice")
    messages = await _arrived(cast, settled, [DEBITED, CREDITED, IN_FORCE, SUBMITTED])
    _require_amounts(messages[0], PERSON_FEN, BALANCE_AFTER_FIRST_FEN)
    cast.narrator.message(messages[0])
    childs = [message.title for message in await cast.child.messages()]
    require_equal("what the child was told", childs, [IN_FORCE])
    cast.narrator.fact("told once; before that of application, approval and contribution; the child of the approval")


async def notice_of_refund(cast: Cast, reversed_: Elapsed) -> None:
    """The father is told of the refund."""
    cast.narrator.step("The notice of the refund")
    messages = await _arrived(cast, reversed_, [REFUNDED, DEBITED, DEBITED, CREDITED, IN_FORCE, SUBMITTED])
    _require_amounts(messages[0], SETTLEMENT_LIMIT_FEN, BALANCE_AFTER_FIRST_FEN)
    cast.narrator.message(messages[0])


async def _arrived(cast: Cast, since: Elapsed, titles: Sequence[str]) -> Sequence[inbox_pb2.Message]:
    """The father's messages, as soon as there are as many as `titles`; they have to be these, newest first."""
    waited = Elapsed()
    cast.narrator.hush(silent=True)
    try:
        messages = await cast.father.messages()
        while len(messages) < len(titles):
            if waited.seconds > NOTICE_TIMEOUT_SECONDS:
                raise DemoFailedError(
                    f"after {NOTICE_TIMEOUT_SECONDS:g} s the father has {len(messages)} of {len(titles)} messages"
                )
            await asyncio.sleep(POLL_SECONDS)
            messages = await cast.father.messages()
    finally:
        cast.narrator.hush(silent=False)
    arrived_ms = since.seconds * MILLISECONDS
    require_equal("the father's messages", [message.title for message in messages], list(titles))
    cast.narrator.fact(f"{cast.narrator.last_call}: there {arrived_ms:.0f} ms after the hospital had its answer")
    return messages


def _require_amounts(message: inbox_pb2.Message, amount_fen: int, balance_fen: int) -> None:
    for amount in (yuan(amount_fen), yuan(balance_fen)):
        require(amount in message.body, f"the notice {message.title} does not say {amount}: {message.body}")
