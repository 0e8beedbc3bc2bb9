"""Settling, on memory and with a fake binding: what each msgid is answered with."""

from datetime import timedelta
from typing import Any

from gongji.settlement.events.v1 import account_events_pb2, settlement_events_pb2
from settlement.domain.state import SettlementState
from settlement.testing import Family, account, bill, msgid, paid, reason, settle, visit


async def test_a_bill_is_paid_from_the_payers_account() -> None:
    family = Family()
    settlement = await family.settle(1)
    assert settlement.state is SettlementState.SETTLED
    assert settlement.split is not None
    assert [(line.payer_psn_no, line.amount_fen, line.balance_after_fen) for line in settlement.split.lines] == [
        ("father", 9000, 41000)
    ]
    assert family.balance_fen == 41000
    assert family.told == ["SettlementCompleted", "AccountDebited"]


async def test_events_tell_the_lines_and_the_accounts_sequence() -> None:
    family = Family()
    settlement = await family.settle(1)
    completed, debited = family.memory.outbox.messages
    assert isinstance(completed, settlement_events_pb2.SettlementCompleted)
    assert [(line.payer_psn_no, line.amount_fen) for line in completed.settlement.lines] == [("father", 9000)]
    assert completed.settlement.use_mutual_aid
    assert isinstance(debited, account_events_pb2.AccountDebited)
    assert (debited.sequence, debited.amount_fen, debited.balance_after_fen) == (2, 9000, 41000)
    assert debited.setl_id == str(settlement.settlement_id)


async def test_the_same_request_again_gets_the_same_answer_and_takes_nothing() -> None:
    family = Family()
    first = await family.settle(1)
    assert await family.settle(1) == first
    assert family.balance_fen == 41000
    assert len(family.world.binding.asked) == 1


async def test_a_known_msgid_is_answered_after_its_credential_has_expired() -> None:
    family = Family()
    first = await family.settle(1)
    family.world.clock.advance(timedelta(days=3))
    assert await family.settle(1) == first


async def test_a_known_msgid_is_answered_whatever_credential_comes_with_it() -> None:
    family = Family()
    first = await family.settle(1)
    assert await family.settle(1, credential="forged") == first


async def test_another_body_under_a_known_msgid_is_refused() -> None:
    family = Family()
    await family.settle(1)
    answers = await family.world.settle(settle(1, bill("child", 9100)))
    assert reason(answers[0]) == "MSGID_REUSED"
    assert family.balance_fen == 41000


async def test_a_refusal_about_the_visit_leaves_no_trace() -> None:
    family = Family()
    family.world.clock.advance(timedelta(minutes=20))
    assert reason((await family.world.settle(settle(1)))[0]) == "CREDENTIAL_EXPIRED"
    assert not family.memory.settlements
    assert not family.memory.credential_uses
    family.world.credentials.expires_at += timedelta(hours=1)
    assert (await family.settle(1)).state is SettlementState.SETTLED


async def test_a_credential_belongs_to_the_visit_of_its_first_settlement() -> None:
    family = Family()
    await family.settle(1)
    other = bill("child", 100, mdtrt_id="another-visit")
    assert reason((await family.world.settle(settle(2, other)))[0]) == "CREDENTIAL_INVALID"
    assert len(family.memory.settlements) == 1


async def test_two_visits_with_one_credential_in_one_batch_are_not_both_settled() -> None:
    family = Family()
    facts = visit("child", jti="shared")
    family.world.credentials.facts = {"a": facts, "b": facts}
    first = settle(1, bill("child", 100), credential="a")
    second = settle(2, bill("child", 100, mdtrt_id="another"), credential="b")
    await family.world.settle(first)
    assert reason((await family.world.settle(second))[0]) == "CREDENTIAL_INVALID"
    assert list(family.memory.credential_uses) == ["shared"]
    assert len(family.memory.settlements) == 1


async def test_the_second_of_one_patient_in_one_batch_is_in_progress_without_trace() -> None:
    family = Family()
    answers = await family.world.settle(settle(1), settle(2))
    assert paid(answers[0]).state is SettlementState.SETTLED
    assert reason(answers[1]) == "IN_PROGRESS"
    assert (await family.settle(2)).state is SettlementState.SETTLED


