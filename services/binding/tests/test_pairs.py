"""Settling again (R12): what a settlement that replaces another may take, and how the pair is counted."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from binding.domain.authorizations import Authorization, AuthorizationState, Outcome
from binding.domain.batch import Answer, Book, Request, apply_all, authorize_all, preview_all, refuse_early
from binding.domain.granting import Grant
from binding.domain.limits import CounterKey, Limits, LimitWindow, Use
from binding.domain.pairs import excess
from binding.domain.relations import EndCause, Relation, RelationState
from binding.testing import (
    FATHER,
    MOTHER,
    NOON,
    TODAY,
    captured,
    enrolment,
    family,
    father,
    named,
    relation,
    released,
    request,
    restored,
)

R = "father-child"
ENDED: dict[str, Any] = {"state": RelationState.ENDED, "end_cause": EndCause.UNBOUND, "ended_at": NOON}
YESTERDAY = NOON - timedelta(days=1)


def again(name: str, of: str, need_fen: int, *outcomes: Outcome, **changes: Any) -> Request:
    """A request that replaces another one."""
    return request(name, need_fen, *outcomes, replaces=named(of), **changes)


class World:
    """One book after another, as transactions would."""

    def __init__(self, *relations: Relation) -> None:
        self.book = Book({it.relation_id: it for it in relations}, family(), {}, {})

    def ask(self, it: Request) -> Answer:
        (answer,) = authorize_all([it], self.book)
        return answer

    def paid(self, name: str, amount_fen: int, at: datetime = NOON) -> None:
        """A settlement that has been made."""
        self.ask(request(name, amount_fen, occurred_at=at))
        self.tell(captured(name, (R, amount_fen), occurred_at=at))

    def tell(self, *outcomes: Outcome) -> None:
        apply_all(outcomes, self.book)

    def end(self, **changes: Any) -> None:
        self.book.relations[named(R)] = replace(self.book.relations[named(R)], **(changes or ENDED))

    def use(self, window: LimitWindow = LimitWindow.TOTAL) -> Use:
        (use,) = {use for key, use in self.book.uses.items() if key.window is window} or {Use()}
        return use

    def of(self, name: str) -> Authorization:
        return self.book.authorizations[named(name)]


def granted(answer: Answer) -> list[tuple[int, str | None]]:
    assert answer.refusal is None
    return [(it.granted_fen, it.reason) for it in answer.grants]


def test_what_the_replaced_settlement_used_is_free_for_the_one_that_replaces_it() -> None:
    world = World(relation(limits=Limits(total_fen=9_500)))
    world.paid("a", 9_000)
    assert granted(world.ask(again("b", "a", 9_500))) == [(9_500, None)]
    assert world.use() == Use(9_000, 500)


def test_the_pair_counts_what_the_greater_of_both_takes() -> None:
    world = World(relation(limits=Limits(total_fen=9_500)))
    world.paid("a", 9_000)
    assert granted(world.ask(again("b", "a", 6_000))) == [(6_000, None)]
    assert world.use() == Use(9_000, 0)
    world.tell(captured("b", (R, 6_000)))
    assert world.use() == Use(6_000, 0)
    assert world.of("a").state is AuthorizationState.RESTORED
    assert granted(world.ask(request("c", 9_000))) == [(3_500, "LIMIT_REACHED")]


@pytest.mark.parametrize("order", list(permutations([captured("b", (R, 6_000)), restored("a"), restored("b")])))
def test_outcomes_of_a_pair_end_the_same_in_any_order(order: tuple[Outcome, ...]) -> None:
    world = World(relation())
    world.paid("a", 9_000)
    world.ask(again("b", "a", 6_000))
    world.tell(*order, *order)
    assert world.use() == Use()
    assert world.book.contradictions == []


def test_a_released_one_gives_its_claim_back_and_what_it_replaced_stands() -> None:
    world = World(relation(limits=Limits(total_fen=10_000)))
    world.paid("a", 9_000)
    world.ask(again("b", "a", 10_000))
    world.tell(released("b"))
    assert world.use() == Use(9_000, 0)
    assert world.of("a").replaced_by is None
    assert granted(world.ask(again("c", "a", 10_000))) == [(10_000, None)]
    world.tell(captured("c", (R, 10_000)))
    assert world.use() == Use(10_000, 0)


def test_a_reversal_while_one_replaces_leaves_what_that_one_holds() -> None:
    world = World(relation())
    world.paid("a", 9_000)
    world.ask(again("b", "a", 6_000))
    world.tell(restored("a", (R, 9_000)))
    assert world.use() == Use(0, 6_000)
    world.tell(released("b"))
    assert world.use() == Use()


def test_a_chain_counts_only_its_last_link() -> None:
    world = World(relation(limits=Limits(total_fen=10_000)))
    world.paid("a", 9_000)
    world.ask(again("b", "a", 7_000))
    world.tell(captured("b", (R, 7_000)))
    assert granted(world.ask(again("c", "b", 10_001))) == [(10_000, "LIMIT_REACHED")]
    assert world.use() == Use(7_000, 3_000)
    world.tell(captured("c", (R, 8_000)))
    assert world.use() == Use(8_000, 0)
    world.tell(restored("c", (R, 8_000)), captured("b", (R, 7_000)), captured("a", (R, 9_000)))
    assert world.use() == Use()


def test_on_another_day_only_windows_of_both_days_are_shared() -> None:
    world = World(relation(limits=Limits(day_fen=9_000, total_fen=9_500)))
    world.paid("a", 9_000, at=YESTERDAY)
    world.paid("other", 400)
    assert granted(world.ask(again("b", "a", 9_500))) == [(8_600, "LIMIT_REACHED")]
    days = {key.start.day: use for key, use in world.book.uses.items() if key.window is LimitWindow.DAY}
    assert days == {9: Use(9_000, 0), 10: Use(400, 8_600)}
    assert world.use(LimitWindow.MONTH) == Use(9_400, 0)
    world.tell(captured("b", (R, 8_000)))
    days = {key.start.day: use for key, use in world.book.uses.items() if key.window is LimitWindow.DAY}
    assert days == {9: Use(), 10: Use(8_400, 0)}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (ENDED, "RELATION_ENDED"),
        ({"state": RelationState.SUSPENDED}, "RELATION_SUSPENDED"),
        ({"valid_to": YESTERDAY.date()}, "RELATION_EXPIRED"),
        ({"valid_from": TODAY + timedelta(days=1)}, "RELATION_NOT_STARTED"),
    ],
)
def test_a_payer_may_give_again_what_he_paid_although_the_relation_pays_nothing_today(
    changes: dict[str, Any], reason: str
) -> None:
    world = World(relation())
    world.paid("a", 9_000)
    world.end(**changes)
    (shown,) = preview_all([again("b", "a", 9_000)], world.book)
    assert granted(shown) == [(9_000, None)]
    assert granted(world.ask(again("b", "a", 9_001))) == [(9_000, reason)]


def test_a_payer_in_arrears_gives_again_only_what_he_paid() -> None:
    world = World(relation())
    world.paid("a", 9_000)
    world.book.persons = family() | {FATHER: father(enrolments=(enrolment(arrears=True),))}
    assert granted(world.ask(again("b", "a", 9_500))) == [(9_000, "PAYER_ARREARS")]


def test_a_lowered_limit_holds_for_what_was_paid_before() -> None:
    world = World(relation())
    world.paid("a", 9_000)
    world.end(limits=Limits(total_fen=5_000), **ENDED)
    assert granted(world.ask(again("b", "a", 6_000))) == [(5_000, "LIMIT_REACHED")]
    assert world.use() == Use(9_000, 0)


def test_the_limit_of_one_settlement_holds_for_the_one_that_replaces() -> None:
    world = World(relation(limits=Limits(settlement_fen=5_000)), relation("m", payer_psn_no=MOTHER, priority=2))
    world.ask(request("a", 9_000))
    world.tell(captured("a", (R, 5_000), ("m", 4_000)))
    assert granted(world.ask(again("b", "a", 6_000))) == [(5_000, "LIMIT_REACHED"), (6_000, None)]


def test_a_payer_who_paid_nothing_before_follows_todays_rules() -> None:
    world = World(relation(), relation("m", payer_psn_no=MOTHER, priority=2, **ENDED))
    world.paid("a", 9_000)
    assert granted(world.ask(again("b", "a", 6_000))) == [(6_000, None), (0, "RELATION_ENDED")]


def test_what_was_paid_under_an_earlier_relation_of_the_pair_comes_before_the_newest() -> None:
    world = World(relation(), relation("m", payer_psn_no=MOTHER, priority=3))
    world.paid("a", 4_000)
    world.end()
    new = relation("new", priority=4, approved_at=NOON, limits=Limits(total_fen=3_000))
    world.book.relations[new.relation_id] = new
    answer = world.ask(again("b", "a", 6_000))
    assert answer.grants == (
        Grant(MOTHER, named("m"), 6_000),
        Grant(FATHER, named(R), 4_000, "RELATION_ENDED"),
        Grant(FATHER, named("new"), 3_000, "LIMIT_REACHED", LimitWindow.TOTAL),
    )


def test_nothing_unless_captured_may_be_replaced_and_only_by_one_at_a_time() -> None:
    world = World(relation())
    world.ask(request("held", 10))
    world.tell(released("released"), restored("restored"))
    world.paid("a", 10)
    world.ask(again("b", "a", 10))
    before = dict(world.book.authorizations)
    for name in ("held", "released", "restored", "unknown", "a", "b"):
        assert world.ask(again(f"late {name}", name, 10)) == Answer(named(f"late {name}"), refusal="IN_PROGRESS")
    assert world.book.authorizations == before


def test_asking_again_repeats_the_answer_of_the_one_that_replaces() -> None:
    world = World(relation())
    world.paid("a", 9_000)
    first = world.ask(again("b", "a", 6_000))
    assert world.ask(again("b", "a", 6_000)) == first
    assert world.use() == Use(9_000, 0)


def test_a_capture_that_comes_along_makes_replaceable() -> None:
    world = World(relation())
    world.ask(request("a", 9_000))
    assert granted(world.ask(again("b", "a", 6_000, captured("a", (R, 9_000))))) == [(6_000, None)]


def test_the_settlement_of_another_patient_cannot_be_replaced() -> None:
    world = World(relation(), relation("of mother", beneficiary_psn_no=MOTHER))
    world.paid("a", 9_000)
    assert world.ask(again("b", "a", 10, beneficiary_psn_no=MOTHER)).refusal == "INVALID_FIELDS"
    assert world.of("a").replaced_by is None


def test_nothing_replaces_itself() -> None:
    (refused,) = refuse_early([again("a", "a", 10)], NOON)
    assert refused == Answer(named("a"), refusal="INVALID_FIELDS")


def test_a_preview_claims_nothing() -> None:
    world = World(relation(limits=Limits(total_fen=9_500)))
    world.paid("a", 9_000)
    (shown,) = preview_all([again("b", "a", 9_500)], world.book)
    assert world.of("a").replaced_by is None
    assert world.ask(again("b", "a", 9_500)) == shown


def test_the_capture_of_an_unknown_one_that_says_what_it_replaces_restores_that() -> None:
    world = World(relation())
    world.paid("a", 9_000)
    world.tell(replace(captured("b", (R, 6_000)), replaces=named("a")))
    assert world.use() == Use(6_000, 0)


def test_a_first_decision_to_release_stands_and_restores_nothing() -> None:
    world = World(relation())
    world.paid("a", 9_000)
    world.ask(again("b", "a", 6_000))
    world.tell(released("b"), captured("b", (R, 6_000)))
    assert world.use() == Use(9_000, 0)
    assert [it.authorization_id for it in world.book.contradictions] == [named("b")]


def test_days_of_the_windows_are_those_of_each_bill() -> None:
    new_year = datetime(2025, 12, 31, 16, 0, tzinfo=UTC)
    world = World(relation(limits=Limits(year_fen=9_000)))
    world.paid("a", 9_000, at=new_year - timedelta(seconds=1))
    assert granted(world.ask(again("b", "a", 9_000, occurred_at=new_year))) == [(9_000, None)]
    years = {key.start.year: use for key, use in world.book.uses.items() if key.window is LimitWindow.YEAR}
    assert years == {2025: Use(9_000, 0), 2026: Use(0, 9_000)}
    assert world.book.uses[CounterKey(named(R), LimitWindow.TOTAL, datetime(1970, 1, 1, tzinfo=UTC).date())] == Use(
        9_000, 0
    )


uses = st.builds(Use, st.integers(0, 9), st.integers(0, 9))


@given(a=uses, b=uses)
def test_a_pair_together_takes_the_greater_of_both(a: Use, b: Use) -> None:
    key = CounterKey(named(R), LimitWindow.DAY, TODAY)
    both = a + excess({key: b}, {key: a})[key]
    assert (both.used_fen, both.taken_fen) == (max(a.used_fen, b.used_fen), max(a.taken_fen, b.taken_fen))
