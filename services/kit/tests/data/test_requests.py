"""What every record of requests promises, in memory and on PostgreSQL alike; then what the latter adds."""

import asyncio
import uuid
from datetime import UTC, datetime, timedelta

import pytest

from gongji.binding.v1.relation_pb2 import UnbindRelationRequest
from kit.auth import Assertion, CallContext, Deadline, Principal
from kit.crypto import Algorithm, KeyRing, RingKey
from kit.db import Database, LeavesTrace
from kit.errors import Refusal
from kit.requests import Answer, MemoryOnce, Once, PostgresOnce
from kit.used_assertions import UsedAssertions

KEYS = KeyRing("k1", {"k1": RingKey("k1", Algorithm.AES_256_GCM, bytes(32))}, bytes(32))
SECRET = b"what only the caller is told"


class FailedAttempt(LeavesTrace):
    """A refusal that has to be counted."""


class Service:
    """Answers differently each time that it is really asked."""

    def __init__(self) -> None:
        self.asked = 0

    async def __call__(self) -> bytes:
        self.asked += 1
        return SECRET + str(self.asked).encode()


def call(subject: str = "psn:P1", method: str = "/a.Service/Unbind") -> CallContext:
    assertion = Assertion(subject, frozenset({"citizen"}), "P1", "portal", uuid.uuid4().hex, datetime.now(UTC))
    return CallContext(method, Principal("service", "portal"), assertion, "trace-1", Deadline(5))


def request_of(reason: str = "moved away", request_id: str | None = None) -> UnbindRelationRequest:
    return UnbindRelationRequest(relation_id="r", reason=reason, request_id=request_id or str(uuid.uuid4()))


def failing(error: Exception) -> Answer:
    async def answer() -> bytes:
        raise error

    return answer


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.stack)])
def once(request: pytest.FixtureRequest) -> Once:
    return MemoryOnce() if request.param == "memory" else PostgresOnce(request.getfixturevalue("database"), KEYS)


async def reason_of_refusal(once: Once, context: CallContext, request: UnbindRelationRequest) -> str:
    with pytest.raises(Refusal) as caught:
        await once(context, request, Service())
    return caught.value.reason


async def test_the_same_again_gets_the_same_answer_and_is_not_done_again(once: Once) -> None:
    service, request = Service(), request_of()
    answers = [await once(call(), request, service) for _ in range(3)]
    assert (answers, service.asked) == ([SECRET + b"1"] * 3, 1)


async def test_another_body_or_another_method_under_the_id_is_refused(once: Once) -> None:
    request = request_of()
    await once(call(), request, Service())
    other = request_of("something else", request.request_id)
    assert await reason_of_refusal(once, call(), other) == "REQUEST_ID_REUSED"
    assert await reason_of_refusal(once, call(method="/a.Service/Suspend"), request) == "REQUEST_ID_REUSED"


async def test_an_id_is_its_callers_own(once: Once) -> None:
    service, request = Service(), request_of()
    assert await once(call("psn:P1"), request, service) != await once(call("psn:P2"), request, service)


async def test_two_ids_with_one_body_are_two_requests(once: Once) -> None:
    service = Service()
    await once(call(), request_of(), service)
    await once(call(), request_of(), service)
    assert service.asked == 2


@pytest.mark.parametrize("error", [Refusal("NOT_FOUND"), RuntimeError("a fault"), FailedAttempt()], ids=repr)
async def test_what_was_refused_or_failed_may_be_sent_again_under_its_id(once: Once, error: Exception) -> None:
    request, service = request_of(), Service()
    with pytest.raises(type(error)):
        await once(call(), request, failing(error))
    assert await once(call(), request, service) == SECRET + b"1"


async def test_a_caller_without_an_assertion_is_told_apart_by_its_certificate(once: Once) -> None:
    operator = CallContext("/a.Service/Unbind", Principal("service", "operator"), None, "trace-1", Deadline(5))
    service, request = Service(), request_of()
    await once(operator, request, service)
    await once(operator, request, service)
    await once(call(), request, service)
    assert service.asked == 2


async def add_fact(database: Database, name: str) -> None:
    async with database.transaction() as transaction:
        await transaction.raw.execute("INSERT INTO fact (id) VALUES ($1)", name)


async def facts(database: Database) -> set[str]:
    async with database.transaction() as transaction:
        return {row["id"] for row in await transaction.raw.fetch("SELECT id FROM fact")}


@pytest.mark.stack
async def test_what_a_method_writes_in_several_blocks_is_one_transaction_with_its_record(database: Database) -> None:
    once, request = PostgresOnce(database, KEYS), request_of()

    async def half_done() -> bytes:
        await add_fact(database, "first")
        await add_fact(database, "second")
        raise Refusal("STATE_FORBIDS")

    async def done() -> bytes:
        await add_fact(database, "first")
        await add_fact(database, "second")
        return b"ok"

    with pytest.raises(Refusal):
        await once(call(), request, half_done)
    assert await facts(database) == set()
    assert await once(call(), request, done) == b"ok"
    assert await facts(database) == {"first", "second"}


@pytest.mark.stack
async def test_a_refusal_that_leaves_a_trace_keeps_what_was_written_and_forgets_the_request(database: Database) -> None:
    once, request = PostgresOnce(database, KEYS), request_of()

    async def attempt() -> bytes:
        await add_fact(database, "failed attempt")
        raise FailedAttempt

    with pytest.raises(FailedAttempt):
        await once(call(), request, attempt)
    assert await facts(database) == {"failed attempt"}
    assert await once(call(), request, Service()) == SECRET + b"1"


@pytest.mark.stack
async def test_of_many_at_once_one_is_done_and_all_get_its_answer(database: Database) -> None:
    once, service, request = PostgresOnce(database, KEYS), Service(), request_of()
    answers = await asyncio.gather(*(once(call(), request, service) for _ in range(12)))
    assert (set(answers), service.asked) == ({SECRET + b"1"}, 1)


@pytest.mark.stack
async def test_neither_body_nor_answer_can_be_read_in_the_table(database: Database) -> None:
    await PostgresOnce(database, KEYS)(call(), request_of("moved away"), Service())
    async with database.transaction() as transaction:
        row = await transaction.raw.fetchrow("SELECT r.*, r::text AS shown FROM request r")
    assert row is not None
    assert SECRET not in row["answer_ct"]
    assert "moved away" not in row["shown"]


@pytest.mark.stack
async def test_old_records_are_forgotten_and_young_ones_kept(database: Database) -> None:
    once, service, request = PostgresOnce(database, KEYS), Service(), request_of()
    await once(call(), request, service)
    assert await once.forget(100) == 0
    assert await once.forget(100, keep=timedelta(0)) == 1
    await once(call(), request, service)
    assert service.asked == 2


@pytest.mark.stack
async def test_an_assertion_is_good_for_one_writing_call(database: Database) -> None:
    use, assertion, other = UsedAssertions(database), call().assertion, call().assertion
    assert assertion is not None
    assert other is not None
    results = await asyncio.gather(*(use("/m", assertion) for _ in range(8)), return_exceptions=True)
    refusals = [result for result in results if isinstance(result, Refusal)]
    assert [refusal.reason for refusal in refusals] == ["UNAUTHENTICATED"] * 7
    await use("/m", other)
    assert (await use.forget(100), await use.forget(100, keep=timedelta(0))) == (0, 2)
