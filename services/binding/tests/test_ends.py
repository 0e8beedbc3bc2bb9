"""Holds that end and touch nothing else: the short way ends where the book ends."""

from collections.abc import Sequence
from random import Random
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from binding.domain.authorizations import Authorization, AuthorizationState, Line, Outcome, OutcomeState, apply_outcome
from binding.domain.ends import ended
from binding.domain.limits import CounterKey, Limits, Use, counter_keys
from binding.domain.relations import Relation
from binding.memory import MemoryRepository
from binding.repository import PostgresRepository, Repository
from binding.service.authorizations import Authorizations
from binding.testing import (
    FATHER,
    MOTHER,
    NOON,
    TODAY,
    captured,
    have_relations,
    named,
    outcome,
    relation,
    released,
    request,
    restored,
    trimmed,
)
from kit.clock import FixedClock, shanghai_date
from kit.db import PostgresWork, Work
from kit.testing import MemoryWork

PATIENTS = [f"B{number}" for number in range(6)]
NAMES = [f"{side} {patient}" for patient in PATIENTS for side in ("father", "mother")]
lines = st.dictionaries(st.sampled_from(["a", "b", "c"]), st.integers(0, 3), max_size=3)


@given(
    lines, st.sampled_from(OutcomeState), st.lists(st.tuples(st.sampled_from(["a", "b", "c", "d"]), st.integers(0, 2)))
)
def test_what_is_ended_is_what_the_transition_makes_of_it(
    held_fen: dict[str, int], state: OutcomeState, paid_fen: list[tuple[str, int]]
) -> None:
    before = tuple(Line(named(name), granted_fen=fen, held_fen=fen) for name, fen in held_fen.items())
    told = outcome("x", state, *paid_fen)
    it = ended([line.relation_id for line in before], [line.held_fen for line in before], told)
    known = Authorization(named("x"), AuthorizationState.HELD, "P", NOON, TODAY, before)
    after = apply_outcome(known, told)
    if it is None:
        return
    assert after.state.value == it.state.value
    assert [(line.relation_id, line.held_fen, line.used_fen) for line in after.lines] == [
        (relation_id, 0, used_fen) for relation_id, used_fen in zip(it.relation_ids, it.used_fen, strict=True)
    ]
    assert all(used <= held for used, held in zip(it.used_fen, it.held_fen, strict=True))


def test_a_payment_of_what_was_held_and_a_release_are_ends_and_all_else_is_not() -> None:
    ids, held_fen = [named("a"), named("b")], [3, 2]
    assert ended(ids, held_fen, captured("x", ("a", 1), ("b", 1), ("a", 2)))
    assert ended(ids, held_fen, captured("x", ("b", 2)))
    assert ended(ids, held_fen, released("x"))
    assert ended([], [], captured("x"))
    assert ended(ids, held_fen, captured("x", ("a", 4))) is None
    assert ended(ids, held_fen, captured("x", ("c", 0))) is None
    assert ended(ids, held_fen, trimmed("x", ("a", 1))) is None
    assert ended(ids, held_fen, restored("x")) is None


class _Counted(PostgresRepository):
    """Counts what goes which way."""

    shortly = by_book = 0

    async def end_holds(self, outcomes: Sequence[Outcome], nearly_used_percent: int) -> list[Outcome]:
        rest = await super().end_holds(outcomes, nearly_used_percent)
        _Counted.shortly += len(outcomes) - len(rest)
        _Counted.by_book += len(rest)
        return rest


async def test_whichever_way_a_hold_ends_the_same_is_left(
    postgres_work: PostgresWork[PostgresRepository], memory_work: MemoryWork[MemoryRepository]
) -> None:
    counted = PostgresWork(postgres_work._database, _Counted)
    left = [await _story(counted), await _story(memory_work)]
    assert left[0] == left[1]
    assert min(_Counted.shortly, _Counted.by_book) > 50, (_Counted.shortly, _Counted.by_book)


Left = tuple[dict[CounterKey, Use], set[CounterKey], dict[UUID, list[object]]]


