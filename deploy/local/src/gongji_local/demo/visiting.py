"""The child at the hospital: identify, preview, settle, ask again, settle more than the limit, reverse."""

from dataclasses import dataclass
from typing import Final

from gongji.common.v1 import reason_pb2
from gongji.settlement.v1 import settlement_pb2
from gongji_local.client import bill
from gongji_local.demo.cast import Cast
from gongji_local.demo.checks import require, require_amount, require_equal, yuan
from gongji_local.demo.joining import CONTRIBUTION_FEN, SETTLEMENT_LIMIT_FEN
from kit.clock import Elapsed

TOTAL_FEN: Final = 180_00
FUND_FEN: Final = 90_00
PERSON_FEN: Final = TOTAL_FEN - FUND_FEN
BALANCE_AFTER_FIRST_FEN: Final = CONTRIBUTION_FEN - PERSON_FEN

LARGE_TOTAL_FEN: Final = 650_00
LARGE_FUND_FEN: Final = 300_00
LARGE_PERSON_FEN: Final = LARGE_TOTAL_FEN - LARGE_FUND_FEN
LARGE_CASH_FEN: Final = LARGE_PERSON_FEN - SETTLEMENT_LIMIT_FEN
BALANCE_AFTER_LARGE_FEN: Final = BALANCE_AFTER_FIRST_FEN - SETTLEMENT_LIMIT_FEN


@dataclass(frozen=True, slots=True)
class Visit:
    """A patient whom the hospital has recognised."""

    credential: str
    masked_name: str


@dataclass(frozen=True, slots=True)
class Settled:
    """A request to settle and its answer."""

    request: settlement_pb2.SettleRequest
    settlement: settlement_pb2.Settlement
    answered: Elapsed
    """Since the answer was there."""


async def identify(cast: Cast) -> Visit:
    """The child shows an e-voucher on the father's phone; the hospital recognises the child."""
    voucher = await cast.father.issue_voucher(cast.child.psn_no)
    answer = await cast.hospital.identify_by_voucher(voucher)
    require_equal("the patient", answer.psn_no, cast.child.psn_no)
    findings = ", ".join(reason_pb2.Reason.Name(finding) for finding in answer.findings)
    require(not findings, f"the identification reports {findings}")
    return Visit(answer.visit_credential, answer.masked_name)


async def first_visit(cast: Cast) -> Visit:
    """The step of the identification."""
    cast.narrator.step("The hospital identifies the child by e-voucher (医保电子凭证)")
    visit = await identify(cast)
    cast.narrator.fact(f"it is {visit.masked_name}, insured, and nothing stands against a settlement")
    return visit


async def preview(cast: Cast, visit: Visit) -> tuple[settlement_pb2.Bill, settlement_pb2.Split]:
    """The hospital previews the bill; the bill and its split."""
    cast.narrator.step(
        f"The hospital previews the bill (预结算): {yuan(TOTAL_FEN)}, of which {yuan(FUND_FEN)} from insurance"
    )
    made = bill(cast.child.psn_no, medfee_sumamt=TOTAL_FEN, fund_pay_sumamt=FUND_FEN)
    answer = await cast.hospital.preview(made, visit.credential)
    require_equal("the preview's refusal", answer.refusal, reason_pb2.REASON_UNSPECIFIED)
    require_amount("what payers would pay", answer.split.acct_mulaid_pay, PERSON_FEN)
    account = await cast.father.account()
    require_amount("the balance after a preview", account.balance, CONTRIBUTION_FEN)
    cast.narrator.fact(f"the father would pay {yuan(PERSON_FEN)}, cash nothing; nothing has been taken")
    return made, answer.split


