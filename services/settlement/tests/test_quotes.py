"""Held previews, on memory and with a fake binding: what they keep, who may use them, and how they end."""

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gongji.settlement.events.v1 import settlement_events_pb2
from kit.failpoints import Boundary, Failpoints
from kit.testing import MemoryWork
from settlement.domain.accounts import Account, AccountState
from settlement.domain.quotes import Quote, QuoteState, ended, kept_fen, seen_at
from settlement.domain.reasons import SettlementRefusedError
from settlement.domain.state import IllegalMoveError, Settlement, SettlementState
from settlement.intents import Answer
from settlement.memory import MemorySettlements
from settlement.preview_service import Preview, PreviewCommand
from settlement.testing import (
    HOSPITAL,
    QUOTES_LAST,
    TEN_O_CLOCK,
    FakeRelation,
    World,
    account,
    bill,
    hold,
    msgid,
    paid,
    reason,
    settle,
)
from settlement.testing_failpoints import Crash, Dying

OTHER_HOSPITAL = "H65270100002"


class Family:
    """A father with money, a child with a limit."""

    def __init__(
        self, *, money_fen: int = 10_000, limit_fen: int = 50_000, failpoints: Failpoints | None = None
    ) -> None:
        self.memory = MemorySettlements()
        self.memory.accounts["father"] = account("father", money_fen)
        self.relation = FakeRelation("father", "child", limit_fen)
        self.world = World(MemoryWork(self.memory), self.relation, failpoints=failpoints)

    async def hold(self, number: int = 1, amount_fen: int = 9_000, **changes: Any) -> Quote:
        return held((await self.world.hold(hold(number, bill("child", amount_fen), **changes)))[0])

    async def use(self, number: int, quote: Quote, amount_fen: int = 9_000, **changes: Any) -> Settlement | Exception:
        order = settle(number, bill("child", amount_fen), quote_id=quote.quote_id, credential="forged", **changes)
        return (await self.world.settle_quotes(order))[0]

    @property
    def father(self) -> Account:
        return self.memory.accounts["father"]

    @property
    def told(self) -> list[str]:
        return [type(message).__name__ for message in self.memory.outbox.messages]


def held(answer: Answer) -> Quote:
    assert isinstance(answer, Quote), repr(answer)
    return answer


async def test_a_held_preview_keeps_its_amounts_without_an_entry() -> None:
    family = Family()
    quote = await family.hold()
    assert (quote.state, quote.expires_at) == (QuoteState.HELD, TEN_O_CLOCK + QUOTES_LAST)
    assert [(line.payer_psn_no, line.amount_fen, line.balance_after_fen) for line in quote.split.lines] == [
        ("father", 9_000, 1_000)
    ]
    assert (family.father.balance_fen, family.father.held_fen, family.father.version) == (10_000, 9_000, 1)
    assert not family.memory.entries
    assert not family.memory.settlements
    assert family.told == ["HoldsTrimmed"]


async def test_binding_is_told_just_what_stays_held() -> None:
    family = Family(money_fen=2_000)
    quote = await family.hold()
    (trimmed,) = family.memory.outbox.messages
    assert isinstance(trimmed, settlement_events_pb2.HoldsTrimmed)
    assert trimmed.settlement.setl_id == str(quote.quote_id)
    assert [(line.payer_psn_no, line.amount_fen) for line in trimmed.settlement.lines] == [("father", 2_000)]


async def test_what_is_held_is_not_there_for_anybody_else() -> None:
    family = Family()
    await family.hold()
    other = paid((await family.world.settle(settle(2, bill("child", 3_000))))[0])
    assert other.split is not None
    assert [(line.amount_fen, line.balance_after_fen) for line in other.split.lines] == [(1_000, 9_000)]
    assert [decline.reason for decline in other.split.declines] == ["INSUFFICIENT_BALANCE"]


async def test_what_is_held_counts_in_the_limit_although_kafka_has_told_nothing() -> None:
    family = Family(money_fen=50_000, limit_fen=10_000)
    await family.hold()
    other = paid((await family.world.settle(settle(2, bill("child", 3_000))))[0])
    assert other.split is not None
    assert [line.amount_fen for line in other.split.lines] == [1_000]


async def test_settling_by_the_quote_takes_what_was_held_after_the_relation_has_ended() -> None:
    family = Family()
    quote = await family.hold()
    family.relation.reason = "RELATION_ENDED"
    family.memory.accounts["father"] = replace(family.father, state=AccountState.FROZEN)
    settlement = paid(await family.use(2, quote))
    assert settlement.settlement_id == quote.quote_id
    assert settlement.state is SettlementState.SETTLED
    assert settlement.split == quote.split
    assert (family.father.balance_fen, family.father.held_fen, family.father.version) == (1_000, 0, 2)
    assert family.told == ["HoldsTrimmed", "SettlementCompleted", "AccountDebited"]


