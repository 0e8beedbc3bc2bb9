"""What the demo shows it also checks; the first thing that is off ends it with one sentence."""

from typing import Final

import grpc

from gongji_local.client import reason_of
from gongji_local.errors import StackError

NEXT_STEP: Final = "Look at `gongji-local status` and at the service's log: `gongji-local logs SERVICE`."
FEN_A_YUAN: Final = 100


class DemoFailedError(StackError):
    """Something that the demo showed was not as it has to be."""

    def __init__(self, problem: str) -> None:
        super().__init__(f"The demo failed: {problem}.", NEXT_STEP)


def yuan(amount_fen: int) -> str:
    """¥1,234.56."""
    sign = "-" if amount_fen < 0 else ""
    whole, rest = divmod(abs(amount_fen), FEN_A_YUAN)
    return f"{sign}¥{whole:,}.{rest:02}"


def require(condition: bool, problem: str) -> None:  # noqa: FBT001 - the condition is the point
    """Goes on only if `condition` holds; `problem` is a clause for the sentence that tells that it does not."""
    if not condition:
        raise DemoFailedError(problem)


def require_equal(what: str, actual: object, wanted: object) -> None:
    """Goes on only if both are the same."""
    require(actual == wanted, f"{what} should be {wanted}, and is {actual}")


def require_amount(what: str, actual_fen: int, wanted_fen: int) -> None:
    """Goes on only if the amount is what it has to be."""
    require_equal(what, yuan(actual_fen), yuan(wanted_fen))


def from_rpc_error(error: grpc.aio.AioRpcError, last_call: str) -> DemoFailedError:
    """A refused or unanswered call in a sentence."""
    reason = reason_of(error) or error.code().name
    return DemoFailedError(f"{last_call or 'a call'} was answered with {reason} ({error.details()})")
