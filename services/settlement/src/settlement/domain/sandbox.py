"""What a sandbox institution can order by the amount of its bill, to try how its own system takes failure.

The last four digits of medfee_sumamt, in fen, say what happens; every other amount is settled as ever.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from settlement.domain.reasons import Reason, VisitRefusedError


class Trick(StrEnum):
    """What the platform does with a bill."""

    TIME_OUT = "TIME_OUT"
    """Nothing at all: no answer comes, and nothing is recorded."""
    LOSE_REPLY = "LOSE_REPLY"
    """All of it, and the answer is lost."""
    DECLINE = "DECLINE"
    """Refuse the visit, without a trace."""
    SLOW = "SLOW"
    """All of it, after a while."""


ENDINGS: Final[Mapping[int, Trick]] = {
    9901: Trick.TIME_OUT,
    9902: Trick.LOSE_REPLY,
    9903: Trick.DECLINE,
    9904: Trick.SLOW,
}
"""By the last four digits of medfee_sumamt, fen."""

DECLINED_FOR: Final = Reason.NOT_INSURED


def trick_of(medfee_sumamt_fen: int) -> Trick | None:
    """What a sandbox institution orders by this amount."""
    return ENDINGS.get(medfee_sumamt_fen % 10_000)


def declined() -> VisitRefusedError:
    """What a visit that is to be declined is refused with."""
    return VisitRefusedError(DECLINED_FOR)
