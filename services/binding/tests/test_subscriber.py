"""Events of identity and settlement: each has its effect once, in whatever order they come."""

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import asyncpg
import pytest
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from binding.domain.authorizations import AuthorizationState
from binding.domain.limits import Use, counter_keys
from binding.domain.relations import EndCause, RelationState
from binding.memory import MemoryRepository
from binding.metrics import CONTRADICTIONS
from binding.service.authorizations import Authorizations
from binding.service.persons import Facts, Persons
from binding.subscriber import TOPICS, Subscriber, _note, outcomes_of
from binding.testing import CHILD, FATHER, MOTHER, NOON, TODAY, captured, named, relation, request
from gongji.binding.events.v1 import events_pb2
from gongji.identity.events.v1 import events_pb2 as identity_events
from gongji.identity.v1 import institution_pb2, person_pb2
from gongji.settlement.events.v1 import premium_events_pb2, settlement_events_pb2
from kit.clock import FixedClock
from kit.events import Event, UnreadableEventError
from kit.outbox import MemoryOutbox
from kit.testing import MemoryBus, MemoryWork
from kit.timestamps import timestamp

LINE = settlement_events_pb2.PaidLine(relation_id=str(named("father-child")), payer_psn_no=FATHER, amount_fen=700)


class Surroundings:
    """A subscriber on a fake, and a bus that others publish on."""

    def __init__(self, work: MemoryWork[MemoryRepository]) -> None:
        self.work = work
        self.state = work.repository
        self.state.relations[named("father-child")] = relation()
        clock = FixedClock(NOON)
        self.authorizations = Authorizations(work, clock, clock)
        subscriber = Subscriber(work, self.authorizations, Persons(clock))
        self.bus = MemoryBus()
        self.bus.subscribe(TOPICS, subscriber.handle)
        self.others = MemoryOutbox("others")

    async def publish(self, *messages: Message, key: str = "k") -> None:
        await self.others.add([Event(message, key, NOON) for message in messages])
        self.bus.take(self.others)

    async def held(self, name: str, need_fen: int = 1_000) -> None:
        await self.authorizations.authorize([request(name, need_fen)])

    def use(self) -> set[Use]:
        return {self.state.counters.get(key, Use()) for key in counter_keys(named("father-child"), TODAY)}


@pytest.fixture
def around(memory_work: MemoryWork[MemoryRepository]) -> Surroundings:
    return Surroundings(memory_work)


def facts(
    name: str, *lines: settlement_events_pb2.PaidLine, use_mutual_aid: bool = True
) -> settlement_events_pb2.SettlementFacts:
    return settlement_events_pb2.SettlementFacts(
        setl_id=str(named(name)),
        psn_no=CHILD,
        occurred_at=timestamp(NOON),
        lines=lines,
        use_mutual_aid=use_mutual_aid,
    )


def completed(name: str) -> Message:
    return settlement_events_pb2.SettlementCompleted(settlement=facts(name, LINE))


def reversed_(name: str) -> Message:
    return settlement_events_pb2.SettlementReversed(settlement=facts(name, LINE))


def freed(name: str) -> Message:
    return settlement_events_pb2.HoldsReleased(settlement=facts(name))


def verified(psn_no: str, brdy: str = "1985-03-02") -> Message:
    return identity_events.PersonVerified(psn_no=psn_no, brdy=brdy, verified_at=timestamp(NOON), sequence=1)


def enrolled(psn_no: str, sequence: int, **changes: object) -> Message:
    stated = person_pb2.Enrolment(
        insutype=person_pb2.INSURANCE_TYPE_EMPLOYEE,
        insuplc_admdvs="652701",
        psn_insu_stas=person_pb2.INSURANCE_STATUS_NORMAL,
        valid_from="2020-01-01",
    )
    for name, value in changes.items():
        setattr(stated, name, value)
    return identity_events.EnrolmentChanged(
        psn_no=psn_no, enrolment=stated, changed_at=timestamp(NOON), sequence=sequence
    )


def corrected(psn_no: str, brdy: str, sequence: int) -> Message:
    return identity_events.PersonCorrected(psn_no=psn_no, brdy=brdy, corrected_at=timestamp(NOON), sequence=sequence)


def died(psn_no: str) -> Message:
    return identity_events.PersonDied(psn_no=psn_no, died_on="2025-06-09", recorded_at=timestamp(NOON), sequence=9)


