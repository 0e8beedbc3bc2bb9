"""A debit reaches the payer's telephone: once, through a gateway that was down, a process that died, and a replay."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from datetime import UTC, timedelta
from typing import Any

import pytest
import pytest_asyncio
from support.bus import from_the_beginning, records
from support.deliveries import deliveries_of, end_leases
from support.families import Families, Family
from support.gateways import Gateway, receipt, takes
from support.http_servers import Received, answers, is_slow
from support.reached import Reached, notify_again, reaching
from support.telephones import with_a_telephone

from gongji.notify.events.v1 import delivery_events_pb2 as events
from gongji.notify.v1 import delivery_pb2, inbox_pb2, notice_pb2
from gongji_local.client import Caller, Connections, Portal
from gongji_local.stack import Stack
from kit.testing import eventually

POLICY = {"breaker_rest_seconds": 0.5, "breaker_failures": 2.0, "most_a_day": 2.0}
"""Waits and attempts are those of every region that says nothing else."""
PATIENCE_SECONDS = 60.0
HOUR = timedelta(hours=1)

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Reached]:
    """One gateway for all of them, so that notify is told of it once."""
    async with reaching(stack, tmp_path_factory.mktemp("gateway"), POLICY) as made:
        yield made


@pytest.fixture
def reached(shared: Reached) -> Reached:
    """The gateway, which takes what comes, whatever the test before let it do."""
    shared.gateway.usual = takes
    return shared


@pytest_asyncio.fixture(loop_scope="module")
async def connections(stack: Stack) -> AsyncIterator[Connections]:
    """The same as everywhere, in the event loop of the gateway."""
    async with Connections(stack) as opened:
        yield opened


class Payer:
    """The father of a family, with a verified telephone."""

    def __init__(self, family: Family, portal: Portal, tel: str, gateway: Gateway, connections: Connections) -> None:
        self.family = family
        self.portal = portal
        self.tel = tel
        self._operator = Caller(connections, title="operator", principal="service/operator")
        self._gateway = gateway

    @property
    def requests(self) -> list[Received]:
        """What the gateway was asked to tell this telephone, its code first."""
        return [one for one in self._gateway.received if json.loads(one.body)["to"] == self.tel]

    @property
    def debits(self) -> list[dict[str, Any]]:
        """What the gateway has taken of debits, each once."""
        own = [one for one in self._gateway.messages.values() if one["to"] == self.tel]
        return [one for one in own if one["template_id"] == "SMS_200"]

    async def deliveries(self) -> list[delivery_pb2.Delivery]:
        """As an operator sees them."""
        return await deliveries_of(self._operator, self.portal.psn_no)

    async def until(self, condition: Callable[[delivery_pb2.Delivery], bool]) -> delivery_pb2.Delivery:
        """The only delivery, once it is as wanted."""
        (delivery,) = await self.until_all(lambda found: any(condition(one) for one in found))
        return delivery

    async def until_all(self, condition: Callable[[list[delivery_pb2.Delivery]], bool]) -> list[delivery_pb2.Delivery]:
        """All deliveries, newest first, once they are as wanted."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                found = await self.deliveries()
                if condition(found):
                    return found
                await asyncio.sleep(0.05)  # what is waited for is in another process

    async def until_more(self, known: int, states: set[int]) -> None:
        """Until there are more than were known, each in one of these states."""
        await self.until_all(lambda now: len(now) > known and all(one.state in states for one in now))

    async def until_sent(self) -> delivery_pb2.Delivery:
        return await self.until(lambda one: one.state == delivery_pb2.DELIVERY_STATE_SENT)


@pytest_asyncio.fixture(loop_scope="module")
async def payer(stack: Stack, reached: Reached, families: Families, connections: Connections) -> Payer:
    family = await families.make({"father": 100_000})
    portal, tel = await with_a_telephone(stack, family)
    return Payer(family, portal, tel, reached.gateway, connections)


async def ended(stack: Stack, psn_no: str) -> list[events.DeliveryEnded]:
    """What others are told of a person's deliveries."""
    found = await records(stack.info.kafka_bootstrap, "notify-events-v1")
    return [events.DeliveryEnded.FromString(one.value) for one in found if one.key == psn_no.encode()]


