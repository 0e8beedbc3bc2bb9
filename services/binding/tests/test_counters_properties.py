"""Limits and counters against an independent model: sums over what happened, sharing no code with binding."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from random import Random
from uuid import UUID
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from binding.domain.authorizations import Authorization, Outcome, OutcomeState
from binding.domain.batch import Answer, Book, Request, apply_all, authorize_all, preview_all
from binding.domain.limits import CounterKey, Limits, Use
from binding.domain.relations import Relation
from binding.testing import CHILD, FATHER, GRANDMA, MOTHER, family, named, outcome, relation, request

ANCHORS = [  # just before a border in Shanghai: of a day, a month, a year, and around a leap day
    datetime(2025, 6, 10, 15, 59, tzinfo=UTC),
    datetime(2025, 6, 30, 15, 59, tzinfo=UTC),
    datetime(2025, 12, 31, 15, 59, tzinfo=UTC),
    datetime(2028, 2, 28, 15, 59, tzinfo=UTC),
    datetime(2028, 2, 29, 15, 59, tzinfo=UTC),
]
MOMENTS = [anchor + timedelta(minutes=minutes) for anchor in ANCHORS for minutes in (-600, 0, 1, 601)]
FOREVER = relation(
    limits=Limits(total_fen=10**10),
    valid_from=datetime(2020, 1, 1, tzinfo=UTC).date(),
    valid_to=datetime(2099, 1, 1, tzinfo=UTC).date(),
)


@dataclass
class World:
    """What a database would keep between transactions."""

    relations: list[Relation]
    uses: dict[CounterKey, Use] = field(default_factory=dict)
    authorizations: dict[UUID, Authorization] = field(default_factory=dict)

    def book(self) -> Book:
        by_id = {it.relation_id: it for it in self.relations}
        return Book(by_id, family(), dict(self.uses), dict(self.authorizations))

    def keep(self, book: Book) -> None:
        for changes in (book.freed, book.held):
            for key, change in changes.items():
                self.uses[key] = self.uses.get(key, Use()) + change
        self.authorizations |= book.changed

    def authorize(self, *requests: Request) -> list[Answer]:
        book = self.book()
        answers = authorize_all(requests, book)
        self.keep(book)
        return answers

    def apply(self, *outcomes: Outcome) -> None:
        book = self.book()
        apply_all(outcomes, book)
        self.keep(book)

    def totals(self) -> dict[tuple[str, str], tuple[int, int]]:
        """(window, label) → (used, held), without what is zero."""
        return {
            (key.window.value, _label(key.window.value, key.start.isoformat())): (use.used_fen, use.held_fen)
            for key, use in self.uses.items()
            if use != Use()
        }


def _label(window: str, day: str) -> str:
    return {"DAY": day, "MONTH": day[:7], "YEAR": day[:4], "TOTAL": ""}[window]


def labels(at: datetime) -> list[tuple[str, str]]:
    day = at.astimezone(ZoneInfo("Asia/Shanghai")).strftime("%Y-%m-%d")
    return [(window, _label(window, day)) for window in ("DAY", "MONTH", "YEAR", "TOTAL")]


# What settlement can decide about one authorization; each may be delivered in any order, any number of times.
STORIES: list[list[str]] = [
    [],
    ["CAPTURED"],
    ["CAPTURED", "RESTORED"],
    ["RELEASED"],
    ["TRIMMED"],
    ["TRIMMED", "CAPTURED"],
    ["TRIMMED", "CAPTURED", "RESTORED"],
    ["TRIMMED", "RELEASED"],
]


@dataclass(frozen=True)
class Story:
    name: str
    need_fen: int
    paid_fen: int
    at: datetime
    asked: bool
    decisions: tuple[str, ...]

    def messages(self) -> list[Request | Outcome]:
        lines = [("father-child", self.paid_fen)]
        told: list[Request | Outcome] = [
            outcome(self.name, OutcomeState(decision), *lines, occurred_at=self.at) for decision in self.decisions
        ]
        return [*told, request(self.name, self.need_fen, occurred_at=self.at)] if self.asked else told

    def model(self) -> tuple[int, int]:
        """(used, held) when everything has arrived."""
        if {"RESTORED", "RELEASED"} & set(self.decisions):
            return (0, 0)
        if "CAPTURED" in self.decisions:
            return (self.paid_fen, 0)
        if "TRIMMED" in self.decisions:
            return (0, self.paid_fen)
        return (0, self.need_fen if self.asked else 0)


@st.composite
def stories(draw: st.DrawFn) -> list[Story]:
    made = []
    for number in range(draw(st.integers(1, 4))):
        need_fen = draw(st.integers(1, 5_000))
        paid_fen = draw(st.integers(0, need_fen))
        decisions = tuple(draw(st.sampled_from(STORIES)))
        made.append(
            Story(f"s{number}", need_fen, paid_fen, draw(st.sampled_from(MOMENTS)), draw(st.booleans()), decisions)
        )
    return made


def deliver(world: World, message: Request | Outcome) -> None:
    if isinstance(message, Request):
        world.authorize(message)
    else:
        world.apply(message)


def expected_totals(told: Sequence[Story]) -> dict[tuple[str, str], tuple[int, int]]:
    totals: dict[tuple[str, str], tuple[int, int]] = {}
    for story in told:
        used_fen, held_fen = story.model()
        for label in labels(story.at):
            before = totals.get(label, (0, 0))
            totals[label] = (before[0] + used_fen, before[1] + held_fen)
    return {label: total for label, total in totals.items() if total != (0, 0)}


@settings(deadline=None, max_examples=100)
@given(stories(), st.integers(1, 3), st.randoms(use_true_random=False))
def test_any_order_and_repetition_of_what_is_told_ends_in_the_same_counters(
    told: list[Story], times: int, chance: Random
) -> None:
    messages = [message for story in told for message in story.messages()] * times
    chance.shuffle(messages)
    world = World([FOREVER])
    for message in messages:
        deliver(world, message)
        assert all(use.used_fen >= 0 and use.held_fen >= 0 for use in world.uses.values())
    assert world.totals() == expected_totals(told)


@settings(deadline=None, max_examples=100)
@given(stories(), st.randoms(use_true_random=False))
def test_outcomes_inline_and_as_events_end_in_the_same_counters(told: list[Story], chance: Random) -> None:
    messages = [message for story in told for message in story.messages()] * 2
    chance.shuffle(messages)
    world = World([FOREVER])
    for number, message in enumerate(messages):
        if isinstance(message, Outcome) and chance.random() < 0.5:
            world.authorize(replace(request(f"ask {number}", 1), beneficiary_psn_no=GRANDMA, outcomes=(message,)))
        else:
            deliver(world, message)
    assert world.totals() == expected_totals(told)


@settings(deadline=None, max_examples=100)
@given(st.randoms(use_true_random=False), st.integers(0, 500))
def test_even_decisions_that_contradict_each_other_end_in_the_same_counters_once_restored(
    chance: Random, paid_fen: int
) -> None:
    lines = ("father-child", paid_fen)
    messages: list[Request | Outcome] = [request("a", 500)]
    messages += [
        outcome("a", state, lines) for state in (OutcomeState.CAPTURED, OutcomeState.RELEASED, OutcomeState.RESTORED)
    ]
    chance.shuffle(messages)
    world = World([FOREVER])
    for message in messages:
        deliver(world, message)
    assert world.totals() == {}


@dataclass
class Charge:
    """The model's memory of one authorization."""

    at: datetime
    amount_fen: int


