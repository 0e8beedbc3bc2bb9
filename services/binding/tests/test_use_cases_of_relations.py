"""What families and operators do with a relation, on the fake."""

from datetime import UTC, date, datetime, timedelta

import pytest

from binding.domain.errors import Forbidden, NotFound, StateForbids
from binding.domain.limits import Limits, Use, counter_keys
from binding.domain.relations import EndCause, RelationState
from binding.testing import (
    CHILD,
    FATHER,
    MOTHER,
    TODAY,
    relation,
)
from binding.testing_desk import DAD, KID, MUM, OPS, STRANGER, WANG, Desk
from gongji.binding.events.v1 import events_pb2
from kit.ids import uuid7


async def test_limits_are_the_payers_to_change_and_told_when_they_do(desk: Desk) -> None:
    made = await desk.approved()
    with pytest.raises(Forbidden):
        await desk.relations.change_limits(KID, made.relation_id, Limits(day_fen=1))
    for _ in range(2):
        seen = await desk.relations.change_limits(DAD, made.relation_id, Limits(day_fen=500))
        assert seen.relations[0].limits == Limits(day_fen=500)
    assert desk.told()[-1] == ("RelationChanged", 2)
    assert len(desk.told()) == 3


async def test_unbinding_ends_at_once_and_for_good(desk: Desk) -> None:
    made = await desk.approved()
    for caller in (STRANGER, MUM, KID, WANG):
        with pytest.raises(Forbidden):
            await desk.relations.unbind(caller, made.relation_id, "")
    for _ in range(2):
        seen = await desk.relations.unbind(DAD, made.relation_id, "moved")
        assert seen.relations[0].state is RelationState.ENDED
    ended = desk.state.outbox.messages[-1]
    assert isinstance(ended, events_pb2.RelationEnded)
    assert (ended.cause, ended.sequence) == (events_pb2.RELATION_END_CAUSE_UNBOUND, 2)
    assert len(desk.told()) == 3
    with pytest.raises(StateForbids):
        await desk.relations.change_limits(DAD, made.relation_id, Limits(day_fen=1))


async def test_an_adult_beneficiary_unbinds_too(desk: Desk) -> None:
    made = relation(beneficiary_psn_no=MOTHER)
    desk.state.relations[made.relation_id] = made
    seen = await desk.relations.unbind(MUM, made.relation_id, "")
    assert seen.relations[0].end_cause is EndCause.UNBOUND


async def test_suspending_and_resuming_are_told_once_each(desk: Desk) -> None:
    made = await desk.approved()
    for _ in range(2):
        await desk.relations.suspend(OPS, made.relation_id, "checking")
    for _ in range(2):
        await desk.relations.resume(OPS, made.relation_id, "checked")
    assert desk.told()[2:] == [("RelationSuspended", 2), ("RelationActivated", 3)]
    resumed = desk.state.outbox.messages[-1]
    assert isinstance(resumed, events_pb2.RelationActivated)
    assert resumed.application_id == ""


async def test_relations_are_seen_by_parties_and_staff(desk: Desk) -> None:
    made = await desk.approved()
    for caller in (DAD, KID, WANG):
        assert (await desk.relations.get(caller, made.relation_id)).relations == (made,)
    with pytest.raises(Forbidden):
        await desk.relations.get(MUM, made.relation_id)
    with pytest.raises(NotFound):
        await desk.relations.get(DAD, uuid7())
    assert (await desk.relations.list(KID, CHILD, None, 10)).relations == (made,)
    assert (await desk.relations.list(WANG, FATHER, None, 10)).relations == (made,)
    with pytest.raises(Forbidden):
        await desk.relations.list(DAD, CHILD, None, 10)


async def test_the_day_of_the_use_shown_is_shanghais(desk: Desk) -> None:
    made = await desk.approved()
    desk.clock.set(datetime(2025, 12, 31, 16, 30, tzinfo=UTC))
    seen = await desk.relations.get(DAD, made.relation_id)
    assert seen.day == date(2026, 1, 1)
    assert seen.uses == {}


async def test_the_validity_is_the_payers_to_extend(desk: Desk) -> None:
    it = await desk.approved()
    later = it.valid_to + timedelta(days=1)
    for caller in (KID, MUM, STRANGER):
        with pytest.raises(Forbidden):
            await desk.relations.extend(caller, it.relation_id, later)
    seen = await desk.relations.extend(DAD, it.relation_id, later)
    assert seen.relations[0].valid_to == later


async def test_a_suspension_keeps_and_tells_its_reason(desk: Desk) -> None:
    it = await desk.approved()
    await desk.relations.suspend(OPS, it.relation_id, "核查")
    assert desk.state.relations[it.relation_id].state_reason == "核查"
    event = desk.state.outbox.messages[-1]
    assert getattr(event, "reason", None) == "核查"


async def test_a_limit_lowered_to_what_is_nearly_used_is_told_and_not_twice(desk: Desk) -> None:
    it = await desk.approved()
    desk.state.counters |= dict.fromkeys(counter_keys(it.relation_id, TODAY), Use(used_fen=800))
    for _ in range(2):
        await desk.relations.change_limits(DAD, it.relation_id, Limits(day_fen=1_000))
    await desk.relations.change_limits(DAD, it.relation_id, Limits(day_fen=900))
    (told,) = [it for it in desk.state.outbox.messages if isinstance(it, events_pb2.LimitNearlyUsed)]
    assert (told.used_fen, told.limit_fen) == (800, 1_000)
