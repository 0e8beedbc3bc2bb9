"""What the drill must find lost, kept and too new, and what hospitals send again."""

from datetime import UTC, datetime, timedelta

import pytest
from drill.history import Act, Heard, TimedTold, judge
from faults.told import Sent
from hypothesis import given
from hypothesis import strategies as st

from gongji.settlement.v1 import settlement_pb2 as pb2

POINT = datetime(2026, 5, 1, 4, tzinfo=UTC)
SECOND = timedelta(seconds=1)
BEFORE, AFTER = POINT - SECOND, POINT + SECOND


def test_what_was_acknowledged_before_the_point_has_to_be_there_and_later_things_must_not() -> None:
    acts = [
        Act("kept", BEFORE, BEFORE),
        Act("lost", BEFORE, POINT),
        Act("under way, there", BEFORE, AFTER),
        Act("under way, gone", POINT, AFTER),
        Act("by design", AFTER, AFTER + SECOND),
        Act("too new", AFTER, AFTER + SECOND),
    ]
    judged = judge(acts, POINT, {"kept", "under way, there", "too new", "of somebody else"})
    assert (judged.kept, judged.lost, judged.too_new) == (1, ["lost"], ["too new"])
    assert judged.by_design == ["under way, gone", "by design"]
    assert len(judged.wrong) == 2


@given(st.lists(st.tuples(st.integers(-5, 5), st.integers(0, 5), st.booleans()), max_size=30))
def test_everything_acknowledged_is_kept_lost_or_there_all_the_same(drawn: list[tuple[int, int, bool]]) -> None:
    acts = [Act(str(n), POINT + s * SECOND, POINT + (s + d) * SECOND) for n, (s, d, _) in enumerate(drawn)]
    present = {str(n) for n, (_, _, there) in enumerate(drawn) if there}
    judged = judge(acts, POINT, present)
    there_late = sum(act.acknowledged_at > POINT and act.key in present for act in acts)
    assert judged.kept + len(judged.by_design) + len(judged.lost) + there_late == len(acts)
    assert not judged.wrong or any((act.acknowledged_at <= POINT) != (act.key in present) for act in acts)


def bill(key: str, **more: str) -> pb2.SettleRequest:
    return pb2.SettleRequest(msgid=key, bill=pb2.Bill(psn_no="P1"), **more)  # type: ignore[arg-type]


def settled(setl_id: str) -> pb2.Settlement:
    return pb2.Settlement(setl_id=setl_id, split=pb2.Split(acct_mulaid_pay=7))


@pytest.fixture
def told() -> TimedTold:
    return TimedTold()


def hear(told: TimedTold, sent: Sent, answer: pb2.Settlement | pb2.Quote | str, at: datetime) -> None:
    if isinstance(answer, str):
        told.learn_refusal(sent, answer)
    else:
        told.learn(sent, answer)
    told.heard[-1] = Heard(at, sent.key, told.heard[-1].answer, told.heard[-1].refusal)


def test_as_of_the_point_what_was_answered_later_is_unknown_and_in_the_order_in_which_it_was_sent(
    told: TimedTold,
) -> None:
    hear(told, told.remember(bill("a")), settled("1"), BEFORE)
    hear(told, told.remember(bill("b")), "CREDENTIAL_EXPIRED", BEFORE)
    hear(told, told.remember(pb2.ReverseRequest(msgid="c", original_msgid="a")), settled("1"), AFTER)
    hear(told, told.remember(bill("d")), "CREDENTIAL_EXPIRED", AFTER)
    told.remember(bill("e"))
    then = told.as_of(POINT)
    assert [sent.key for sent in then.unknown] == ["c", "d", "e"]
    assert then.sent["a"].stands
    assert told.sent["a"].was_reversed
    assert then.sent["b"].refusal == "CREDENTIAL_EXPIRED"
    assert [act.key for act in told.acts()] == ["a"]
    assert [act.acknowledged_at for act in told.acts()] == [BEFORE]


def test_a_preview_that_a_bill_wants_to_use_is_not_used_by_another_one(told: TimedTold) -> None:
    preview = told.remember(pb2.PreSettleRequest(msgid="p", bill=pb2.Bill(psn_no="P1")))
    hear(told, preview, pb2.Quote(quote_id="held"), BEFORE)
    assert not told.as_of(POINT).held[0].is_used
    told.remember(bill("a", quote_id="held"))
    assert told.as_of(POINT).held[0].is_used


def test_a_reversal_that_was_under_way_at_the_point_leaves_its_bill_either_way(told: TimedTold) -> None:
    for key in "abcd":
        hear(told, told.remember(bill(key)), settled(key), BEFORE)
    at = {"r": (BEFORE, AFTER), "s": (BEFORE, BEFORE), "t": (AFTER, AFTER)}
    for (key, (sent_at, heard_at)), original in zip(at.items(), "abc", strict=True):
        sent = told.remember(pb2.ReverseRequest(msgid=key, original_msgid=original))
        hear(told, sent, settled(original), heard_at)
        told.sent_at[key] = sent_at
    told.remember(pb2.ResettleRequest(msgid="u", original_msgid="d", bill=pb2.Bill(psn_no="P1")))
    told.sent_at["u"] = BEFORE
    assert told.undone_after(POINT) == {"a", "d"}
