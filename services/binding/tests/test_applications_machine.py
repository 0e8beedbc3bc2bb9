"""Applications under any sequence of steps by anybody, against a model that knows nothing of the code."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from binding.domain.applications import ApplicationState, ProofKind
from binding.domain.decision_reasons import Verdict
from binding.domain.errors import Refused
from binding.domain.history import AggregateKind
from binding.domain.limits import Limits
from binding.domain.relations import Relationship
from binding.memory import MemoryRepository
from binding.service.caller import Caller
from binding.testing import (
    APPROVING,
    CHILD,
    FATHER,
    MOTHER,
    NOON,
    asked,
    pdf_file,
    rejecting,
    returning,
    signed,
)
from binding.testing_desk import Desk
from kit.testing import MemoryWork

LIFE = timedelta(days=30)
MOST_PROOFS = 6
SHOWING = {"SPOUSE": {"MARRIAGE", "HOUSE"}, "CHILD": {"BIRTH", "HOUSE"}, "PARENT": {"BIRTH", "HOUSE"}}
KINDS = {
    "MARRIAGE": ProofKind.MARRIAGE_CERTIFICATE,
    "HOUSE": ProofKind.HOUSEHOLD_REGISTER,
    "BIRTH": ProofKind.BIRTH_CERTIFICATE,
}
VERDICTS: dict[str, Verdict] = {"APPROVED": APPROVING, "REJECTED": rejecting("no"), "RETURNED": returning("blurred")}


@dataclass
class Modelled:
    """One application, as the rules on paper have it."""

    beneficiary: str
    relationship: str
    since: datetime
    limit_fen: int
    state: str = "DRAFT"
    proofs: set[tuple[str, int]] = field(default_factory=set)
    consented: bool = False
    handler: str = ""
    handlers: set[str] = field(default_factory=set)
    changes: int = 1
    events: int = 0

    def is_open(self) -> bool:
        return self.state in {"DRAFT", "RETURNED"}

    def lapsed(self, now: datetime) -> bool:
        return self.is_open() and now - self.since >= LIFE

    def becomes(self, state: str, *, told: bool) -> None:
        self.state, self.changes, self.events = state, self.changes + 1, self.events + told


class World:
    """All applications on paper, and who may be bound to whom."""

    def __init__(self) -> None:
        self.applications: dict[UUID, Modelled] = {}

    def unfit(self, it: Modelled) -> str | None:
        if it.relationship == "PARENT":
            return "RELATIONSHIP_NOT_ALLOWED" if it.beneficiary == CHILD else "AGE_IMPOSSIBLE"
        of_pair = [other for other in self.applications.values() if other.beneficiary == it.beneficiary]
        if any(other is not it and other.state in {"SUBMITTED", "CLAIMED", "APPROVED"} for other in of_pair):
            return "RELATION_EXISTS"
        if not {kind for kind, _ in it.proofs} & SHOWING[it.relationship]:
            return "PROOF_MISSING"
        return "CONSENT_MISSING" if it.beneficiary == MOTHER and not it.consented else None

    def payers_step(self, it: Modelled, actor: str, now: datetime, *, only_open: bool) -> str | None:
        if actor != FATHER:
            return "FORBIDDEN"
        return "STATE_FORBIDS" if it.lapsed(now) or (only_open and not it.is_open()) else None


class Machine(RuleBasedStateMachine):
    """Every step is tried in every state by everybody; what happens is what the model says."""

    places = st.integers(0, 3)
    actors = st.sampled_from([*[FATHER] * 9, MOTHER, CHILD, "P9999"])
    handlers = st.sampled_from(["clerk:wang", "clerk:zhao"])
    deciders = st.sampled_from(["clerk:li", "clerk:li", "clerk:li", "clerk:wang", "clerk:zhao"])
    beneficiaries = st.sampled_from([CHILD, MOTHER])

    @initialize()
    def begin(self) -> None:
        self.work = MemoryWork(MemoryRepository())
        desk = Desk(self.work)
        self.state, self.clock, self.desk = desk.state, desk.clock, desk.applications
        self.proofs, self.reviews, self.decisions = desk.proofs, desk.reviews, desk.decisions
        self.state.real_time = lambda: NOON  # no claim runs out here
        self.loop = asyncio.new_event_loop()
        self.world, self.ids = World(), list[UUID]()
        for beneficiary in (CHILD, MOTHER):
            self.creates(beneficiary)

    def at(self, place: int) -> UUID:
        """The application at that place, counted from the newest; the first ones of a run are met most."""
        return self.ids[-1 - place % len(self.ids)]

    def teardown(self) -> None:
        if hasattr(self, "loop"):
            self.loop.close()

    def done(self, step: Coroutine[Any, Any, Any], expected: str | None) -> Any:
        """Run a step; it is refused for just the reason that the model names."""
        answer, reason = None, None
        try:
            answer = self.loop.run_until_complete(step)
        except Refused as refused:
            reason = refused.reason
        assert reason == expected
        return answer

    @rule(beneficiary=beneficiaries)
    def creates(self, beneficiary: str) -> None:
        relationship = "CHILD" if beneficiary == CHILD else "SPOUSE"
        made = self.done(self.desk.create(citizen(FATHER), FATHER, beneficiary, wanted(relationship, 1)), None)
        self.world.applications[made.application_id] = Modelled(beneficiary, relationship, self.clock.now(), 1)
        self.ids.append(made.application_id)

    @rule(beneficiary=beneficiaries, actor=st.sampled_from([MOTHER, CHILD, "P9999"]))
    def others_create_nothing(self, beneficiary: str, actor: str) -> None:
        self.done(self.desk.create(citizen(actor), FATHER, beneficiary, wanted("CHILD", 1)), "FORBIDDEN")

    @rule(place=places, actor=actors, in_law=st.booleans(), limit_fen=st.integers(1, 3))
    def updates(self, place: int, actor: str, in_law: bool, limit_fen: int) -> None:  # noqa: FBT001
        it = self.at(place)
        model = self.world.applications[it]
        relationship = "PARENT" if in_law else {CHILD: "CHILD", MOTHER: "SPOUSE"}[model.beneficiary]
        expected = self.world.payers_step(model, actor, self.clock.now(), only_open=True)
        self.done(self.desk.update(citizen(actor), it, wanted(relationship, limit_fen)), expected)
        if expected is None and (relationship, limit_fen) != (model.relationship, model.limit_fen):
            model.consented = model.consented and relationship == model.relationship
            model.relationship, model.limit_fen = relationship, limit_fen
            model.changes += 1

    @rule(place=places, actor=actors, kind=st.sampled_from(sorted(KINDS)), number=st.integers(0, 7))
    def uploads(self, place: int, actor: str, kind: str, number: int) -> None:
        it = self.at(place)
        model = self.world.applications[it]
        expected = self.world.payers_step(model, actor, self.clock.now(), only_open=True)
        if expected is None and len(model.proofs) >= MOST_PROOFS and (kind, number) not in model.proofs:
            expected = "PROOF_UNACCEPTABLE"
        self.done(self.proofs.add(citizen(actor), it, KINDS[kind], pdf_file(number)), expected)
        if expected is None and (kind, number) not in model.proofs:
            model.proofs.add((kind, number))
            model.changes += 1

    @rule(place=places, actor=actors, which=st.integers(0, 6))
    def removes(self, place: int, actor: str, which: int) -> None:
        it = self.at(place)
        model = self.world.applications[it]
        stored = self.state.applications[it].proofs
        expected = self.world.payers_step(model, actor, self.clock.now(), only_open=True)
        proof_id = stored[which].proof_id if which < len(stored) else it
        self.done(self.proofs.remove(citizen(actor), it, proof_id), expected)
        if expected is None and which < len(stored):
            model.proofs.remove(uploaded(stored[which]))
            model.changes += 1

    @rule(place=places, actor=st.sampled_from([FATHER, MOTHER, MOTHER, CHILD, "P9999"]), honest=st.integers(0, 3))
    def consents(self, place: int, actor: str, honest: int) -> None:
        it = self.at(place)
        model = self.world.applications[it]
        agreed = signed(it) if honest else signed(it, "0" * 64)
        expected = self._consenting(model, actor, honest=bool(honest))
        self.done(self.desk.consent(citizen(actor), it, agreed), expected)
        if expected is None and not model.consented:
            model.consented, model.changes, model.events = True, model.changes + 1, model.events + 1

    def _consenting(self, model: Modelled, actor: str, *, honest: bool) -> str | None:
        if actor != model.beneficiary:
            return "FORBIDDEN"
        if model.lapsed(self.clock.now()):
            return "STATE_FORBIDS"
        if actor == CHILD:
            return "FORBIDDEN"
        if not honest:
            return "CONSENT_UNSIGNED"
        return None if model.consented or model.is_open() else "STATE_FORBIDS"

    @rule(place=places, actor=actors)
    def submits(self, place: int, actor: str) -> None:
        it = self.at(place)
        model = self.world.applications[it]
        expected = self.world.payers_step(model, actor, self.clock.now(), only_open=False)
        expected = expected or ("STATE_FORBIDS" if model.state in {"WITHDRAWN", "EXPIRED"} else None)
        if expected is None and model.is_open():
            expected = self.world.unfit(model)
        self.done(self.desk.submit(citizen(actor), it), expected)
        if expected is None and model.is_open():
            model.handler = ""
            model.becomes("SUBMITTED", told=True)

    @rule(place=places, actor=actors)
    def withdraws(self, place: int, actor: str) -> None:
        it = self.at(place)
        model = self.world.applications[it]
        expected = self.world.payers_step(model, actor, self.clock.now(), only_open=False)
        expected = expected or ("STATE_FORBIDS" if model.state in {"APPROVED", "REJECTED", "EXPIRED"} else None)
        self.done(self.desk.withdraw(citizen(actor), it, ""), expected)
        if expected is None and model.state != "WITHDRAWN":
            model.becomes("WITHDRAWN", told=True)

    @rule(place=places, clerk=handlers)
    def claims(self, place: int, clerk: str) -> None:
        it = self.at(place)
        model = self.world.applications[it]
        expected = None if model.state in {"SUBMITTED", "CLAIMED"} else "STATE_FORBIDS"
        if model.state == "CLAIMED" and model.handler != clerk:
            expected = "CLAIMED_BY_ANOTHER"
        self.done(self.reviews.claim(Caller(clerk, None, frozenset({"handler"})), it), expected)
        if expected is None and model.state == "SUBMITTED":
            model.handler = clerk
            model.handlers.add(clerk)
            model.becomes("CLAIMED", told=False)

    @rule(place=places, clerk=deciders, decision=st.sampled_from(sorted(VERDICTS)))
    def decides(self, place: int, clerk: str, decision: str) -> None:
        it = self.at(place)
        model = self.world.applications[it]
        expected = self._deciding(model, clerk, decision)
        self.done(self.decisions.decide(Caller(clerk, None, frozenset({"decider"})), it, VERDICTS[decision]), expected)
        if expected is None and model.state == "CLAIMED":
            model.since = self.clock.now()
            model.becomes(decision, told=decision != "APPROVED")

    def _deciding(self, model: Modelled, clerk: str, decision: str) -> str | None:
        if clerk in model.handlers:
            return "FOUR_EYES"
        if model.state == decision:
            return None
        if model.state != "CLAIMED":
            return "STATE_FORBIDS"
        return self.world.unfit(model) if decision == "APPROVED" else None

    @rule(
        place=places,
        far=st.sampled_from(["submitted", "claimed", "decided"]),
        decision=st.sampled_from(sorted(VERDICTS)),
    )
    def goes_well_for_a_while(self, place: int, far: str, decision: str) -> None:
        """What a family in earnest does, so that the states behind handing in are not left to chance."""
        model = self.world.applications[self.at(place)]
        self.updates(place, FATHER, in_law=False, limit_fen=model.limit_fen)
        self.uploads(place, FATHER, "HOUSE", 0)
        self.consents(place, model.beneficiary, 1)
        self.submits(place, FATHER)
        if far != "submitted":
            self.claims(place, "clerk:wang")
        if far == "decided":
            self.decides(place, "clerk:li", decision)

    @rule(days=st.sampled_from([0, 1, 2, 20]))
    def time_passes(self, days: int) -> None:
        self.clock.advance(timedelta(days=days))

    @rule(limit=st.integers(1, 3))
    def the_scheduler_ends_what_lapsed(self, limit: int) -> None:
        now = self.clock.now()
        lapsed = [it for it in self.world.applications.values() if it.lapsed(now)]
        ended = 0
        while count := self.done(self.desk.expire_drafts(now, limit), None):
            assert count <= limit
            ended += count
        assert ended == len(lapsed)
        for it in lapsed:
            it.becomes("EXPIRED", told=True)

    @invariant()
    def all_is_as_on_paper(self) -> None:
        if not hasattr(self, "world"):
            return
        for application_id, model in self.world.applications.items():
            stored = self.state.applications[application_id]
            assert stored.state is ApplicationState[model.state]
            assert (stored.consented_at is not None) == model.consented
            assert {uploaded(proof) for proof in stored.proofs} == model.proofs
            assert (stored.relationship.value, stored.limits) == (model.relationship, Limits(day_fen=model.limit_fen))
            assert (stored.relation_id is not None) == (model.state == "APPROVED")
            history = self.state.histories[AggregateKind.APPLICATION, application_id]
            assert [entry.position for entry in history] == list(range(1, model.changes + 1))
            told = [row.sequence for row in self.state.outbox.rows if row.key == str(application_id)]
            assert told == list(range(1, model.events + 1))


def citizen(psn_no: str) -> Caller:
    return Caller(f"psn:{psn_no}", psn_no, frozenset({"citizen"}))


def wanted(relationship: str, limit_fen: int) -> Any:
    return asked(relationship=Relationship[relationship], limits=Limits(day_fen=limit_fen), valid_to=date(2099, 12, 31))


NAMES = {kind: name for name, kind in KINDS.items()}


def uploaded(proof: Any) -> tuple[str, int]:
    """Which of the files it is, told by its kind and its size."""
    return NAMES[proof.kind], proof.size_bytes - len(pdf_file())


TestApplications = Machine.TestCase
TestApplications.settings = settings(
    max_examples=50, stateful_step_count=60, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