async def test_the_balances_told_are_those_at_settling() -> None:
    family = Family(money_fen=20_000)
    quote = await family.hold()
    await family.world.settle(settle(2, bill("child", 5_000)))
    settlement = paid(await family.use(3, quote))
    assert settlement.split is not None
    assert [(line.amount_fen, line.balance_after_fen) for line in settlement.split.lines] == [(9_000, 6_000)]


async def test_ones_own_account_is_held_and_paid_too() -> None:
    family = Family()
    family.memory.accounts["child"] = account("child", 700)
    quote = await family.hold()
    assert (quote.split.acct_pay_fen, quote.split.acct_mulaid_pay_fen) == (700, 8_300)
    assert family.memory.accounts["child"].held_fen == 700
    settlement = paid(await family.use(2, quote))
    assert settlement.split == quote.split
    assert family.memory.accounts["child"].balance_fen == 0


async def test_the_same_preview_again_gets_the_same_quote() -> None:
    family = Family()
    first = await family.hold()
    assert await family.hold() == first
    assert family.father.held_fen == 9_000
    assert len(family.world.binding.asked) == 1


async def test_the_same_settlement_by_quote_again_gets_the_same_answer() -> None:
    family = Family()
    quote = await family.hold()
    first = await family.use(2, quote)
    assert await family.use(2, quote) == first
    assert family.father.balance_fen == 1_000


async def test_a_quote_is_used_once() -> None:
    family = Family()
    quote = await family.hold()
    await family.use(2, quote)
    assert reason(await family.use(3, quote)) == "QUOTE_USED"
    assert len(family.memory.settlements) == 1


async def test_two_orders_of_one_batch_do_not_both_use_a_quote() -> None:
    family = Family()
    quote = await family.hold()
    orders = [settle(number, quote_id=quote.quote_id) for number in (2, 3)]
    first, second = await family.world.settle_quotes(*orders)
    assert paid(first).settlement_id == quote.quote_id
    assert reason(second) == "QUOTE_USED"
    assert family.father.balance_fen == 1_000


async def test_two_quotes_of_one_payer_in_one_batch_tell_the_balances_one_after_the_other() -> None:
    family = Family(money_fen=10_000)
    family.world.binding.relations.append(FakeRelation("father", "baby", 50_000))
    first, second = await family.world.hold(hold(1, bill("child", 3_000)), hold(2, bill("baby", 2_000)))
    orders = [
        settle(3, bill("child", 3_000), quote_id=held(first).quote_id),
        settle(4, bill("baby", 2_000), quote_id=held(second).quote_id),
    ]
    answers = [paid(each) for each in await family.world.settle_quotes(*orders)]
    assert [line.balance_after_fen for each in answers if each.split for line in each.split.lines] == [7_000, 5_000]
    assert (family.father.balance_fen, family.father.held_fen) == (5_000, 0)


async def test_a_quote_that_has_run_out_is_refused_before_anybody_swept_it() -> None:
    family = Family()
    quote = await family.hold()
    family.world.clock.advance(QUOTES_LAST - timedelta(seconds=1))
    assert seen_at(quote, family.world.clock.now()) == quote
    family.world.clock.advance(timedelta(seconds=1))
    assert reason(await family.use(2, quote)) == "QUOTE_EXPIRED"
    assert not family.memory.settlements
    assert (await family.world.quotes.by_id(HOSPITAL, quote.quote_id)).state is QuoteState.EXPIRED


async def test_what_an_expired_quote_kept_is_there_for_the_very_next_request() -> None:
    family = Family(limit_fen=10_000)
    await family.hold()
    family.world.clock.advance(QUOTES_LAST)
    next_one = paid((await family.world.settle(settle(2, bill("child", 9_000))))[0])
    assert next_one.split is not None
    assert next_one.split.acct_mulaid_pay_fen == 9_000
    assert family.father.held_fen == 0
    assert family.told == ["HoldsTrimmed", "HoldsReleased", "SettlementCompleted", "AccountDebited"]


async def test_what_an_expired_quote_kept_is_there_for_a_preview() -> None:
    family = Family(limit_fen=10_000)
    await family.hold()
    family.world.clock.advance(QUOTES_LAST)
    asked = settle(2, bill("child", 9_000)).presented
    (preview,) = await family.world.previewing.preview(
        [PreviewCommand(asked, acct_used_flag=True, use_mutual_aid=True)]
    )
    assert isinstance(preview, Preview)
    assert preview.split.acct_mulaid_pay_fen == 9_000


