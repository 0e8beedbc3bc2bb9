"""Comparisons and differences ⇄ the contract."""

import base64
import binascii
from collections.abc import AsyncIterator, Sequence
from uuid import UUID

from gongji.settlement.v1 import reconciliation_pb2 as pb2
from kit.errors import FieldViolation, InvalidFields
from kit.timestamps import timestamp
from settlement.difference_service import COMPARED_LINES_MAX
from settlement.domain.differences import Compared, Difference, DifferenceKind, DifferenceState, LineKey
from settlement.domain.reasons import Reason, SettlementRefusedError
from settlement.domain.reconciliation import Amounts
from settlement.reconciliation_codec import amounts_message


async def lines_in(
    first: pb2.CompareDetailsRequest, rest: AsyncIterator[pb2.CompareDetailsRequest]
) -> dict[LineKey, Amounts]:
    """The lines of all messages of a comparison.

    Raises:
        InvalidFields: a message names another institution or day than the first, or a line is there twice.
        SettlementRefusedError: BATCH_TOO_LARGE; FORBIDDEN_INSTITUTION of a msgid with another institution's code.
    """
    lines: dict[LineKey, Amounts] = {}
    _add(lines, first)
    async for request in rest:
        for field in ("fixmedins_code", "day"):
            if getattr(request, field) != getattr(first, field):
                raise InvalidFields([FieldViolation(field, "differs from that of the first message")])
        _add(lines, request)
    return lines


def _add(lines: dict[LineKey, Amounts], request: pb2.CompareDetailsRequest) -> None:
    if len(lines) + len(request.lines) > COMPARED_LINES_MAX:
        raise SettlementRefusedError(Reason.BATCH_TOO_LARGE, f"more than {COMPARED_LINES_MAX} lines of one day")
    for place, line in enumerate(request.lines):
        key = (line.msgid, line.refd_setl_flag)
        if not line.msgid.startswith(request.fixmedins_code):
            raise SettlementRefusedError(Reason.FORBIDDEN_INSTITUTION, "a msgid begins with another institution's code")
        if key in lines:
            raise InvalidFields([FieldViolation(f"lines[{place}].msgid", "is there twice")])
        lines[key] = _amounts(line)


def _amounts(line: pb2.ComparedLine) -> Amounts:
    return Amounts(
        count=1,
        medfee_sumamt_fen=line.medfee_sumamt,
        fund_pay_sumamt_fen=line.fund_pay_sumamt,
        hosp_part_amt_fen=line.hosp_part_amt,
        acct_pay_fen=line.acct_pay,
        acct_mulaid_pay_fen=line.acct_mulaid_pay,
        psn_cash_pay_fen=line.psn_cash_pay,
    )


def compared_message(compared: Compared) -> pb2.CompareDetailsResponse:
    """What came of a comparison."""
    return pb2.CompareDetailsResponse(
        matched=compared.matched,
        only_here=compared.count(DifferenceKind.ONLY_HERE),
        only_there=compared.count(DifferenceKind.ONLY_THERE),
        amounts_differ=compared.count(DifferenceKind.AMOUNTS_DIFFER),
        solved=compared.solved,
    )


def difference_message(difference: Difference) -> pb2.Difference:
    """An item of the worklist."""
    mismatch = difference.mismatch
    msgid, refd_setl_flag = mismatch.key
    return pb2.Difference(
        difference_id=str(difference.difference_id),
        fixmedins_code=difference.fixmedins_code,
        day=difference.day.isoformat(),
        msgid=msgid,
        refd_setl_flag=refd_setl_flag,
        kind=pb2.DifferenceKind.Value(f"DIFFERENCE_KIND_{mismatch.kind}"),
        here=amounts_message(mismatch.here) if mismatch.here else None,
        there=amounts_message(mismatch.there) if mismatch.there else None,
        state=_state_value(difference.state),
        changes=[
            pb2.DifferenceChange(
                changed_at=timestamp(change.changed_at),
                changed_by=change.changed_by,
                state=_state_value(change.state),
                note=change.note,
            )
            for change in difference.changes
        ],
    )


def page_message(found: Sequence[Difference], size: int) -> pb2.ListDifferencesResponse:
    """A page of `size` at most, out of one more than that if there are more."""
    page = found[:size]
    return pb2.ListDifferencesResponse(
        differences=map(difference_message, page),
        next_page_token=base64.urlsafe_b64encode(page[-1].difference_id.bytes).decode() if len(found) > size else "",
    )


def place_of(token: str) -> UUID | None:
    """The difference after which a page begins; None at the oldest.

    Raises:
        InvalidFields: the token is not one of an answer before.
    """
    if not token:
        return None
    try:
        return UUID(bytes=base64.b64decode(token, altchars=b"-_", validate=True))
    except (binascii.Error, ValueError):
        raise InvalidFields([FieldViolation("page_token", "is not a token of an answer before")]) from None


def state_of(value: pb2.DifferenceState.ValueType) -> DifferenceState | None:
    """A state; None for unspecified."""
    return DifferenceState(pb2.DifferenceState.Name(value).removeprefix("DIFFERENCE_STATE_")) if value else None


def _state_value(state: DifferenceState) -> pb2.DifferenceState.ValueType:
    return pb2.DifferenceState.Value(f"DIFFERENCE_STATE_{state}")
