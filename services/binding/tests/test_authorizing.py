"""The use case of authorizing: too old, one bad request, contradictions."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import asyncpg
import pytest

from binding.domain.authorizations import Outcome
from binding.domain.batch import Book, Request
from binding.memory import MemoryRepository
from binding.metrics import CONTRADICTIONS
from binding.service.authorizations import Authorizations
from binding.service.holds import Holds
from binding.servicer import AuthorizationServicer
from binding.testing import CHILD, GRANDMA, MOTHER, NOON, captured, family, named, relation, released, request
from binding.testing_served import ask as message_of
from gongji.binding.v1 import authorization_pb2
from kit.clock import FixedClock
from kit.errors import Refusal
from kit.failpoints import Boundary, Failpoints
from kit.testing import MemoryWork


@pytest.fixture
def work(memory_work: MemoryWork[MemoryRepository]) -> MemoryWork[MemoryRepository]:
    memory_work.repository.known_persons |= family()
    for made in (relation(), relation("m", beneficiary_psn_no=MOTHER)):
        memory_work.repository.relations[made.relation_id] = made
    return memory_work


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(NOON)


@pytest.fixture
def authorizations(work: MemoryWork[MemoryRepository], clock: FixedClock) -> Authorizations:
    return Authorizations(work, clock, clock)


async def test_a_request_older_than_ten_minutes_is_refused_and_leaves_no_trace(
    authorizations: Authorizations, clock: FixedClock, work: MemoryWork[MemoryRepository]
) -> None:
    clock.advance(timedelta(minutes=10, microseconds=1))
    for ask in (authorizations.authorize, authorizations.preview):
        (answer,) = await ask([request("a", 10, captured("b", ("father-child", 5)))])
        assert answer.refusal == "REQUEST_TOO_OLD"
    assert work.repository.authorizations == {}
    assert work.repository.counters == {}


async def test_ten_minutes_are_not_too_old(authorizations: Authorizations, clock: FixedClock) -> None:
    clock.advance(timedelta(minutes=10))
    (answer,) = await authorizations.authorize([request("a", 10)])
    assert answer.refusal is None


async def test_even_a_known_id_is_refused_when_asked_too_late(
    authorizations: Authorizations, clock: FixedClock
) -> None:
    await authorizations.authorize([request("a", 10)])
    clock.advance(timedelta(minutes=11))
    assert (await authorizations.authorize([request("a", 10)]))[0].refusal == "REQUEST_TOO_OLD"


async def test_the_old_one_of_a_batch_does_not_fail_the_others(
    authorizations: Authorizations, clock: FixedClock
) -> None:
    clock.advance(timedelta(minutes=11))
    young = replace(request("b", 10), beneficiary_psn_no=MOTHER, requested_at=clock.now())
    old = replace(request("c", 10), beneficiary_psn_no=GRANDMA)
    answers = await authorizations.authorize([request("a", 10), young, old])
    assert [answer.refusal for answer in answers] == ["REQUEST_TOO_OLD", None, "REQUEST_TOO_OLD"]
    assert answers[1].grants[0].granted_fen == 10


async def test_of_repeats_in_a_batch_only_the_first_is_answered(
    authorizations: Authorizations, work: MemoryWork[MemoryRepository]
) -> None:
    same_patient = request("b", 10)
    same_id = replace(request("a", 10), beneficiary_psn_no=MOTHER)
    answers = await authorizations.authorize([request("a", 10), same_patient, same_id])
    assert [answer.refusal for answer in answers] == [None, "INVALID_FIELDS", "INVALID_FIELDS"]
    assert set(work.repository.authorizations) == {named("a")}


class Poisoned(MemoryRepository):
    """Falls over when it sees one patient."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error
        self.relations[named("father-child")] = relation()

    async def open_book(self, requests: Sequence[Request], outcomes: Sequence[Outcome], *, hold: bool) -> Book:
        if any(it.beneficiary_psn_no == GRANDMA for it in requests):
            raise self.error
        return await super().open_book(requests, outcomes, hold=hold)


class UnforeseenError(Exception):
    """Something that nobody thought of."""


async def test_one_bad_request_never_fails_the_others() -> None:
    work = MemoryWork(Poisoned(UnforeseenError("a value that no column takes")))
    bad = replace(request("bad"), beneficiary_psn_no=GRANDMA)
    others = replace(request("other"), beneficiary_psn_no=MOTHER)
    answers = await Authorizations(work, FixedClock(NOON), FixedClock(NOON)).authorize([request("a", 10), bad, others])
    assert [answer.refusal for answer in answers] == [None, "INTERNAL", None]
    assert answers[0].grants[0].granted_fen == 10