async def test_a_debit_reaches_the_telephone_and_what_became_of_it_is_told(
    stack: Stack, reached: Reached, payer: Payer
) -> None:
    await payer.family.settle("child", 12_345)
    queued = await payer.until_sent()
    (message,) = payer.debits
    assert message["to"] == payer.tel
    assert "¥123.45" in [one["value"] for one in message["params"]]
    assert (queued.delivery_id, queued.attempts) == (message["delivery_id"], 1)
    assert queued.kind == notice_pb2.NOTICE_KIND_DEBIT
    assert payer.tel not in str(queued)
    assert (await payer.portal.messages())[0].event_id == queued.event_id

    # The provider says that it arrived; others hear of it, and a second receipt changes nothing.
    for _ in range(2):
        answered = await reached.gateway.send_receipts(reached.callback, receipt(queued.delivery_id))
        assert answered == (200, {"taken": 1, "unknown": []})
    await asyncio.to_thread(stack.quiesce, 120.0)
    (told,) = await ended(stack, payer.portal.psn_no)
    assert (told.delivery_id, told.state) == (queued.delivery_id, delivery_pb2.DELIVERY_STATE_DELIVERED)

    # Reading everything from the beginning tells nobody twice.
    requests, kept = len(payer.requests), len(await payer.portal.messages())
    await asyncio.to_thread(stack.stop_service, "notify")
    await from_the_beginning(stack.info.kafka_bootstrap, "notify")
    await asyncio.to_thread(stack.start_service, "notify", reached.settings)
    await asyncio.to_thread(stack.quiesce, 120.0)
    assert len(await payer.portal.messages()) == kept
    assert len(await payer.deliveries()) == 1
    assert len(payer.requests) == requests == 2


async def after_five_minutes(stack: Stack, payer: Payer, before: delivery_pb2.Delivery) -> delivery_pb2.Delivery:
    """The delivery once it was tried again, unless it is to wait for longer."""
    stack.move_clock(stack.now() + timedelta(minutes=5))

    def is_through(one: delivery_pb2.Delivery) -> bool:
        return one.attempts > before.attempts or one.next_attempt_at.ToDatetime(tzinfo=UTC) > stack.now()

    return await payer.until(is_through)


async def test_a_gateway_that_is_down_for_an_hour_gets_it_afterwards(
    stack: Stack, reached: Reached, payer: Payer
) -> None:
    usual, reached.gateway.usual = reached.gateway.usual, answers(503)
    await payer.family.settle("child", 1_000)
    waiting = await payer.until(lambda one: bool(one.last_error))
    assert waiting.state == delivery_pb2.DELIVERY_STATE_QUEUED
    assert len(await payer.portal.messages()) > 0  # the inbox waits for nobody
    for _ in range(12):
        waiting = await after_five_minutes(stack, payer, waiting)
        assert waiting.state == delivery_pb2.DELIVERY_STATE_QUEUED
    assert waiting.attempts > 8  # the default's attempts, of which an outage uses up none
    reached.gateway.usual = usual
    stack.move_clock(stack.now() + HOUR)
    sent = await payer.until_sent()
    assert sent.delivery_id == waiting.delivery_id
    assert [one["delivery_id"] for one in payer.debits] == [waiting.delivery_id]


async def test_beyond_the_days_bound_the_inbox_alone_is_told_until_the_next_day(stack: Stack, payer: Payer) -> None:
    sent, given_up = delivery_pb2.DELIVERY_STATE_SENT, delivery_pb2.DELIVERY_STATE_GIVEN_UP
    for amount_fen in (1_100, 2_200, 3_300):
        known = len(await payer.deliveries())
        await payer.family.settle("child", amount_fen)
        await payer.until_more(known, {sent, given_up})
    found = await payer.deliveries()
    assert sorted(one.state for one in found) == [sent, sent, given_up]
    assert [one.last_error for one in found if one.state == given_up] == ["beyond the person's daily bound"]
    bodies = "".join(one.body for one in await payer.portal.messages())
    assert all(shown in bodies for shown in ("¥11.00", "¥22.00", "¥33.00"))
    stack.move_clock(stack.now() + timedelta(days=1))
    await payer.family.settle("child", 4_400)
    await payer.until_all(lambda found: sum(one.state == sent for one in found) == 3)
    assert len(payer.debits) == 3


async def test_a_process_that_dies_between_sending_and_recording_is_made_up_for_under_the_same_key(
    stack: Stack, reached: Reached, payer: Payer
) -> None:
    reached.gateway.behave(is_slow)
    await payer.family.settle("child", 1_000)
    await eventually(lambda: len(payer.requests) == 2, timeout_seconds=PATIENCE_SECONDS)
    await asyncio.to_thread(stack.kill_service, "notify")
    await asyncio.to_thread(stack.start_service, "notify", reached.settings)
    await end_leases(stack)
    sent = await payer.until_sent()
    assert sent.attempts == 2
    assert [sent.delivery_id.encode() in one.body for one in payer.requests[1:]] == [True, True]


async def test_who_watches_is_told_also_after_notify_was_started_again(
    stack: Stack, reached: Reached, families: Families
) -> None:
    family = await families.make({"father": 100_000})
    father = family.world.portal("father")
    token = ""
    for amount_fen, shown in ((1_100, "¥11.00"), (2_200, "¥22.00")):
        if token:
            await notify_again(stack, reached.settings)
        watching = father.watch(token)
        async with aclosing(watching) as answered:
            assert not (await anext(answered)).HasField("message")
            await family.settle("child", amount_fen)
            async for answer in answered:
                token = answer.resume_token
                if shown in answer.message.body:
                    break
    read = inbox_pb2.MarkReadRequest(
        psn_no=father.psn_no, message_ids=[one.message_id for one in await father.messages()]
    )
    assert (await father.call(father.inbox.MarkRead, read)).unread == 0
