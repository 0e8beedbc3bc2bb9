"""Whose a request is: it names the institution that calls, and ids that begin with its code."""

from typing import Final

from kit.auth import require_institution
from settlement.domain.reasons import Reason, SettlementRefusedError

FIXMEDINS_CODE_CHARACTERS: Final = 12


def must_be_own(fixmedins_code: str, *msgids: str) -> None:
    """Return if the calling institution speaks for itself.

    Raises:
        SettlementRefusedError: FORBIDDEN_INSTITUTION.
    """
    if (refusal := refusal_of_stranger(require_institution(), fixmedins_code, *msgids)) is not None:
        raise refusal


def refusal_of_stranger(institution: str, fixmedins_code: str, *msgids: str) -> SettlementRefusedError | None:
    """Why this institution may not speak for that code or of these msgids; None if it may."""
    if fixmedins_code != institution:
        return SettlementRefusedError(Reason.FORBIDDEN_INSTITUTION, "fixmedins_code is not the calling institution's")
    if any(msgid and msgid[:FIXMEDINS_CODE_CHARACTERS] != fixmedins_code for msgid in msgids):
        return SettlementRefusedError(Reason.FORBIDDEN_INSTITUTION, "a msgid begins with another institution's code")
    return None