async def test_a_database_that_is_away_fails_the_call_and_not_single_requests() -> None:
    work = MemoryWork(Poisoned(ConnectionRefusedError()))
    with pytest.raises(Refusal) as refused:
        await Authorizations(work, FixedClock(NOON), FixedClock(NOON)).authorize(
            [replace(request(), beneficiary_psn_no=GRANDMA)]
        )
    assert refused.value.reason == "UNAVAILABLE"


class OnceInTheWay:
    """A unit of work whose first commit is chosen as the victim of a deadlock."""

    def __init__(self, inner: MemoryWork[MemoryRepository]) -> None:
        self.inner = inner
        self.times = 0

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[MemoryRepository]:
        self.times += 1
        if self.times == 1:
            self.inner.fail_next_commit(asyncpg.DeadlockDetectedError())
        async with self.inner() as repository:
            yield repository


async def test_a_batch_that_was_in_the_way_of_another_is_run_again(work: MemoryWork[MemoryRepository]) -> None:
    deadlocked = OnceInTheWay(work)
    (answer,) = await Authorizations(deadlocked, FixedClock(NOON), FixedClock(NOON)).authorize([request("a", 10)])
    assert answer.grants[0].granted_fen == 10
    assert deadlocked.times == 2
    assert len(work.repository.authorizations) == 1


async def test_decisions_that_contradict_each_other_are_counted_for_the_operators(
    authorizations: Authorizations, work: MemoryWork[MemoryRepository]
) -> None:
    before = CONTRADICTIONS._value.get()
    async with work() as repository:
        book = await authorizations.apply(repository, [released("a"), captured("a", ("father-child", 5))])
    authorizations.report(book)
    assert CONTRADICTIONS._value.get() == before + 1
    assert work.repository.counters == {}


async def test_a_patient_without_payers_gets_an_empty_answer(authorizations: Authorizations) -> None:
    (answer,) = await authorizations.authorize([replace(request("a"), beneficiary_psn_no=GRANDMA)])
    assert (answer.grants, answer.refusal) == ((), None)


async def test_each_patient_gets_only_their_own_payers(authorizations: Authorizations) -> None:
    asked = [request("a", 10), replace(request("b", 20), beneficiary_psn_no=MOTHER)]
    answers = await authorizations.authorize(asked)
    assert [grant.relation_id for answer in answers for grant in answer.grants] == [named("father-child"), named("m")]
    assert asked[0].beneficiary_psn_no == CHILD


async def test_who_asks_one_payer_gets_no_others_and_holds_nothing_of_theirs(
    authorizations: Authorizations, work: MemoryWork[MemoryRepository]
) -> None:
    another = relation("mother-child", payer_psn_no=MOTHER)
    work.repository.relations[another.relation_id] = another
    (answer,) = await authorizations.authorize([request("a", 10, payer_psn_no=MOTHER)])
    assert [grant.relation_id for grant in answer.grants] == [named("mother-child")]
    assert {key.relation_id for key in work.repository.counters} == {named("mother-child")}
    (again,) = await authorizations.authorize([request("a", 10, payer_psn_no=MOTHER)])
    assert again == answer
    (nobody,) = await authorizations.authorize([request("b", 10, payer_psn_no=GRANDMA)])
    assert (nobody.grants, nobody.refusal) == ((), None)


class DiesOnce(Failpoints):
    """The process dies there for the first time."""

    def __init__(self) -> None:
        super().__init__()
        self.at: list[Boundary] = []

    async def reach(self, boundary: Boundary) -> None:
        self.at.append(boundary)
        if len(self.at) == 1:
            raise KeyboardInterrupt


async def test_what_was_held_by_a_process_that_died_unheard_is_answered_to_the_same_again_and_held_once(
    authorizations: Authorizations, work: MemoryWork[MemoryRepository]
) -> None:
    failpoints = DiesOnce()
    servicer = AuthorizationServicer(authorizations, Holds(work), failpoints)
    request_of_a = authorization_pb2.AuthorizeRequest(requests=[message_of("a", 10)])
    nobody = cast("Any", None)
    with pytest.raises(KeyboardInterrupt):
        await servicer.Authorize(request_of_a, nobody)
    assert failpoints.at == [Boundary.AFTER_HOLD]
    held = [counter.held_fen for counter in work.repository.counters.values()]
    assert held
    assert set(held) == {10}
    (answer,) = (await servicer.Authorize(request_of_a, nobody)).results
    assert [grant.granted_fen for grant in answer.grants] == [10]
    assert [counter.held_fen for counter in work.repository.counters.values()] == held