async def test_a_completed_settlement_captures_and_a_reversed_one_restores(around: Surroundings) -> None:
    await around.held("a")
    await around.publish(completed("a"))
    await around.bus.deliver()
    assert around.use() == {Use(700, 0)}
    await around.publish(reversed_("a"))
    await around.bus.deliver([1])
    assert around.use() == {Use()}
    assert around.state.authorizations[named("a")].state is AuthorizationState.RESTORED


async def test_a_paid_premium_captures_and_a_refunded_one_restores(around: Surroundings) -> None:
    await around.held("a")
    await around.publish(premium_events_pb2.PremiumPaid(settlement=facts("a", LINE), year=2026))
    await around.bus.deliver()
    assert around.use() == {Use(700, 0)}
    await around.publish(premium_events_pb2.PremiumRefunded(settlement=facts("a", LINE), year=2026))
    await around.bus.deliver([1])
    assert around.use() == {Use()}
    assert around.state.authorizations[named("a")].state is AuthorizationState.RESTORED


async def test_released_holds_are_free_and_trimmed_ones_smaller(around: Surroundings) -> None:
    await around.held("a")
    await around.held("b")
    await around.publish(freed("a"), settlement_events_pb2.HoldsTrimmed(settlement=facts("b", LINE)))
    await around.bus.deliver()
    assert around.use() == {Use(0, 700)}


def line(amount_fen: int) -> settlement_events_pb2.PaidLine:
    return settlement_events_pb2.PaidLine(relation_id=LINE.relation_id, payer_psn_no=FATHER, amount_fen=amount_fen)


def both_of_a_pair() -> list[Message]:
    """B was settled with 500 in the place of A, which had paid 700: each event carries both sides."""
    made = settlement_events_pb2.SettlementCompleted(
        settlement=facts("b", line(500)),
        replaces=str(named("a")),
        replaced_lines=[LINE],
        replaced_occurred_at=timestamp(NOON),
    )
    undone = settlement_events_pb2.SettlementReversed(
        settlement=facts("a", LINE),
        replaced_by=str(named("b")),
        replacing_lines=[line(500)],
        replacing_occurred_at=timestamp(NOON),
    )
    return [made, undone]


@pytest.mark.parametrize("asked", [True, False])
@pytest.mark.parametrize("first", [0, 1])
async def test_each_event_of_a_pair_alone_has_the_effect_of_both(
    around: Surroundings, first: int, *, asked: bool
) -> None:
    if asked:
        await around.held("a")
        await around.authorizations.authorize(
            [replace(request("b", 800, captured("a", ("father-child", 700))), replaces=named("a"))]
        )
    await around.publish(both_of_a_pair()[first])
    await around.bus.deliver()
    assert around.use() == {Use(500, 0)}
    await around.publish(both_of_a_pair()[1 - first], completed("a"))
    await around.bus.deliver_badly(first, times=2)
    assert around.use() == {Use(500, 0)}


async def test_a_released_successor_frees_its_claim(around: Surroundings) -> None:
    await around.held("a", 700)
    claim = replace(request("b", 800, captured("a", ("father-child", 700))), replaces=named("a"))
    await around.authorizations.authorize([claim])
    assert around.use() == {Use(700, 100)}
    await around.publish(settlement_events_pb2.HoldsReleased(settlement=facts("b"), replaces=str(named("a"))))
    await around.bus.deliver()
    assert around.use() == {Use(700, 0)}
    assert around.state.authorizations[named("a")].replaced_by is None


async def test_a_pair_of_which_one_asked_no_payer_concerns_the_other_only(around: Surroundings) -> None:
    await around.held("a", 700)
    made = settlement_events_pb2.SettlementCompleted(
        settlement=facts("b", use_mutual_aid=False),
        replaces=str(named("a")),
        replaced_lines=[LINE],
        replaced_occurred_at=timestamp(NOON),
    )
    await around.publish(completed("a"), made)
    await around.bus.deliver()
    assert around.use() == {Use()}
    assert set(around.state.authorizations) == {named("a")}


@pytest.mark.parametrize("changes", [{"replaces": "x"}, {"replaced_occurred_at": Timestamp()}])
def test_a_pair_that_makes_no_sense_is_unreadable(changes: dict[str, Any]) -> None:
    fields: dict[str, Any] = {"replaces": str(named("a")), "replaced_occurred_at": timestamp(NOON)}
    message = settlement_events_pb2.SettlementCompleted(settlement=facts("b", LINE), **(fields | changes))
    with pytest.raises(UnreadableEventError):
        outcomes_of(message)


