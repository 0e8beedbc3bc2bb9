"""Histories: every change leaves a row that says who, what before and after, and why."""

import re
from dataclasses import fields, replace
from datetime import date
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

import binding
from binding import codec_history, testing_desk
from binding.domain.applications import Application, ApplicationState, Proof, ProofKind
from binding.domain.decision_reasons import Verdict
from binding.domain.errors import Forbidden, NotFound
from binding.domain.history import (
    SYSTEM,
    AggregateKind,
    ChangeKind,
    Entry,
    Mark,
    Who,
    change_of,
    note_of,
)
from binding.domain.limits import Limits
from binding.domain.relations import EndCause, Relation, Relationship, RelationState
from binding.memory import MemoryRepository
from binding.service.persons import Facts, Persons
from binding.testing import (
    APPROVING,
    CHILD,
    FATHER,
    MOTHER,
    NOON,
    TODAY,
    application,
    asked,
    named,
    relation,
    returning,
    signed,
)
from binding.testing_desk import DAD, KID, MUM, OPS, WANG
from gongji.binding.v1 import history_pb2
from kit.errors import InvalidFields
from kit.ids import uuid7
from kit.testing import MemoryWork

LI = replace(testing_desk.LI, roles=frozenset({"decider", "handler"}))
MARK = Mark(ChangeKind.UPDATED, Who(f"psn:{FATHER}", "citizen"), NOON)
AS_CLERK = replace(MARK, who=Who("clerk:wang", "handler"))


# what a row holds


def test_a_row_holds_just_the_fields_that_changed() -> None:
    before = application(limits=Limits(day_fen=5, year_fen=100))
    after = replace(before, limits=Limits(day_fen=6, total_fen=9), valid_from=TODAY, sequence=7)
    change = change_of(before, after, MARK)
    assert change.before == {"limits.day_fen": 5, "limits.year_fen": 100}
    assert change.after == {"limits.day_fen": 6, "limits.total_fen": 9, "valid_from": "2025-06-10"}
    assert (change.kind, change.aggregate_id) == (AggregateKind.APPLICATION, before.application_id)


def test_the_first_row_holds_all_that_was_stated() -> None:
    made = relation()
    change = change_of(None, made, MARK)
    assert change.before == {}
    assert change.after == {
        "relation_id": str(made.relation_id),
        "application_id": str(made.application_id),
        "payer_psn_no": FATHER,
        "beneficiary_psn_no": CHILD,
        "relationship": "CHILD",
        "priority": 1,
        "limits.year_fen": 100_000,
        "valid_from": "2025-01-05",
        "valid_to": "2026-12-31",
        "approved_at": "2025-01-05T02:00:00+00:00",
        "state": "ACTIVE",
    }


def test_proofs_are_told_by_what_they_are() -> None:
    before = application()
    proof = Proof(named("p"), ProofKind.BIRTH_CERTIFICATE, "image/png", "a" * 64, 5, "b" * 64)
    change = change_of(before, replace(before, proofs=(proof,)), MARK)
    assert change.after == {
        "proofs": [
            {
                "proof_id": str(named("p")),
                "kind": "BIRTH_CERTIFICATE",
                "media_type": "image/png",
                "sha256": "a" * 64,
                "size_bytes": 5,
                "kept_sha256": "b" * 64,
            }
        ]
    }


@pytest.mark.parametrize("aggregate", [application(), relation()], ids=["application", "relation"])
def test_every_field_of_an_aggregate_can_be_told(aggregate: Application | Relation) -> None:
    values: dict[str, Any] = {
        "application_id": named("x"),
        "relation_id": named("x"),
        "relationship": Relationship.SPOUSE,
        "limits": Limits(day_fen=1),
        "proofs": (Proof(named("p"), ProofKind.BIRTH_CERTIFICATE, "image/png", "a" * 64, 5),),
        "state": ApplicationState.APPROVED if isinstance(aggregate, Application) else RelationState.ENDED,
        "end_cause": EndCause.UNBOUND,
        "valid_from": date(2030, 1, 1),
        "valid_to": date(2030, 1, 1),
        "priority": 9,
        "created_at": date(2020, 1, 1),
    }
    for field in fields(aggregate):
        if field.name == "sequence":
            continue
        value = values.get(field.name, NOON if field.name.endswith("_at") else "x")
        change = change_of(aggregate, replace(aggregate, **{field.name: value}), MARK)
        assert {name.partition(".")[0] for name in change.after} == {field.name}


