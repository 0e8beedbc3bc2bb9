"""The order of payers is the beneficiary's side to set (R5): the adult, or for a minor a parent who pays."""

from dataclasses import replace
from datetime import date, timedelta

import pytest

from binding.domain.eligibility import Policy
from binding.domain.errors import Forbidden
from binding.domain.history import AggregateKind, ChangeKind
from binding.domain.payers import PayersDiffer
from binding.domain.relations import EndCause, Relation, Relationship, RelationState
from binding.memory import MemoryRepository
from binding.service.caller import Caller
from binding.service.payers import Payers
from binding.testing import CHILD, FATHER, GRANDMA, MOTHER, NOON, TODAY, child, family, named, relation
from gongji.binding.events.v1 import events_pb2
from kit.clock import FixedClock
from kit.testing import MemoryWork

DAD = Caller(f"psn:{FATHER}", FATHER, frozenset({"citizen"}))
MUM = Caller(f"psn:{MOTHER}", MOTHER, frozenset({"citizen"}))
KID = Caller(f"psn:{CHILD}", CHILD, frozenset({"citizen"}))
GRAN = Caller(f"psn:{GRANDMA}", GRANDMA, frozenset({"citizen"}))
STRANGER = Caller("psn:P9999", "P9999", frozenset({"citizen"}))
CLERK = Caller("clerk:wang", None, frozenset({"handler"}))
YESTERDAY = TODAY - timedelta(days=1)


class Desk:
    """Father, mother and grandmother pay for the child, in this order."""

    def __init__(self, work: MemoryWork[MemoryRepository]) -> None:
        self.state = work.repository
        self.state.known_persons |= family()
        self.clock = FixedClock(NOON)
        self.payers = Payers(work, self.clock, Policy())
        self.have(relation("f", priority=1), relation("m", payer_psn_no=MOTHER, priority=2))
        # She pays too, and is no parent.
        self.have(
            relation("g", payer_psn_no=GRANDMA, priority=3, relationship=Relationship.PARENT),
        )

    def have(self, *relations: Relation) -> None:
        self.state.relations |= {it.relation_id: it for it in relations}

    def change(self, name: str, **changes: object) -> None:
        self.have(replace(self.state.relations[named(name)], **changes))  # type: ignore[arg-type]

    def grown_up(self) -> None:
        self.state.known_persons[CHILD] = child(brdy=date(2007, 6, 10))

    def order(self) -> list[str]:
        living = [it for it in self.state.relations.values() if it.living_on(TODAY)]
        return [it.payer_psn_no for it in sorted(living, key=lambda it: it.priority)]

    def told(self) -> list[tuple[str, int]]:
        messages = [m for m in self.state.outbox.messages if isinstance(m, events_pb2.RelationChanged)]
        return [(m.relation.payer_psn_no, m.relation.priority) for m in messages]


@pytest.fixture
def desk(memory_work: MemoryWork[MemoryRepository]) -> Desk:
    return Desk(memory_work)


NEW_ORDER = [MOTHER, GRANDMA, FATHER]


@pytest.mark.parametrize("parent", [DAD, MUM])
async def test_for_a_minor_either_parent_who_pays_sets_the_order(desk: Desk, parent: Caller) -> None:
    placed = await desk.payers.order(parent, CHILD, NEW_ORDER)
    assert [(it.payer_psn_no, it.priority) for it in placed] == [(MOTHER, 1), (GRANDMA, 2), (FATHER, 3)]
    assert desk.order() == NEW_ORDER


@pytest.mark.parametrize("other", [KID, GRAN, STRANGER, CLERK])
async def test_for_a_minor_nobody_else_does(desk: Desk, other: Caller) -> None:
    with pytest.raises(Forbidden):
        await desk.payers.order(other, CHILD, NEW_ORDER)
    assert desk.order() == [FATHER, MOTHER, GRANDMA]


@pytest.mark.parametrize(
    "change", [{"valid_to": YESTERDAY}, {"state": RelationState.ENDED, "end_cause": EndCause.UNBOUND, "ended_at": NOON}]
)
async def test_a_parent_whose_own_relation_is_over_does_not_either(desk: Desk, change: dict[str, object]) -> None:
    desk.change("f", **change)
    with pytest.raises(Forbidden):
        await desk.payers.order(DAD, CHILD, [MOTHER, GRANDMA])


async def test_an_adult_sets_it_alone(desk: Desk) -> None:
    desk.grown_up()
    with pytest.raises(Forbidden):
        await desk.payers.order(DAD, CHILD, NEW_ORDER)
    await desk.payers.order(KID, CHILD, NEW_ORDER)
    assert desk.order() == NEW_ORDER


@pytest.mark.parametrize(
    "payers",
    [
        [MOTHER, FATHER],
        [MOTHER, FATHER, GRANDMA, "P9999"],
        [MOTHER, FATHER, "P9999"],
        [MOTHER, MOTHER, FATHER],
        [MOTHER, MOTHER, FATHER, GRANDMA],
        [],
    ],
)
async def test_an_order_names_all_living_payers_once(desk: Desk, payers: list[str]) -> None:
    with pytest.raises(PayersDiffer):
        await desk.payers.order(DAD, CHILD, payers)
    assert desk.told() == []


async def test_what_is_over_has_no_place_and_what_is_suspended_has(desk: Desk) -> None:
    desk.change("g", valid_to=YESTERDAY)
    desk.change("m", state=RelationState.SUSPENDED, suspended_at=NOON, state_reason="checking")
    with pytest.raises(PayersDiffer):
        await desk.payers.order(DAD, CHILD, NEW_ORDER)
    placed = await desk.payers.order(DAD, CHILD, [MOTHER, FATHER])
    assert [it.state for it in placed] == [RelationState.SUSPENDED, RelationState.ACTIVE]


async def test_only_those_whose_place_changed_are_told_and_have_it_in_their_history(desk: Desk) -> None:
    await desk.payers.order(MUM, CHILD, [FATHER, GRANDMA, MOTHER])
    assert desk.told() == [(GRANDMA, 2), (MOTHER, 3)]
    await desk.payers.order(MUM, CHILD, [FATHER, GRANDMA, MOTHER])
    assert len(desk.told()) == 2
    (entry,) = desk.state.histories[AggregateKind.RELATION, named("m")]
    assert (entry.mark.what, entry.mark.who.subject) == (ChangeKind.PRIORITY_CHANGED, MUM.subject)
    assert (entry.before, entry.after) == ({"priority": 2}, {"priority": 3})
    assert (AggregateKind.RELATION, named("f")) not in desk.state.histories


async def test_relations_in_which_the_beneficiary_pays_are_left_alone(desk: Desk) -> None:
    desk.grown_up()
    desk.have(relation("pays", payer_psn_no=CHILD, beneficiary_psn_no=GRANDMA, priority=5))
    await desk.payers.order(KID, CHILD, NEW_ORDER)
    assert desk.state.relations[named("pays")].priority == 5


async def test_the_beneficiarys_side_and_staff_see_the_payers_in_order(desk: Desk) -> None:
    for caller in (DAD, MUM, CLERK):
        assert [it.payer_psn_no for it in await desk.payers.list(caller, CHILD)] == [FATHER, MOTHER, GRANDMA]
    for caller in (KID, GRAN, STRANGER):
        with pytest.raises(Forbidden):
            await desk.payers.list(caller, CHILD)
    desk.grown_up()
    assert len(await desk.payers.list(KID, CHILD)) == 3
    with pytest.raises(Forbidden):
        await desk.payers.list(DAD, CHILD)