@pytest.mark.parametrize("seed", range(20))
async def test_events_in_any_order_and_repeated_end_in_the_same_counters(around: Surroundings, seed: int) -> None:
    for name in ("a", "b", "c", "d"):
        await around.held(name)
    await around.publish(completed("a"), completed("b"), reversed_("b"), freed("c"), completed("e"))
    await around.bus.deliver_badly(seed, times=3)
    await around.bus.deliver()
    assert around.use() == {Use(1_400, 1_000)}


async def test_a_late_authorize_finds_the_fence(around: Surroundings) -> None:
    await around.publish(freed("a"))
    await around.bus.deliver()
    (answer,) = await around.authorizations.authorize([request("a")])
    assert answer.refusal == "ABANDONED"
    assert around.use() == {Use()}


async def test_settlements_that_asked_no_payer_leave_nothing(around: Surroundings) -> None:
    await around.publish(
        settlement_events_pb2.SettlementCompleted(settlement=facts("a", use_mutual_aid=False)),
        settlement_events_pb2.HoldsReleased(settlement=facts("b", use_mutual_aid=False)),
    )
    await around.bus.deliver()
    assert around.state.authorizations == {}


async def test_what_identity_tells_makes_a_person(around: Surroundings) -> None:
    await around.publish(
        verified(FATHER),
        enrolled(FATHER, 2),
        enrolled(FATHER, 3, arrears=True, valid_from="2025-06-10", valid_to="2025-06-30"),
        identity_events.InstitutionChanged(institution=institution_pb2.Institution(), sequence=1),
    )
    await around.bus.deliver([2, 0, 3, 1, 1])
    father = around.state.known_persons[FATHER]
    assert father.brdy == date(1985, 3, 2)
    assert father.in_arrears_on(TODAY)
    assert not father.in_arrears_on(date(2025, 6, 9))
    enrolment = father.enrolments[0]
    assert (enrolment.insutype, enrolment.insuplc_admdvs, enrolment.psn_insu_stas) == ("310", "652701", 1)


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (person_pb2.INSURANCE_STATUS_NOT_INSURED, 0),
        (person_pb2.INSURANCE_STATUS_NORMAL, 1),
        (person_pb2.INSURANCE_STATUS_SUSPENDED, 2),
        (person_pb2.INSURANCE_STATUS_INVALID, 3),
        (person_pb2.INSURANCE_STATUS_ENDED, 4),
    ],
)
async def test_every_status_has_its_national_code(around: Surroundings, status: int, code: int) -> None:
    await around.publish(enrolled(FATHER, 2, psn_insu_stas=status))
    await around.bus.deliver()
    assert around.state.known_persons[FATHER].enrolments[0].psn_insu_stas == code


@pytest.mark.parametrize(
    ("dead", "cause"),
    [(FATHER, "RELATION_END_CAUSE_PAYER_DIED"), (CHILD, "RELATION_END_CAUSE_BENEFICIARY_DIED")],
)
async def test_a_death_ends_the_relations_once_and_tells(around: Surroundings, dead: str, cause: str) -> None:
    others = relation("others", payer_psn_no=MOTHER, beneficiary_psn_no="P0099")
    suspended = relation("s", payer_psn_no=dead, beneficiary_psn_no=MOTHER, state=RelationState.SUSPENDED)
    around.state.relations |= {others.relation_id: others, suspended.relation_id: suspended}
    await around.publish(died(dead))
    await around.publish(died(dead))
    await around.bus.deliver([0, 1, 0])
    ended = around.state.relations[named("father-child")]
    assert (ended.state, ended.ended_at, ended.sequence) == (RelationState.ENDED, NOON, 1)
    assert around.state.relations[suspended.relation_id].end_cause is EndCause.PAYER_DIED
    assert around.state.relations[others.relation_id] == others
    told = [message for message in around.state.outbox.messages if isinstance(message, events_pb2.RelationEnded)]
    assert len(told) == 2
    by_id = {message.relation.relation_id: message for message in told}
    assert events_pb2.RelationEndCause.Name(by_id[str(ended.relation_id)].cause) == cause


