"""The vocabulary of refusals, as far as settlement itself gives them."""

from collections.abc import Mapping
from enum import StrEnum


class Reason(StrEnum):
    """The reasons that settlement itself gives; the names of `gongji.common.v1.Reason` without `REASON_`."""

    CREDENTIAL_INVALID = "CREDENTIAL_INVALID"
    CREDENTIAL_EXPIRED = "CREDENTIAL_EXPIRED"
    INSTITUTION_NOT_DESIGNATED = "INSTITUTION_NOT_DESIGNATED"
    INSTITUTION_NO_REMOTE_SETTLEMENT = "INSTITUTION_NO_REMOTE_SETTLEMENT"
    REMOTE_CARE_UNFILED = "REMOTE_CARE_UNFILED"
    DECEASED = "DECEASED"
    NOT_INSURED = "NOT_INSURED"
    NOT_OWN_BILL = "NOT_OWN_BILL"
    OUT_OF_SCOPE = "OUT_OF_SCOPE"
    BILL_ARITHMETIC = "BILL_ARITHMETIC"
    NO_RELATION = "NO_RELATION"
    ACCOUNT_FROZEN = "ACCOUNT_FROZEN"
    ACCOUNT_CLOSED = "ACCOUNT_CLOSED"
    LIMIT_REACHED = "LIMIT_REACHED"
    INSUFFICIENT_BALANCE = "INSUFFICIENT_BALANCE"
    MSGID_REUSED = "MSGID_REUSED"
    AMOUNT_CHANGED = "AMOUNT_CHANGED"
    IN_PROGRESS = "IN_PROGRESS"
    ABANDONED = "ABANDONED"
    QUOTE_EXPIRED = "QUOTE_EXPIRED"
    QUOTE_USED = "QUOTE_USED"
    ALREADY_REVERSED = "ALREADY_REVERSED"
    PREMIUM_ALREADY_PAID = "PREMIUM_ALREADY_PAID"
    PREMIUM_CLOSED = "PREMIUM_CLOSED"
    NOT_FOUND = "NOT_FOUND"
    FORBIDDEN_INSTITUTION = "FORBIDDEN_INSTITUTION"
    BATCH_TOO_LARGE = "BATCH_TOO_LARGE"
    UNAVAILABLE = "UNAVAILABLE"
    FORBIDDEN = "FORBIDDEN"
    STATE_FORBIDS = "STATE_FORBIDS"
    DAY_NOT_OVER = "DAY_NOT_OVER"


class SettlementRefusedError(Exception):
    """A request is refused for a reason of the vocabulary; `metadata` never holds personal data."""

    def __init__(self, reason: Reason | str, message: str = "", metadata: Mapping[str, str] | None = None) -> None:
        super().__init__(message or str(reason))
        self.reason = str(reason)
        self.metadata: Mapping[str, str] = dict(metadata or {})


class VisitRefusedError(SettlementRefusedError):
    """What a visit is refused for: a settlement leaves no trace, a preview shows it."""

    def __init__(self, refusal: Reason) -> None:
        super().__init__(refusal)
        self.refusal = refusal