def test_parties_are_told_no_clerks_names_and_nothing_of_the_desk() -> None:
    claimed = change_of(
        application(), replace(application(), state=ApplicationState.CLAIMED, handler="clerk:wang"), AS_CLERK
    )
    shown = Entry(1, claimed.mark, claimed.before, claimed.after).for_parties()
    assert shown.after["state"] == "CLAIMED"
    assert "clerk:wang" not in repr(shown)
    assert shown.mark.who == Who("", "handler")


def test_parties_are_told_each_other_and_the_system() -> None:
    for who in (Who(f"psn:{FATHER}", "citizen"), SYSTEM):
        assert Entry(1, replace(MARK, who=who), {}, {}).for_parties().mark.who == who


@pytest.mark.parametrize("kind", [ChangeKind.RELEASED, ChangeKind.HANDED_OVER])
def test_why_a_clerk_gave_it_away_is_among_clerks(kind: ChangeKind) -> None:
    entry = Entry(1, replace(AS_CLERK, what=kind, why="on leave"), {}, {})
    assert entry.for_parties().mark.why == ""
    assert Entry(1, replace(AS_CLERK, why="blurred"), {}, {}).for_parties().mark.why == "blurred"


def test_a_note_says_what_happened_and_changes_nothing() -> None:
    note = note_of(relation(), MARK, proof_id="p")
    assert (note.kind, note.before, note.after) == (AggregateKind.RELATION, {}, {"proof_id": "p"})


# on the wire


def test_every_kind_of_change_has_its_name_in_the_contract() -> None:
    named_there = set(history_pb2.ChangeKind.keys()) - {"CHANGE_KIND_UNSPECIFIED"}
    assert named_there == {f"CHANGE_KIND_{kind}" for kind in ChangeKind}


def test_a_row_is_told_field_by_field() -> None:
    entry = Entry(3, replace(MARK, why="因为"), {"priority": 1}, {"priority": 2, "proofs": [{"kind": "X"}]})
    page = codec_history.page_of([entry, entry], 1)
    (told,) = page.entries
    assert [(change.name, change.before, change.after) for change in told.changes] == [
        ("priority", "1", "2"),
        ("proofs", "", '[{"kind": "X"}]'),
    ]
    assert (told.position, told.what, told.who, told.role, told.why) == (
        3,
        history_pb2.CHANGE_KIND_UPDATED,
        f"psn:{FATHER}",
        "citizen",
        "因为",
    )
    assert codec_history.position_of(page.next_page_token) == 3
    assert codec_history.page_of([entry], 1).next_page_token == ""


@pytest.mark.parametrize("token", ["0", "MA==", "LTE=", "OTk5OTk5OTk5OTk5", "5byg", "MS4w", "====", "张"])
def test_a_token_that_is_none_of_ours_is_refused(token: str) -> None:
    with pytest.raises(InvalidFields):
        codec_history.position_of(token)


# at every place that changes something


class Desk(testing_desk.Desk):
    """The use cases on the fake, with what they leave behind."""

    def __init__(self, work: MemoryWork[MemoryRepository]) -> None:
        super().__init__(work)
        self.work = work

    async def decided(self, verdict: Verdict) -> Application:
        application_id = await self.submitted()
        await self.reviews.claim(WANG, application_id)
        return await self.decisions.decide(LI, application_id, verdict)

    async def related(self) -> UUID:
        done = await self.decided(APPROVING)
        assert done.relation_id
        return done.relation_id

    async def rows(self, kind: AggregateKind, aggregate_id: UUID) -> list[Entry]:
        async with self.work() as repository:
            return await repository.history(kind, aggregate_id, 0, 100)


@pytest.fixture
def desk(memory_work: MemoryWork[MemoryRepository]) -> Desk:
    return Desk(memory_work)


async def test_each_step_of_an_application_leaves_a_row(desk: Desk) -> None:
    done = await desk.decided(returning("看不清"))
    rows = await desk.rows(AggregateKind.APPLICATION, done.application_id)
    assert [(row.mark.what, row.mark.who.subject, row.mark.who.role, row.mark.why) for row in rows] == [
        (ChangeKind.CREATED, DAD.subject, "citizen", ""),
        (ChangeKind.PROOF_ADDED, DAD.subject, "citizen", ""),
        (ChangeKind.SUBMITTED, DAD.subject, "citizen", ""),
        (ChangeKind.CLAIMED, "clerk:wang", "handler", ""),
        (ChangeKind.RETURNED, "clerk:li", "decider,handler", "证明材料不清晰，无法辨认（看不清）"),
    ]
    assert rows[-1].before["state"] == "CLAIMED"
    assert rows[-1].after["state"] == "RETURNED"