async def test_an_event_that_was_taken_in_has_no_effect_again(around: Surroundings) -> None:
    await around.publish(died(FATHER))
    await around.bus.deliver()
    later = relation("later")
    around.state.relations[later.relation_id] = later
    await around.bus.deliver()
    assert around.state.relations[later.relation_id] == later


async def test_an_effect_that_fails_leaves_its_event_untaken(around: Surroundings) -> None:
    await around.held("a")
    await around.publish(completed("a"))
    around.work.fail_next_commit(ConnectionError("gone"))
    with pytest.raises(ConnectionError):
        await around.bus.deliver()
    assert around.use() == {Use(0, 1_000)}
    await around.bus.deliver()
    assert around.use() == {Use(700, 0)}


async def test_what_is_odd_is_counted_once_although_its_batch_was_run_again(around: Surroundings) -> None:
    await around.publish(completed("a"))
    await around.bus.deliver()
    before = CONTRADICTIONS._value.get()
    await around.publish(freed("a"))
    around.work.fail_next_commit(asyncpg.DeadlockDetectedError())
    await around.bus.deliver()
    assert CONTRADICTIONS._value.get() == before + 1


def _broken(**changes: object) -> settlement_events_pb2.SettlementFacts:
    made = facts("a", LINE)
    for name, value in changes.items():
        setattr(made, name, value)
    return made


@pytest.mark.parametrize(
    "broken",
    [
        _broken(setl_id="no uuid"),
        settlement_events_pb2.SettlementFacts(setl_id=str(named("a")), use_mutual_aid=True),
        settlement_events_pb2.SettlementFacts(
            setl_id=str(named("a")),
            occurred_at=timestamp(NOON),
            use_mutual_aid=True,
            lines=[settlement_events_pb2.PaidLine(relation_id="x", amount_fen=1)],
        ),
        settlement_events_pb2.SettlementFacts(
            setl_id=str(named("a")),
            occurred_at=timestamp(NOON),
            use_mutual_aid=True,
            lines=[settlement_events_pb2.PaidLine(relation_id=str(named("r")), amount_fen=-1)],
        ),
    ],
)
def test_an_event_that_makes_no_sense_is_unreadable(broken: settlement_events_pb2.SettlementFacts) -> None:
    with pytest.raises(UnreadableEventError):
        outcomes_of(settlement_events_pb2.SettlementCompleted(settlement=broken))


@pytest.mark.parametrize(
    "message",
    [
        verified(FATHER, "1985-02-30"),
        enrolled(FATHER, 2, valid_from="yesterday"),
        enrolled(FATHER, 2, insutype=person_pb2.INSURANCE_TYPE_UNSPECIFIED),
        enrolled(FATHER, 2, psn_insu_stas=person_pb2.INSURANCE_STATUS_UNSPECIFIED),
        enrolled(FATHER, 0),
    ],
)
async def test_facts_that_make_no_sense_are_unreadable(around: Surroundings, message: Message) -> None:
    await around.publish(message)
    with pytest.raises(UnreadableEventError):
        await around.bus.deliver()
    assert around.state.known_persons == {}


def test_the_windows_of_an_outcome_are_shanghais() -> None:
    made = facts("a", LINE)
    made.occurred_at.CopyFrom(timestamp(datetime(2025, 12, 31, 16, 0, tzinfo=UTC)))
    (outcome,) = outcomes_of(settlement_events_pb2.SettlementCompleted(settlement=made))
    assert outcome.occurred_on == date(2026, 1, 1)


async def test_a_corrected_birth_date_replaces_the_one_that_registration_told(around: Surroundings) -> None:
    await around.publish(corrected("newcomer", "2015-09-02", 3), verified("newcomer", "2015-09-01"))
    await around.bus.deliver()
    assert around.state.known_persons["newcomer"].brdy == date(2015, 9, 2)
    await around.publish(corrected("newcomer", "2015-09-03", 2))
    await around.bus.deliver()
    assert around.state.known_persons["newcomer"].brdy == date(2015, 9, 2)


@pytest.mark.parametrize(("brdy", "sequence"), [("2015-02-30", 3), ("2015-09-01", 0)])
def test_a_correction_that_cannot_be_is_unreadable(brdy: str, sequence: int) -> None:
    with pytest.raises(UnreadableEventError):
        _note(corrected("newcomer", brdy, sequence), Facts())