async def test_the_sweeper_frees_what_has_run_out_and_nothing_else() -> None:
    family = Family(money_fen=20_000)
    first = await family.hold(1)
    family.world.clock.advance(timedelta(minutes=5))
    second = await family.hold(2)
    family.world.clock.advance(timedelta(minutes=5))
    await family.world.sweep()
    assert family.memory.quotes.quotes[first.quote_id].state is QuoteState.EXPIRED
    assert family.memory.quotes.quotes[second.quote_id].state is QuoteState.HELD
    assert family.father.held_fen == 9_000


async def test_a_cancelled_quote_is_free_and_cannot_be_settled() -> None:
    family = Family()
    quote = await family.hold()
    cancelled = await family.world.quotes.cancel(HOSPITAL, quote.quote_id)
    assert (cancelled.state, cancelled.ended_at) == (QuoteState.CANCELLED, TEN_O_CLOCK)
    assert family.father.held_fen == 0
    assert family.told == ["HoldsTrimmed", "HoldsReleased"]
    assert reason(await family.use(2, quote)) == "QUOTE_USED"


async def test_cancelling_again_or_too_late_changes_nothing() -> None:
    family = Family()
    quote = await family.hold()
    first = await family.world.quotes.cancel(HOSPITAL, quote.quote_id)
    assert await family.world.quotes.cancel(HOSPITAL, quote.quote_id) == first
    used = await family.hold(2)
    await family.use(3, used)
    assert (await family.world.quotes.cancel(HOSPITAL, used.quote_id)).state is QuoteState.USED
    assert family.father.balance_fen == 1_000


async def test_cancelling_what_has_run_out_finds_it_expired() -> None:
    family = Family()
    quote = await family.hold()
    family.world.clock.advance(QUOTES_LAST)
    assert (await family.world.quotes.cancel(HOSPITAL, quote.quote_id)).state is QuoteState.EXPIRED
    assert family.father.held_fen == 0