async def _story(work: Work[Repository]) -> Left:
    chance = Random(5)  # noqa: S311 - a test's order, no secret
    authorizations = Authorizations(work, FixedClock(NOON), FixedClock(NOON))
    await have_relations(work, *(_relation(name) for name in NAMES))
    asked: list[str] = []
    for number in range(60):
        names = {patient: f"{number} {patient}" for patient in chance.sample(PATIENTS, 4)}
        at = NOON.replace(day=chance.choice([9 + number // 20] * 9 + [10]))  # a few come late or early
        await authorizations.authorize(
            [
                request(name, chance.randint(1, 60), beneficiary_psn_no=patient, occurred_at=at)
                for patient, name in names.items()
            ]
        )
        asked += names.values()
        told = [_told(name, chance) for name in chance.choices(asked[-14:], k=6)]
        async with work() as repository:
            await authorizations.apply(repository, told)
    return await _left(work, asked)


def _relation(name: str) -> Relation:
    side, patient = name.split()
    payer, priority = (FATHER, 1) if side == "father" else (MOTHER, 2)
    limits = Limits(settlement_fen=60, day_fen=900 if side == "father" else None, total_fen=4_000)
    return relation(name, payer_psn_no=payer, priority=priority, beneficiary_psn_no=patient, limits=limits)


def _told(name: str, chance: Random) -> Outcome:
    patient = name.split()[1]
    paid = [(f"father {patient}", chance.randint(0, 20)), (f"mother {patient}", chance.choice([0, 0, 0, 5, 90]))]
    return chance.choice(
        [
            *[captured(name, *paid)] * 9,
            released(name),
            restored(name),
            trimmed(name, paid[0]),
            captured(name, *paid, ("nobody", 3)),
        ]
    )


async def _left(work: Work[Repository], asked: Sequence[str]) -> Left:
    days = [shanghai_date(NOON.replace(day=day)) for day in (9, 10, 11)]
    keys = [key for name in NAMES for day in days for key in counter_keys(named(name), day)]
    async with work() as repository:
        uses = {key: use for key, use in (await repository.uses(keys)).items() if use}
        told = await repository.nearly_used_told(keys)
        recorded = await repository.recorded([named(name) for name in asked])
    return uses, told, {it.authorization.authorization_id: _kept(it.authorization) for it in recorded}


def _kept(it: Authorization) -> list[object]:
    lines = [(line.relation_id, line.granted_fen, line.held_fen, line.used_fen, line.reason) for line in it.lines]
    return [it.state, lines]


async def test_a_limit_that_was_lowered_meanwhile_is_told_when_the_hold_ends(
    postgres_work: PostgresWork[PostgresRepository],
) -> None:
    authorizations = Authorizations(postgres_work, FixedClock(NOON), FixedClock(NOON))
    await have_relations(postgres_work, relation())
    await authorizations.authorize([request("a", 3_000)])
    async with postgres_work() as repository:
        await repository.save_relation(relation(limits=Limits(month_fen=3_100)))
    async with postgres_work() as repository:
        await authorizations.apply(repository, [captured("a", ("father-child", 3_000))])
    month = counter_keys(named("father-child"), TODAY)[1]
    async with postgres_work() as repository:
        assert await repository.nearly_used_told([month]) == {month}


async def test_a_batch_of_ends_is_three_statements(postgres_work: PostgresWork[PostgresRepository]) -> None:
    authorizations = Authorizations(postgres_work, FixedClock(NOON), FixedClock(NOON))
    await have_relations(postgres_work, *(relation(f"r {it}", beneficiary_psn_no=it) for it in PATIENTS))
    await authorizations.authorize([request(it, 100, beneficiary_psn_no=it) for it in PATIENTS])
    statements: list[str] = []
    async with postgres_work() as repository:
        with repository._raw.query_logger(lambda record: statements.append(record.query)):
            await authorizations.apply(repository, [captured(it, (f"r {it}", 100)) for it in PATIENTS])
    assert len([it for it in statements if "typeinfo" not in it and "'jit'" not in it]) == 3
