"""What hospitals remember of answers, and which answers contradict each other."""

import pytest
from faults.families import HOSPITAL
from faults.told import Sent, Told

from gongji.settlement.v1 import premium_pb2
from gongji.settlement.v1 import settlement_pb2 as pb2


@pytest.fixture
def told() -> Told:
    return Told()


def bill(told: Told, msgid: str) -> Sent:
    return told.remember(pb2.SettleRequest(fixmedins_code=HOSPITAL, msgid=msgid, bill=pb2.Bill(psn_no="P1")))


def settled(setl_id: str = "one", aid: int = 7) -> pb2.Settlement:
    return pb2.Settlement(setl_id=setl_id, split=pb2.Split(acct_pay=3, acct_mulaid_pay=aid, psn_cash_pay=2))


def test_what_was_acknowledged_is_what_was_taken(told: Told) -> None:
    told.learn(bill(told, "a"), settled())
    assert [each.taken for each in told.acknowledged] == [("one", 3, 7, 2)]
    assert told.unknown == []
    bill(told, "b")
    assert [each.key for each in told.unknown] == ["b"]
    told.learn_refusal(told.sent["b"], "LIMIT_REACHED")
    assert told.unknown == []
    assert [each.key for each in told.of_patients["P1"]] == ["a", "b"]


def test_the_same_answer_again_is_no_contradiction_and_another_one_is(told: Told) -> None:
    sent = bill(told, "a")
    told.learn(sent, settled())
    told.learn(sent, settled())
    assert told.contradictions == []
    told.learn(sent, settled(aid=6))
    told.learn(sent, settled("two", aid=6))
    assert len(told.contradictions) == 2


def test_a_refusal_after_an_answer_and_an_answer_after_a_refusal_contradict(told: Told) -> None:
    first, second = bill(told, "a"), bill(told, "b")
    told.learn(first, settled())
    told.learn_refusal(first, "ABANDONED")
    assert len(told.contradictions) == 1
    told.learn_refusal(second, "ABANDONED")
    told.learn(second, settled())
    assert len(told.contradictions) == 2
    assert second.refusal == "ABANDONED"


def test_a_reversal_and_another_settlement_undo_what_stood(told: Told) -> None:
    first, second = bill(told, "a"), bill(told, "b")
    for sent in (first, second):
        told.learn(sent, settled())
        assert sent.stands
    told.learn(told.remember(pb2.ReverseRequest(msgid="c", original_msgid="a")), settled())
    told.learn(told.remember(pb2.ResettleRequest(msgid="d", original_msgid="b", bill=pb2.Bill(psn_no="P1"))), settled())
    assert (first.was_reversed, second.replaced_by) == (True, "d")
    assert not first.stands
    assert not second.stands
    assert [each.key for each in told.acknowledged] == ["a", "b", "d"]


def test_premiums_and_previews_are_known_by_what_they_are(told: Told) -> None:
    premium = told.remember(premium_pb2.PayPremiumRequest(payment_id="p", insured_psn_no="P1"))
    told.learn(premium, premium_pb2.Premium(premium_id="q", amount=400, balance_after=1))
    told.learn(premium, premium_pb2.Premium(premium_id="q", amount=400))
    preview = told.remember(pb2.PreSettleRequest(msgid="a", bill=pb2.Bill(psn_no="P1")))
    told.learn(preview, pb2.Quote(quote_id="held"))
    assert told.contradictions == []
    assert [each.taken for each in told.acknowledged] == [("q", 0, 400, 0)]
    assert told.held == [preview]
    assert not premium.is_bill
    assert not preview.is_bill


def test_what_was_acknowledged_is_told_by_kind(told: Told) -> None:
    told.learn(told.remember(pb2.SettleRequest(msgid="a", quote_id="held")), settled("1"))
    told.learn(told.remember(pb2.ResettleRequest(msgid="b", original_msgid="a")), settled("2"))
    told.learn(told.remember(pb2.ReverseRequest(msgid="c", original_msgid="b")), settled("2"))
    told.learn(told.remember(pb2.PreSettleRequest(msgid="d")), pb2.Quote(quote_id="held"))
    told.learn(told.remember(premium_pb2.PayPremiumRequest(payment_id="e")), premium_pb2.Premium(premium_id="e"))
    told.sent["a"].is_of_batch = True
    told.learn_refusal(told.remember(premium_pb2.PayPremiumRequest(payment_id="f")), "PREMIUM_ALREADY_PAID")
    kinds = {
        "bills settled again": 1,
        "held previews": 1,
        "bills by such": 1,
        "bills by batch": 1,
        "paid by own accounts": 2,
        "premiums": 1,
        "reversals": 1,
    }
    assert told.by_kind == kinds