limit = st.none() | st.integers(1, 3_000)
all_limits = st.builds(Limits, limit, limit, limit, limit, limit)
steps = st.lists(
    st.tuples(
        st.sampled_from(["ask", "ask", "ask", "capture", "release", "restore", "limits"]),
        st.integers(1, 2_000),
        st.sampled_from(MOMENTS),
        all_limits,
        st.floats(0, 1),
    ),
    max_size=25,
)


def model_grant(limits: Limits, charged: Sequence[Charge], need_fen: int, at: datetime) -> int:
    """What the rule book says, counted anew from everything that is used or held."""
    room = [need_fen] + ([limits.settlement_fen] if limits.settlement_fen is not None else [])
    stated = (limits.day_fen, limits.month_fen, limits.year_fen, limits.total_fen)
    for label, limit_fen in zip(labels(at), stated, strict=True):
        if limit_fen is not None:
            room.append(limit_fen - sum(charge.amount_fen for charge in charged if label in labels(charge.at)))
    return max(0, min(room))


@settings(deadline=None, max_examples=100)
@given(all_limits, steps)
def test_no_grant_ever_exceeds_a_limit_and_every_grant_is_the_models(
    limits: Limits, taken: list[tuple[str, int, datetime, Limits, float]]
) -> None:
    world = World([replace(FOREVER, limits=limits)])
    charged: dict[str, Charge] = {}
    for number, (step, amount_fen, at, new_limits, share) in enumerate(taken):
        name = f"a{number}"
        chosen = sorted(charged)[int(share * (len(charged) - 1))] if charged else None
        if step == "limits":
            world.relations = [replace(FOREVER, limits=new_limits)]
        elif step == "ask":
            expected_fen = model_grant(world.relations[0].limits, list(charged.values()), amount_fen, at)
            (answer,) = world.authorize(request(name, amount_fen, occurred_at=at))
            assert answer.grants[0].granted_fen == expected_fen
            assert (answer.grants[0].reason == "LIMIT_REACHED") == (expected_fen < amount_fen)
            charged[name] = Charge(at, expected_fen)
        elif chosen is not None:
            _decide(world, charged, chosen, step, share)
    totals = {label: used_fen + held_fen for label, (used_fen, held_fen) in world.totals().items()}
    for label, taken_fen in totals.items():
        assert taken_fen == sum(charge.amount_fen for charge in charged.values() if label in labels(charge.at))