async def test_the_same_msgid_of_two_patients_in_one_batch_settles_one() -> None:
    family = Family()
    answers = await family.world.settle(settle(1, bill("child", 100)), settle(1, bill("baby", 100)))
    assert sorted(type(answer).__name__ for answer in answers) == ["Settlement", "SettlementRefusedError"]
    assert {reason(answer) for answer in answers if isinstance(answer, Exception)} == {"MSGID_REUSED"}


async def test_what_was_settled_counts_in_the_limit_of_the_next_without_any_event() -> None:
    family = Family(limit_fen=10000)
    await family.settle(1, 9000)
    second = await family.settle(2, 9000)
    assert second.split is not None
    assert (second.split.acct_mulaid_pay_fen, second.split.psn_cash_pay_fen) == (1000, 8000)
    assert [(decline.reason, decline.window) for decline in second.split.declines] == [("LIMIT_REACHED", "TOTAL")]


async def test_binding_is_not_asked_without_mutual_aid_or_need() -> None:
    family = Family()
    await family.settle(1, use_mutual_aid=False)
    await family.settle(2, 0)
    assert not family.world.binding.asked


async def test_a_split_that_was_not_expected_moves_nothing_and_spends_the_msgid() -> None:
    family = Family(money_fen=5000)
    answers = await family.world.settle(settle(1, expected_acct_mulaid_pay_fen=9000))
    assert reason(answers[0]) == "AMOUNT_CHANGED"
    assert family.balance_fen == 5000
    assert family.told == ["HoldsReleased"]
    again = await family.world.settle(settle(1, expected_acct_mulaid_pay_fen=9000))
    assert reason(again[0]) == "AMOUNT_CHANGED"
    assert not family.memory.entries


async def test_a_lost_reply_of_binding_abandons_and_a_new_msgid_settles_in_full() -> None:
    family = Family(limit_fen=9000)
    family.world.binding.lose_replies = 1
    assert reason((await family.world.settle(settle(1)))[0]) == "ABANDONED"
    assert family.told == ["HoldsReleased"]
    assert reason((await family.world.settle(settle(1)))[0]) == "ABANDONED"
    second = await family.settle(2)
    assert second.split is not None
    assert second.split.acct_mulaid_pay_fen == 9000, "the hold of the abandoned one is free"


async def test_binding_down_abandons_who_needs_it_and_settles_who_does_not() -> None:
    family = Family()
    family.world.binding.down = True
    answers = await family.world.settle(settle(1), settle(2, bill("baby", 500), use_mutual_aid=False))
    assert reason(answers[0]) == "ABANDONED"
    assert paid(answers[1]).state is SettlementState.SETTLED


async def test_one_that_binding_refuses_does_not_fail_the_others() -> None:
    family = Family()
    family.world.binding.refuse["baby"] = "REQUEST_TOO_OLD"
    answers = await family.world.settle(settle(1, bill("baby", 500)), settle(2))
    assert reason(answers[0]) == "ABANDONED"
    assert paid(answers[1]).state is SettlementState.SETTLED


async def test_one_whose_posting_fails_does_not_fail_the_others() -> None:
    family = Family()
    family.memory.accounts["baby"] = account("baby", 500)
    real_post = family.memory.post

    async def post(posted: Any, accounts: Any) -> None:
        if "baby" in posted.standings:
            raise RuntimeError("a row that the database will not take")
        await real_post(posted, accounts)

    family.memory.post = post  # type: ignore[method-assign]
    answers = await family.world.settle(settle(1, bill("baby", 500)), settle(2))
    assert reason(answers[0]) == "ABANDONED"
    assert paid(answers[1]).state is SettlementState.SETTLED
    assert family.memory.accounts["baby"].balance_fen == 500


async def test_nothing_is_posted_on_a_closed_day() -> None:
    family = Family()
    family.memory.closed_days.add(family.world.clock.now().date())
    assert reason((await family.world.settle(settle(1)))[0]) == "ABANDONED"
    assert not family.memory.entries
    assert msgid(1) in {each.msgid for each in family.memory.settlements.values()}
