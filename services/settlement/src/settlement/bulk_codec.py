"""What became of many bills ⇄ the contract."""

from collections.abc import Callable, Sequence

from gongji.settlement.v1 import settlement_pb2 as pb2
from kit import db_errors
from kit.errors import HasReason, table
from kit.ids import uuid7
from kit.observability import get_logger
from kit.timestamps import Fields
from settlement import enums
from settlement.codec import settle_command, settlement_fields
from settlement.domain.state import Settlement
from settlement.intents import Answer
from settlement.ownership import refusal_of_stranger

_log = get_logger()

Refuse = Callable[[pb2.SettleRequest], Exception | None]
"""Why a bill is refused; None if it is not."""


class BulkRequest:
    """Bills as they came in one message, of which some are refused already.

    Args:
        items: the bills.
        institution: the caller; what speaks for another one is refused.
        refuse: what else refuses a bill without a look at anything.
    """

    def __init__(self, items: Sequence[pb2.SettleRequest], institution: str, refuse: Refuse) -> None:
        self._msgids = [item.msgid for item in items]
        self._refused = {
            place: refusal
            for place, item in enumerate(items)
            if (refusal := refusal_of_stranger(institution, item.fixmedins_code, item.msgid) or refuse(item))
        }
        self.commands = [settle_command(item) for place, item in enumerate(items) if place not in self._refused]
        """The others, in their order."""

    @property
    def refusals(self) -> list[pb2.SettleResult]:
        """What became of those that were refused already."""
        return [result_message(self._msgids[place], refusal) for place, refusal in self._refused.items()]

    def results(self, answers: Sequence[Answer]) -> list[pb2.SettleResult]:
        """What became of each bill, in their order, given the answers to the commands."""
        answered = iter(answers)
        return [
            result_message(msgid, self._refused[place] if place in self._refused else next(answered))
            for place, msgid in enumerate(self._msgids)
        ]


def result_message(msgid: str, answer: Answer) -> pb2.SettleResult:
    """What became of one bill."""
    if isinstance(answer, Settlement):
        return pb2.SettleResult(msgid=msgid, **_settled(answer))
    if not isinstance(answer, Exception):
        return _refused(msgid, "MSGID_REUSED", "this msgid was used before for a preview that holds")
    error = db_errors.refusal_for(answer) or answer
    if isinstance(error, HasReason) and error.reason in table():
        return _refused(msgid, error.reason, str(error))
    error_id = uuid7().hex
    _log.error("unexpected", error_id=error_id, exc_info=error)
    return _refused(msgid, "INTERNAL", f"internal error {error_id}; report this id to the operators")


def _settled(settlement: Settlement) -> Fields:
    return {"settlement": settlement_fields(settlement, with_bill=False)}


def _refused(msgid: str, reason: str, explanation: str) -> pb2.SettleResult:
    return pb2.SettleResult(msgid=msgid, refusal=enums.reason_value(reason), explanation=explanation)