async def settle(cast: Cast, visit: Visit, made: settlement_pb2.Bill, previewed: settlement_pb2.Split) -> Settled:
    """The hospital settles what it previewed."""
    cast.narrator.step("The hospital settles (结算) with the previewed amounts as expected")
    request = cast.hospital.settle_request(made, visit.credential, at=cast.now, expected=previewed)
    settled = await cast.hospital.settle(request)
    answered = Elapsed()
    require_equal("the settlement's state", settled.state, settlement_pb2.SETTLEMENT_STATE_SETTLED)
    require_amount("what the father paid", settled.split.acct_mulaid_pay, PERSON_FEN)
    require_amount("the cash", settled.split.psn_cash_pay, 0)
    require_amount("the father's balance", settled.split.lines[0].balance_after, BALANCE_AFTER_FIRST_FEN)
    require_equal("the split", settled.split, previewed)
    cast.narrator.receipt(settled, cast.world.hospital.fixmedins_name, visit.masked_name)
    return Settled(request, settled, answered)


async def repeat(cast: Cast, first: Settled) -> None:
    """The hospital sends the very same request again, as after a time-out."""
    cast.narrator.step("The same request again, as after a time-out: the same answer")
    again = await cast.hospital.settle(first.request)
    require(again == first.settlement, "the same request was answered differently the second time")
    asked = await cast.hospital.settlement_by_msgid(first.request.msgid)
    require(asked == first.settlement, "asking by msgid gives another answer than settling did")
    account = await cast.father.account()
    require_amount("the balance after the repeat", account.balance, BALANCE_AFTER_FIRST_FEN)
    cast.narrator.fact(f"same setl_id, same amounts, balance still {yuan(account.balance)}")


async def settle_large(cast: Cast) -> Settled:
    """A bill that is larger than the limit of one settlement."""
    cast.narrator.step(
        f"A larger bill: {yuan(LARGE_PERSON_FEN)} left to the person, the limit is {yuan(SETTLEMENT_LIMIT_FEN)}"
    )
    visit = await identify(cast)
    made = bill(cast.child.psn_no, medfee_sumamt=LARGE_TOTAL_FEN, fund_pay_sumamt=LARGE_FUND_FEN)
    request = cast.hospital.settle_request(made, visit.credential, at=cast.now)
    settled = await cast.hospital.settle(request)
    answered = Elapsed()
    split = settled.split
    require_amount("what the father paid", split.acct_mulaid_pay, SETTLEMENT_LIMIT_FEN)
    require_amount("the cash", split.psn_cash_pay, LARGE_CASH_FEN)
    require_amount("the father's balance", split.lines[0].balance_after, BALANCE_AFTER_LARGE_FEN)
    declines = [(decline.reason, decline.window) for decline in split.declines]
    limited = (reason_pb2.REASON_LIMIT_REACHED, settlement_pb2.LIMIT_WINDOW_SETTLEMENT)
    require_equal("why the father gave no more", declines, [limited])
    cast.narrator.receipt(settled, cast.world.hospital.fixmedins_name, visit.masked_name)
    return Settled(request, settled, answered)


async def reverse(cast: Cast, large: Settled) -> Elapsed:
    """The hospital reverses the larger bill, twice, as after another time-out; since the first answer was there."""
    cast.narrator.step(
        "The hospital reverses the larger bill (冲正): the money goes back to exactly the account that paid"
    )
    answer = await cast.hospital.reverse_by_msgid(large.request.msgid, at=cast.now, reason="demo")
    answered = Elapsed()
    require_equal("the state after the reversal", answer.state, settlement_pb2.SETTLEMENT_STATE_REVERSED)
    refunds = [(refund.psn_no, refund.amount, refund.balance_after) for refund in answer.refunds]
    require_equal("the refunds", refunds, [(cast.father.psn_no, SETTLEMENT_LIMIT_FEN, BALANCE_AFTER_FIRST_FEN)])
    again = await cast.hospital.reverse_by_msgid(large.request.msgid, at=cast.now, reason="demo")
    require(again == answer, "reversing again was answered differently")
    cast.narrator.fact(
        f"{yuan(SETTLEMENT_LIMIT_FEN)} given back, balance {yuan(BALANCE_AFTER_FIRST_FEN)}; again: the same answer"
    )
    return answered