CHANGES: dict[str, dict[str, Any]] = {
    "another amount": {"amount_fen": 8_999},
    "other flags": {"acct_used_flag": False},
    "no mutual aid": {"use_mutual_aid": False},
    "another expected payment": {"expected_acct_mulaid_pay_fen": 8_999},
    "another expected own payment": {"expected_acct_pay_fen": 1},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
async def test_another_order_than_what_was_held_takes_nothing_and_leaves_the_quote(change: dict[str, Any]) -> None:
    family = Family()
    quote = await family.hold()
    assert reason(await family.use(2, quote, **change)) == "AMOUNT_CHANGED"
    assert reason(await family.use(2, quote, **change)) == "AMOUNT_CHANGED"
    (kept,) = family.memory.settlements.values()
    assert kept.state is SettlementState.REFUSED
    assert kept.settlement_id != quote.quote_id
    assert (family.father.balance_fen, family.father.held_fen) == (10_000, 9_000)
    assert paid(await family.use(3, quote)).state is SettlementState.SETTLED


async def test_expecting_what_was_held_is_no_change() -> None:
    family = Family()
    quote = await family.hold()
    settlement = await family.use(2, quote, expected_acct_pay_fen=0, expected_acct_mulaid_pay_fen=9_000)
    assert paid(settlement).state is SettlementState.SETTLED


async def test_another_patient_cannot_use_a_quote() -> None:
    family = Family()
    quote = await family.hold()
    order = settle(2, bill("baby", 9_000), quote_id=quote.quote_id)
    assert reason((await family.world.settle_quotes(order))[0]) == "AMOUNT_CHANGED"


async def test_an_unknown_quote_leaves_no_trace() -> None:
    family = Family()
    order = settle(2, quote_id=UUID(int=7))
    assert reason((await family.world.settle_quotes(order))[0]) == "NOT_FOUND"
    assert not family.memory.settlements


async def test_another_institution_neither_settles_nor_cancels_nor_sees_a_quote() -> None:
    family = Family()
    quote = await family.hold()
    stranger = settle(2, bill("child", 9_000), quote_id=quote.quote_id)
    order = replace(stranger.order, fixmedins_code=OTHER_HOSPITAL, msgid=msgid(2, OTHER_HOSPITAL))
    assert reason((await family.world.settle_quotes(replace(stranger, order=order)))[0]) == "FORBIDDEN_INSTITUTION"
    for asked in (family.world.quotes.cancel, family.world.quotes.by_id):
        with pytest.raises(SettlementRefusedError) as refused:
            await asked(OTHER_HOSPITAL, quote.quote_id)
        assert refused.value.reason == "FORBIDDEN_INSTITUTION"
    with pytest.raises(SettlementRefusedError, match="no such held preview"):
        await family.world.quotes.by_msgid(OTHER_HOSPITAL, msgid(1))


async def test_a_refusal_about_the_visit_holds_nothing() -> None:
    family = Family()
    answer = (await family.world.hold(hold(1, credential="forged")))[0]
    assert reason(answer) == "CREDENTIAL_INVALID"
    assert family.father.held_fen == 0
    assert not family.memory.quotes.quotes


async def test_a_settlement_under_a_previews_msgid_is_refused_and_the_other_way_round() -> None:
    family = Family()
    await family.hold(1)
    assert reason((await family.world.settle(settle(1, bill("child", 9_000))))[0]) == "MSGID_REUSED"
    await family.world.settle(settle(2, bill("child", 100)))
    assert reason((await family.world.hold(hold(2, bill("child", 100))))[0]) == "MSGID_REUSED"


async def test_a_held_previews_msgid_is_not_fenced_off_by_a_reversal() -> None:
    family = Family()
    quote = await family.hold(1)
    assert reason(await family.world.reverse(5, of=1)) == "NOT_FOUND"
    assert family.memory.quotes.quotes[quote.quote_id].state is QuoteState.HELD
    assert reason(await family.world.reverse(1, of=9)) == "MSGID_REUSED"


async def test_a_settlement_by_quote_is_reversed_like_any_other() -> None:
    family = Family()
    quote = await family.hold()
    await family.use(2, quote)
    back = paid(await family.world.reverse(3, of=2))
    assert [(refund.psn_no, refund.amount_fen) for refund in back.refunds] == [("father", 9_000)]
    assert (family.father.balance_fen, family.father.held_fen) == (10_000, 0)


async def test_a_preview_whose_payers_cannot_be_asked_is_given_up_and_its_id_spent() -> None:
    family = Family()
    family.world.binding.down = True
    assert reason((await family.world.hold(hold(1)))[0]) == "ABANDONED"
    family.world.binding.down = False
    assert reason((await family.world.hold(hold(1)))[0]) == "ABANDONED"
    assert family.told == ["HoldsReleased"]


async def test_a_preview_left_under_way_is_swept_like_a_settlement() -> None:
    family = Family(failpoints=Dying(Boundary.AFTER_AUTHORIZE))
    with pytest.raises(Crash):
        await family.world.hold(hold(1))
    assert await family.world.sweep() == 1
    assert reason((await family.world.hold(hold(1)))[0]) == "ABANDONED"
    assert family.father.held_fen == 0


async def test_a_quote_is_found_by_the_msgid_of_its_preview() -> None:
    family = Family()
    quote = await family.hold()
    assert await family.world.quotes.by_msgid(HOSPITAL, msgid(1)) == quote


async def test_a_quote_ends_once() -> None:
    quote = ended(await Family().hold(), QuoteState.CANCELLED, TEN_O_CLOCK)
    with pytest.raises(IllegalMoveError):
        ended(quote, QuoteState.USED, TEN_O_CLOCK)


STEPS = st.lists(
    st.tuples(st.sampled_from(["hold", "settle", "use", "cancel", "wait"]), st.integers(1, 400), st.integers(0, 5)),
    max_size=12,
)


@settings(deadline=None)
@given(st.integers(0, 600), st.integers(0, 600), STEPS)
async def test_whatever_happens_what_is_held_is_what_held_quotes_keep(
    money_fen: int, limit_fen: int, steps: list[tuple[str, int, int]]
) -> None:
    family = Family(money_fen=money_fen, limit_fen=limit_fen)
    quotes: list[Quote] = []
    for number, (kind, amount_fen, which) in enumerate(steps, start=1):
        quote = quotes[which % len(quotes)] if quotes else None
        if kind == "hold":
            quotes.append(await family.hold(number, amount_fen))
        elif kind == "settle":
            await family.world.settle(settle(number, bill("child", amount_fen)))
        elif kind == "use" and quote:
            await family.use(number, quote, quote.order.bill.psn_part_amt_fen)
        elif kind == "cancel" and quote:
            await family.world.quotes.cancel(HOSPITAL, quote.quote_id)
        elif kind == "wait":
            family.world.clock.advance(timedelta(minutes=3))
            family.world.credentials.expires_at += timedelta(minutes=3)
        still = [each for each in family.memory.quotes.quotes.values() if each.state is QuoteState.HELD]
        assert kept_fen(still).get("father", 0) == family.father.held_fen <= family.father.balance_fen
    spent = sum(-row.amount_fen for row in family.memory.entries if row.account_key == "father")
    assert family.father.balance_fen == money_fen - spent
    assert spent + family.father.held_fen <= limit_fen
