"""What a msgid is bound to: a hash over a listed, versioned set of business fields and the patient.

Never the credential, the deadline or fields that this version does not know: the same bill sent again with a new
credential is the same request. A list is never changed: a new one gets a new version, and what was stored under an old
version is compared under that.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Final

from settlement.domain.state import Fingerprint, Order

Fields = Mapping[str, object]

CURRENT_VERSION: Final = 2
_REVERSAL_VERSION: Final = 1


class UnknownHashVersionError(Exception):
    """A record was hashed by a version that this release does not know; a newer release wrote it."""


def _order_v1(order: Order) -> Fields:
    bill = order.bill
    return {
        "fixmedins_code": order.fixmedins_code,
        "psn_no": bill.psn_no,
        "mdtrt_id": bill.mdtrt_id,
        "med_type": int(bill.med_type),
        "medfee_sumamt": bill.medfee_sumamt_fen,
        "fund_pay_sumamt": bill.fund_pay_sumamt_fen,
        "psn_part_amt": bill.psn_part_amt_fen,
        "hosp_part_amt": bill.hosp_part_amt_fen,
        "fulamt_ownpay_amt": bill.fulamt_ownpay_amt_fen,
        "overlmt_selfpay": bill.overlmt_selfpay_fen,
        "preselfpay_amt": bill.preselfpay_amt_fen,
        "inscp_scp_amt": bill.inscp_scp_amt_fen,
        "act_pay_dedc": bill.act_pay_dedc_fen,
        "items": [[int(item.kind), item.amount_fen] for item in bill.items],
        "acct_used_flag": order.acct_used_flag,
        "use_mutual_aid": order.use_mutual_aid,
        "expected_acct_pay": order.expected_acct_pay_fen,
        "expected_acct_mulaid_pay": order.expected_acct_mulaid_pay_fen,
    }


def _order_v2(order: Order) -> Fields:
    # Written in the order of the names, in which they are hashed: sorting what is sorted costs little.
    bill = order.bill
    return {
        "acct_used_flag": order.acct_used_flag,
        "act_pay_dedc": bill.act_pay_dedc_fen,
        "expected_acct_mulaid_pay": order.expected_acct_mulaid_pay_fen,
        "expected_acct_pay": order.expected_acct_pay_fen,
        "fixmedins_code": order.fixmedins_code,
        "fulamt_ownpay_amt": bill.fulamt_ownpay_amt_fen,
        "fund_pay_sumamt": bill.fund_pay_sumamt_fen,
        "hosp_part_amt": bill.hosp_part_amt_fen,
        "inscp_scp_amt": bill.inscp_scp_amt_fen,
        "items": [(item.kind, item.amount_fen) for item in bill.items],
        "kind": order.kind,
        "mdtrt_id": bill.mdtrt_id,
        "med_type": bill.med_type,
        "medfee_sumamt": bill.medfee_sumamt_fen,
        "overlmt_selfpay": bill.overlmt_selfpay_fen,
        "preselfpay_amt": bill.preselfpay_amt_fen,
        "psn_no": bill.psn_no,
        "psn_part_amt": bill.psn_part_amt_fen,
        "quote_id": str(order.quote_id) if order.quote_id else None,
        "replaces": str(order.replaces) if order.replaces else None,
        "use_mutual_aid": order.use_mutual_aid,
    }


def _premium_v1(order: Order) -> Fields:
    # Not the amount: what the premium is may be stated anew, and the same request must still be known.
    premium = order.premium
    paid = {"year": premium.year, "payer_psn_no": premium.payer_psn_no} if premium else {}
    return {"insured_psn_no": order.bill.psn_no, "expected_amount": order.expected_acct_mulaid_pay_fen, **paid}


_ORDER_FIELDS: Final[Mapping[int, Callable[[Order], Fields]]] = {1: _order_v1, 2: _order_v2}
_PREMIUM_FIELDS: Final[Mapping[int, Callable[[Order], Fields]]] = {1: _premium_v1, 2: _premium_v1}


def order_fingerprint(order: Order, version: int = CURRENT_VERSION) -> Fingerprint:
    """The fingerprint of a request to settle or to hold under one version of the list.

    Raises:
        UnknownHashVersionError: there is no such version.
    """
    fields = (_PREMIUM_FIELDS if order.premium else _ORDER_FIELDS).get(version)
    if fields is None:
        raise UnknownHashVersionError(f"there is no version {version} of the body hash")
    return Fingerprint(version, _digest(fields(order)))


def reversal_fingerprint(fixmedins_code: str, original: str) -> Fingerprint:
    """The fingerprint of a Reverse request: which settlement, by its msgid or setl_id. The reason is not part of it."""
    return Fingerprint(_REVERSAL_VERSION, _digest({"fixmedins_code": fixmedins_code, "original": original}))


def _digest(fields: Fields) -> bytes:
    return hashlib.sha256(_ENCODER.encode(fields).encode()).digest()


# Made once: making one costs more than what it does for a bill.
_ENCODER: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True)
