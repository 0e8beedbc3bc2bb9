"""The plain model keeps its own rules when others come between asking, paying and hearing."""

from datetime import UTC, date, datetime

from hypothesis import given, settings
from hypothesis import strategies as st
from support.ledger_model import Account, Bill, Ledger, Relation

TEN = datetime(2025, 6, 10, 2, tzinfo=UTC)
STEPS = st.lists(st.tuples(st.sampled_from(["ask", "pay", "hear", "back"]), st.integers(0, 7), st.integers(1, 300)))


def ledger(money: int, limit: int) -> Ledger:
    made = Ledger()
    made.accounts["father"] = Account(money)
    made.relations = [Relation("father", "child", {"day": limit}, date(2026, 12, 31))]
    return made


def bill(amount: int) -> Bill:
    return Bill("child", amount, TEN, own=False, aid=True)


@settings(deadline=None)
@given(STEPS, st.integers(0, 900), st.integers(0, 900))
def test_whatever_comes_between_no_limit_and_no_balance_is_exceeded(
    steps: list[tuple[str, int, int]], money: int, limit: int
) -> None:
    model = ledger(money, limit)
    bills: list[Bill] = []
    for step, which, amount in steps:
        if step == "ask":
            bills.append(bill(amount))
            model.authorize(bills[-1])
        elif which < len(bills):
            one = bills[which]
            if step == "pay" and one.state == "NEW":
                model.pay(one)
            elif step == "hear" and one.state != "NEW":
                model.hear(one)
            elif step == "back" and one.state == "SETTLED":
                model.give_back(one)
        assert 0 <= model.accounts["father"].balance <= money
        assert model.charged(model.relations[0], "day", TEN.date()) <= limit
        assert sum(each.aid_pay for each in bills if each.state == "SETTLED") <= limit


def test_what_is_asked_for_counts_until_it_is_known_what_was_paid() -> None:
    model = ledger(money=100, limit=500)
    first, second, third = bill(400), bill(400), bill(400)
    model.authorize(first)
    model.authorize(second)
    model.pay(first)
    model.authorize(third)
    assert [each.asked[0].room for each in (first, second, third)] == [500, 100, 0]
    model.hear(first)
    assert model.ask(model.relations[0], bill(400)).room == 300


def test_a_bill_settled_again_counts_with_what_it_replaces_only_once() -> None:
    model = ledger(money=1_000, limit=500)
    first = model.settle(bill(400))
    again = Bill("child", 450, TEN, own=False, aid=True, replaces=first)
    model.authorize(again)
    assert again.asked[0].room == 500
    assert model.charged(model.relations[0], "day", TEN.date()) == 450
    model.pay(again)
    model.hear(again)
    assert (model.accounts["father"].balance, model.charged(model.relations[0], "day", TEN.date())) == (550, 450)


def test_an_amount_that_is_not_the_expected_one_takes_nothing_and_leaves_what_it_was_to_replace() -> None:
    model = ledger(money=1_000, limit=500)
    first = model.settle(bill(400))
    again = Bill("child", 450, TEN, own=False, aid=True, replaces=first, expected=(0, 449))
    model.settle(again)
    assert (again.state, again.reason, first.state) == ("REFUSED", "AMOUNT_CHANGED", "SETTLED")
    assert model.accounts["father"].balance == 600
    assert model.charged(model.relations[0], "day", TEN.date()) == 400


def test_a_refund_that_comes_to_a_closed_account_pays_nothing_but_the_bill_it_came_from() -> None:
    model = ledger(money=1_000, limit=5_000)
    first, second = model.settle(bill(400)), model.settle(bill(400))
    assert model.close("father") == ""
    model.reverse(first)
    assert model.accounts["father"].balance == 400, "it waits to be paid out"
    refused = model.settle(bill(100))
    assert (refused.aid_pay, refused.declines) == (0, [("father", "ACCOUNT_CLOSED", "")])
    again = model.resettle(second, bill(600))
    assert (again.aid_pay, model.accounts["father"].balance) == (400, 400)


def test_an_account_is_closed_after_a_death_though_it_is_frozen() -> None:
    model = ledger(money=1_000, limit=500)
    father = model.accounts["father"]
    father.state = "FROZEN"
    assert model.close("father") == "STATE_FORBIDS"
    father.dead = True
    assert (model.close("father"), father.state, father.balance) == ("", "CLOSED", 0)