def _decide(world: World, charged: dict[str, Charge], name: str, step: str, share: float) -> None:
    charge = charged[name]
    state = world.authorizations[named(name)].state.value
    if step == "capture" and state == "HELD":
        charge.amount_fen = int(charge.amount_fen * share)
        world.apply(outcome(name, OutcomeState.CAPTURED, ("father-child", charge.amount_fen), occurred_at=charge.at))
    elif step == "release" and state == "HELD":
        world.apply(outcome(name, OutcomeState.RELEASED, occurred_at=charge.at))
        charge.amount_fen = 0
    elif step == "restore" and state == "CAPTURED":
        lines = ("father-child", charge.amount_fen)
        world.apply(outcome(name, OutcomeState.RESTORED, lines, occurred_at=charge.at))
        charge.amount_fen = 0


PATIENTS = [CHILD, MOTHER, GRANDMA]


def everybody(limits: Limits) -> list[Relation]:
    return [
        replace(
            FOREVER,
            relation_id=named(f"{payer} {patient}"),
            payer_psn_no=payer,
            beneficiary_psn_no=patient,
            limits=limits,
        )
        for payer in (FATHER, "P77")
        for patient in PATIENTS
    ]


@st.composite
def batches(draw: st.DrawFn, *, mixed_up: bool) -> list[list[Request]]:
    """Batches of one request per patient; mixed up, they bring outcomes of each other's authorizations too."""
    made: list[list[Request]] = []
    ids = st.sampled_from([f"a{number}" for number in range(6)])
    for _ in range(draw(st.integers(1, 3))):
        patients = draw(st.permutations(PATIENTS))[: draw(st.integers(1, 3))]
        names = [f"{patient}{draw(ids)}" for patient in patients]
        names = draw(st.permutations(names)) if mixed_up else names
        made.append([_request_for(draw, patient, name) for patient, name in zip(patients, names, strict=True)])
    return made


def _request_for(draw: st.DrawFn, patient: str, name: str) -> Request:
    told = []
    for state in draw(st.lists(st.sampled_from(list(OutcomeState)), max_size=3)):
        lines = [(f"{FATHER} {patient}", draw(st.integers(0, 900)))]
        told.append(outcome(f"{patient}a{draw(st.integers(0, 5))}", state, *lines))
    at = draw(st.sampled_from(MOMENTS))
    return replace(request(name, draw(st.integers(1, 2_000)), *told, occurred_at=at), beneficiary_psn_no=patient)


@settings(deadline=None, max_examples=100)
@given(all_limits, batches(mixed_up=True))
def test_a_batch_answers_what_its_requests_would_get_one_by_one(limits: Limits, asked: list[list[Request]]) -> None:
    together, alone = World(everybody(limits)), World(everybody(limits))
    for batch in asked:
        assert together.authorize(*batch) == [answer for one in batch for answer in alone.authorize(one)]
    assert together.uses == alone.uses
    assert together.authorizations == alone.authorizations


@settings(deadline=None, max_examples=100)
@given(all_limits, batches(mixed_up=False))
def test_a_preview_tells_what_authorizing_would(limits: Limits, asked: list[list[Request]]) -> None:
    world = World(everybody(limits))
    for batch in asked:
        book = world.book()
        shown = preview_all(batch, book)
        assert book.held == {}
        assert shown == world.authorize(*batch)
