"""What the bench of notices writes and makes of the times, without a server."""

import asyncio
from uuid import UUID, uuid4

import pytest
from aiohttp.test_utils import TestClient, TestServer
from bench.notify_gateway import COUNTS, KEY, MESSAGES, TIMES, Taken, application
from bench.notify_load import (
    Debits,
    backlogs,
    delays,
    has_telephone,
    is_sustained,
    steadily,
    telephones,
    written_per_second,
)
from bench.notify_watch import each_ms, missing

from gongji.settlement.events.v1 import account_events_pb2
from notify.codec import fact_of
from notify.domain.addresses import normalised
from notify.domain.channels import Channel
from notify.domain.facts import Debited

SECONDS = 9.0


def every(rate: int, seconds: float = SECONDS, late: float = 0.0) -> list[float]:
    """Moments at that rate, all of them so much later."""
    return [number / rate + late for number in range(round(rate * seconds))]


def test_debits_go_round_the_payers_and_each_account_counts_its_own() -> None:
    debits = Debits("C", 3)
    events = [*debits.some(4), *debits.some(3)]
    told = [event.message for event in events]
    assert all(isinstance(message, account_events_pb2.AccountDebited) for message in told)
    assert [event.key for event in events] == ["C00000000", "C00000001", "C00000002"] * 2 + ["C00000000"]
    assert [message.sequence for message in told] == [1, 1, 1, 2, 2, 2, 3]  # type: ignore[attr-defined] # as asserted
    assert len({message.setl_id for message in told}) == 7  # type: ignore[attr-defined] # as asserted


def test_a_debit_is_one_that_notify_tells_its_payer_of() -> None:
    (event,) = Debits("C", 1).some(1)
    fact = fact_of(event.message)
    assert isinstance(fact, Debited)
    assert (fact.movement.owner, fact.movement.is_own_bill) == (event.key, False)


@pytest.mark.parametrize(("share", "expected"), [(0.0, 0), (0.3, 300), (0.5, 500), (1.0, 1_000)])
def test_a_share_of_the_payers_has_a_telephone(share: float, expected: int) -> None:
    assert sum(has_telephone(number, share) for number in range(1_000)) == pytest.approx(expected, abs=1)


def test_what_is_owed_to_telephones_is_counted() -> None:
    reached, alone = Debits("C", 1_000, 0.5), Debits("N", 1_000)
    reached.some(1_500)
    alone.some(1_500)
    assert (reached.to_telephones, alone.to_telephones) == (750, 0)


def test_telephones_are_verified_and_each_payers_own() -> None:
    contacts = telephones("C", 1_000, 0.5)
    assert {contact.psn_no for contact in contacts} <= {event.key for event in Debits("C", 1_000).some(1_000)}
    assert len({contact.address for contact in contacts}) == len(contacts) == 500
    for contact in contacts[::100]:
        assert contact.verified_at is not None
        assert normalised(Channel.SMS, contact.address) == contact.address


async def test_a_steady_load_is_written_in_full_and_no_sooner_than_it_is_due() -> None:
    written: list[int] = []

    async def write(count: int) -> None:
        written.append(count)

    started = asyncio.get_running_loop().time()
    await steadily(write, 1_000, 0.2)
    assert sum(written) == 200
    assert max(written) < 200
    assert asyncio.get_running_loop().time() - started > 0.1


@pytest.mark.parametrize(("slow_seconds", "expected"), [(60.0, [20, 60_000, 39_980]), (250.0, [20])])
async def test_a_load_that_cannot_be_written_at_its_rate_comes_to_an_end(
    slow_seconds: float, expected: list[int]
) -> None:
    now, written = [0.0], list[int]()

    async def write(count: int) -> None:
        written.append(count)
        now[0] += slow_seconds

    await steadily(write, 1_000, 100.0, ticks=lambda: now[0])
    assert written == expected


def test_delays_are_of_what_arrived() -> None:
    ids = [UUID(int=number) for number in range(101)]
    written = {event_id: float(number) for number, event_id in enumerate(ids)}
    arrived = {event_id: written[event_id] + 0.001 * (number + 1) for number, event_id in enumerate(ids[:100])}
    found = delays(written, arrived)
    assert found.p50_ms == pytest.approx(51, abs=0.1)
    assert found.p99_ms == pytest.approx(100, abs=0.1)


def test_a_backlog_is_what_was_written_and_has_not_arrived() -> None:
    assert backlogs([0.0, 1.0, 2.0, 3.0], [1.5, 1.6, 9.0, 9.5], samples=3) == [2, 1, 2]


@pytest.mark.parametrize("late", [0.0, 0.2, 1.0])
def test_a_load_that_is_followed_at_its_own_rate_is_sustained_however_late(late: float) -> None:
    assert is_sustained(every(1_000), every(1_000, late=late), 1_000)


@pytest.mark.parametrize("speed", [500, 900, 940])
def test_a_load_whose_backlog_grows_is_not_sustained(speed: int) -> None:
    assert not is_sustained(every(1_000), every(speed, SECONDS * 1_000 / speed), 1_000)


def test_a_backlog_that_comes_in_batches_has_not_grown() -> None:
    batches = [0.7 * (int(at / 0.7) + 1) for at in every(1_000)]  # the thirds have not as many of them
    assert is_sustained(every(1_000), batches, 1_000)


def test_a_load_that_was_not_written_at_its_rate_was_not_tried() -> None:
    slow = every(900)
    assert written_per_second(slow) == pytest.approx(900)
    assert not is_sustained(slow, slow, 1_000)


def test_cpu_is_told_for_each_event() -> None:
    assert each_ms({"notify": 1.0, "kafka": 2.0}, {"notify": 3.0, "kafka": 2.0}, 1_000) == {"kafka": 0.0, "notify": 2.0}


def test_what_did_not_arrive_is_counted_whatever_else_did() -> None:
    one, other = uuid4(), uuid4()
    assert missing([one, other], [one, uuid4()]) == 1


async def test_the_gateway_counts_keys_and_doubles() -> None:
    async with TestClient(TestServer(application(Taken()))) as client:
        for key in ("a", "b", "a"):
            answer = await client.post(MESSAGES, json={}, headers={KEY: key})
            assert await answer.json() == {"message_id": f"gw-{key}", "receipt": False}
        assert await (await client.get(COUNTS)).json() == {"unique": 2, "doubles": 1}
        times = await (await client.get(TIMES)).json()
    assert times["a"] <= times["b"]