async def test_what_changes_nothing_leaves_no_row(desk: Desk) -> None:
    done = await desk.decided(APPROVING)
    await desk.applications.submit(DAD, done.application_id)
    await desk.decisions.decide(LI, done.application_id, APPROVING)
    assert done.relation_id
    await desk.relations.change_limits(DAD, done.relation_id, application().limits)
    await desk.relations.resume(OPS, done.relation_id, "checked")
    assert len(await desk.rows(AggregateKind.APPLICATION, done.application_id)) == 5
    assert len(await desk.rows(AggregateKind.RELATION, done.relation_id)) == 1


async def test_consent_leaves_a_row_once(desk: Desk) -> None:
    for_wife = asked(relationship=Relationship.SPOUSE)
    application_id = (await desk.applications.create(DAD, FATHER, MOTHER, for_wife)).application_id
    for _ in range(2):
        await desk.applications.consent(MUM, application_id, signed(application_id))
    rows = await desk.rows(AggregateKind.APPLICATION, application_id)
    assert [(row.mark.what, row.mark.who.subject) for row in rows[1:]] == [(ChangeKind.CONSENTED, MUM.subject)]


async def test_each_step_of_a_relation_leaves_a_row(desk: Desk) -> None:
    relation_id = await desk.related()
    await desk.relations.change_limits(DAD, relation_id, Limits(day_fen=7))
    await desk.relations.suspend(OPS, relation_id, "checking")
    await desk.relations.resume(OPS, relation_id, "checked")
    await desk.relations.unbind(DAD, relation_id, "分居")
    rows = await desk.rows(AggregateKind.RELATION, relation_id)
    assert [(row.mark.what, row.mark.who.subject, row.mark.why) for row in rows] == [
        (ChangeKind.ACTIVATED, "clerk:li", ""),
        (ChangeKind.LIMITS_CHANGED, DAD.subject, ""),
        (ChangeKind.SUSPENDED, "clerk:ops", "checking"),
        (ChangeKind.RESUMED, "clerk:ops", "checked"),
        (ChangeKind.ENDED, DAD.subject, "分居"),
    ]
    assert (rows[1].before, rows[1].after) == ({"limits.year_fen": 100_000}, {"limits.day_fen": 7})


async def test_what_an_event_ends_is_the_systems_doing(desk: Desk) -> None:
    relation_id = await desk.related()
    async with desk.work() as repository:
        await Persons(desk.clock).take_in(repository, Facts(deaths=[(FATHER, TODAY)]))
    last = (await desk.rows(AggregateKind.RELATION, relation_id))[-1]
    assert (last.mark.what, last.mark.who, last.mark.why) == (ChangeKind.ENDED, SYSTEM, "PersonDied")
    assert last.after["end_cause"] == "PAYER_DIED"


async def test_a_history_is_for_its_parties_and_staff(desk: Desk) -> None:
    done = await desk.decided(APPROVING)
    assert done.relation_id
    for listing, identifier in (
        (desk.applications.history, done.application_id),
        (desk.relations.history, done.relation_id),
    ):
        for_staff = await listing(WANG, identifier, 0, 100)
        assert "clerk:li" in repr(for_staff)
        for party in (DAD, KID):
            shown = await listing(party, identifier, 0, 100)
            assert len(shown) == len(for_staff)
            assert "clerk:" not in repr(shown)
        with pytest.raises(Forbidden):
            await listing(MUM, identifier, 0, 100)
        with pytest.raises(NotFound):
            await listing(DAD, uuid7(), 0, 100)


def test_nothing_is_stored_past_the_history() -> None:
    """A use case that saves an application or a relation does it with the row of its history: one module does."""
    saving = re.compile(r"\.(save_application|save_relation|add_relation)\(")
    source = Path(binding.__file__).parent
    found = {path.name for path in source.glob("service/*.py") if saving.search(path.read_text())}
    assert found == {"history.py"}
