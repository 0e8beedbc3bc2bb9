"""Webhooks: a hospital's own system hears of its settlements as they happen, whatever its receiver does."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import grpc
import pytest
from support.bus import from_the_beginning, records
from support.families import Families
from support.receiver import Receiver, receiver, status

from gongji.notify.events.v1 import webhook_events_pb2 as events_pb2
from gongji.notify.v1 import webhook_pb2 as pb
from gongji.notify.v1 import webhook_pb2_grpc
from gongji_local.client import Caller, Connections, Operator, reason_of
from gongji_local.stack import Stack
from kit.testing import eventually

COMPLETED = "gongji.settlement.events.v1.SettlementCompleted"
REVERSED = "gongji.settlement.events.v1.SettlementReversed"
SWITCHED_OFF = "gongji.notify.events.v1.WebhookSwitchedOff"
DEBITED = "gongji.settlement.events.v1.AccountDebited"


class Keeper:
    """Somebody who keeps webhooks."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._stub: webhook_pb2_grpc.WebhookServiceAsyncStub = webhook_pb2_grpc.WebhookServiceStub(
            caller.channel("notify")
        )

    async def make(self, url: str, types: Sequence[str] = (COMPLETED,), system: str = "") -> pb.CreateWebhookResponse:
        request = pb.CreateWebhookRequest(url=url, event_types=types, system=system)
        return await self._caller.call(self._stub.CreateWebhook, request)

    async def the(self, webhook_id: str) -> pb.Webhook:
        listed = await self._caller.call(self._stub.ListWebhooks, pb.ListWebhooksRequest(page_size=200))
        (found,) = [one for one in listed.webhooks if one.webhook_id == webhook_id]
        return found

    async def go_on(self, webhook: pb.Webhook) -> pb.Webhook:
        request = pb.UpdateWebhookRequest(
            webhook_id=webhook.webhook_id,
            url=webhook.url,
            event_types=webhook.event_types,
            state=pb.WEBHOOK_STATE_ACTIVE,
        )
        return (await self._caller.call(self._stub.UpdateWebhook, request)).webhook

    async def rotate(self, webhook_id: str) -> str:
        request = pb.RotateSecretRequest(webhook_id=webhook_id)
        return (await self._caller.call(self._stub.RotateSecret, request)).secret

    async def test(self, webhook_id: str) -> str:
        return (await self._caller.call(self._stub.TestWebhook, pb.TestWebhookRequest(webhook_id=webhook_id))).event_id

    async def replay(self, request: pb.ReplayEventsRequest) -> int:
        return (await self._caller.call(self._stub.ReplayEvents, request)).events

    async def attempts(self, webhook_id: str, **fields: Any) -> list[pb.Attempt]:
        request = pb.ListAttemptsRequest(webhook_id=webhook_id, **fields)
        return list((await self._caller.call(self._stub.ListAttempts, request)).attempts)

    async def delete(self, webhook_id: str) -> None:
        await self._caller.call(self._stub.DeleteWebhook, pb.DeleteWebhookRequest(webhook_id=webhook_id))


def came(there: Receiver, kind: str = "") -> list[dict[str, Any]]:
    """What a receiver was sent, all of it or of one type."""
    said = [json.loads(one.body) for one in there.received]
    return [one for one in said if not kind or one["type"] == kind]


async def until(what: str, holds: Callable[[], bool | Awaitable[bool]]) -> None:
    await eventually(holds, timeout_seconds=60, what=what)


async def test_a_hospital_hears_of_its_own_settlements_signed_and_of_nobody_elses(families: Families) -> None:
    family = await families.make({"father": 100_000})
    pharmacy = family.world.hospitals["pharmacy"]
    async with receiver() as there, receiver() as elsewhere:
        made = await Keeper(family.hospital).make(there.url, (COMPLETED, REVERSED))
        await Keeper(pharmacy).make(elsewhere.url, (COMPLETED, REVERSED))
        settled = await family.settle("child", 1_000)
        await family.hospital.reverse_by_setl_id(settled.setl_id, at=family.world.stack.now())
        await until("both came", lambda: len(came(there)) == 2)
        for one in there.received:
            one.verified(made.secret)
        (completed,) = came(there, COMPLETED)
        assert completed["data"]["settlement"]["setl_id"] == settled.setl_id
        assert completed["data"]["acct_mulaid_pay"] == "1000"
        assert completed["id"] in {one.webhook_id for one in there.received}
        (undone,) = came(there, REVERSED)
        assert undone["data"]["settlement"]["setl_id"] == settled.setl_id
        await asyncio.to_thread(family.world.stack.quiesce, 120.0)
        assert came(elsewhere) == []


async def test_reading_every_topic_again_from_the_beginning_sends_nothing_twice(
    families: Families, stack: Stack
) -> None:
    family = await families.make({"father": 100_000})
    async with receiver() as there:
        await Keeper(family.hospital).make(there.url, (COMPLETED, REVERSED))
        await family.settle("child", 1_000)
        await until("it came", lambda: len(came(there)) == 1)
        await asyncio.to_thread(stack.stop_service, "notify")
        await from_the_beginning(stack.info.kafka_bootstrap, "notify-webhooks")
        await asyncio.to_thread(stack.start_service, "notify")
        later = await family.settle("child", 2_000)
        await asyncio.to_thread(stack.quiesce, 120.0)
        await until("the later one came", lambda: later.setl_id in _settled(there, 1))
        assert len(came(there)) == 2


async def test_another_system_hears_of_every_account_and_no_institution_can(
    families: Families, connections: Connections
) -> None:
    family = await families.make({"father": 100_000})
    async with receiver() as there:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await Keeper(family.hospital).make(there.url, (DEBITED,))
        assert reason_of(refused.value) == "INVALID_FIELDS"
        operators = Keeper(Operator(connections).console)
        made = await operators.make(there.url, (DEBITED,), system="records")
        await family.settle("child", 1_234)
        ours = family.psn_no("father")
        await until("the debit came", lambda: any(one["data"]["psn_no"] == ours for one in came(there)))
        (debit,) = [one for one in came(there) if one["data"]["psn_no"] == ours]
        assert (debit["data"]["amount_fen"], debit["sequence"]) == ("1234", debit["data"]["sequence"])
        there.received[0].verified(made.secret)
        await operators.delete(made.webhook.webhook_id)


async def test_an_address_that_is_not_public_is_refused(families: Families) -> None:
    family = await families.make({"father": 0})
    for url in (
        "https://10.0.0.1/",
        "https://169.254.169.254/latest/meta-data/",
        "https://[::1]/",
        "http://[fd00::1]/",
    ):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await Keeper(family.hospital).make(url)
        assert reason_of(refused.value) == "ADDRESS_REFUSED"


async def test_a_test_is_sent_and_a_new_secret_signs_beside_the_old_one(families: Families) -> None:
    family = await families.make({"father": 0})
    keeper = Keeper(family.hospital)
    async with receiver() as there:
        made = await keeper.make(there.url)
        webhook_id = made.webhook.webhook_id
        new = await keeper.rotate(webhook_id)
        there.answers.append(status(500))
        first = await keeper.test(webhook_id)
        await until("the test came", lambda: len(there.received) == 1)
        for secret in (made.secret, new):
            assert there.received[0].verified(secret)["id"] == first
        second = await keeper.test(webhook_id)
        await until("the second came", lambda: len(there.received) == 2)
        outcomes = await _outcomes(keeper, webhook_id, second)
        assert outcomes == {first: pb.ATTEMPT_OUTCOME_REFUSED, second: pb.ATTEMPT_OUTCOME_DELIVERED}
        assert not (await keeper.the(webhook_id)).HasField("failing_since")


async def _outcomes(keeper: Keeper, webhook_id: str, awaited: str) -> Mapping[str, int]:
    """How each event was last answered, once the awaited one was."""
    async with asyncio.timeout(60):
        while True:
            found = {one.event_id: one.outcome for one in reversed(await keeper.attempts(webhook_id))}
            if awaited in found:
                return found
            await asyncio.sleep(0.05)


async def test_a_receiver_that_is_down_for_a_day_is_switched_off_and_goes_on_where_it_was(
    families: Families, stack: Stack
) -> None:
    family = await families.make({"father": 100_000})
    keeper, pharmacy = Keeper(family.hospital), Keeper(family.world.hospitals["pharmacy"])
    async with receiver() as there, receiver() as office, receiver() as elsewhere:
        there.otherwise = status(503)
        webhook_id = (await keeper.make(there.url)).webhook.webhook_id
        told = await keeper.make(office.url, (SWITCHED_OFF,))
        await pharmacy.make(elsewhere.url, (SWITCHED_OFF,))
        first = await family.settle("child", 100)

        async def tried(times: int) -> None:
            """It was, and that is recorded: by the clock of that moment, from which the next pause is counted."""
            await until(f"it was tried {times} times", lambda: are_recorded(times))

        async def are_recorded(times: int) -> bool:
            return len(await keeper.attempts(webhook_id)) >= times

        await tried(1)
        began = stack.now()
        for tries, hours in enumerate((1, 2, 3, 4, 6, 9), start=2):
            stack.move_clock(began + timedelta(hours=hours))
            await tried(tries)
        stack.move_clock(began + timedelta(hours=23))
        second = await family.settle("child", 200)
        await tried(8)
        stack.move_clock(began + timedelta(hours=25))
        off = await _switched_off(keeper, webhook_id)
        assert off.off_reason == pb.WEBHOOK_OFF_REASON_LASTING_FAILURE
        assert [event.owner for event in await _told(stack, webhook_id)] == [off.owner]
        await until("the office was told", lambda: len(office.received) == 1)
        event = office.received[0].verified(told.secret)
        assert (event["type"], event["subject"]) == (SWITCHED_OFF, webhook_id)
        assert (event["data"]["webhook_id"], event["data"]["owner"]) == (webhook_id, off.owner)
        assert event["data"]["reason"] == "WEBHOOK_OFF_REASON_LASTING_FAILURE"
        there.otherwise = status(204, body=b"")
        await keeper.go_on(off)
        await until("what was waiting came", lambda: second.setl_id in _settled(there, 2))
        failed = await keeper.attempts(webhook_id, failed_only=True)
        assert {one.status for one in failed} == {503}
        # Whether the first was given up or waited as well, a replay brings it again.
        await _settle_down(keeper, webhook_id, there.received[0].webhook_id)
        request = pb.ReplayEventsRequest(webhook_id=webhook_id, with_delivered=True)
        request.occurred_from.FromDatetime(began - timedelta(hours=1))
        request.occurred_before.FromDatetime(began + timedelta(hours=1))
        before = len(there.received)
        assert await keeper.replay(request) == 1
        await until("the replay came", lambda: first.setl_id in _settled(there, before))
        assert (len(office.received), elsewhere.received) == (1, [])


def _settled(there: Receiver, since: int) -> set[str]:
    return {one["data"]["settlement"]["setl_id"] for one in came(there)[since:]}


async def _settle_down(keeper: Keeper, webhook_id: str, event_id: str) -> None:
    async def waits() -> bool:
        newest, *_ = await keeper.attempts(webhook_id, event_id=event_id)
        return newest.state == pb.WEBHOOK_DELIVERY_STATE_QUEUED

    async with asyncio.timeout(60):
        while await waits():  # noqa: ASYNC110 - what is waited for is in another process
            await asyncio.sleep(0.05)


async def _switched_off(keeper: Keeper, webhook_id: str) -> pb.Webhook:
    async with asyncio.timeout(60):
        while (webhook := await keeper.the(webhook_id)).state != pb.WEBHOOK_STATE_OFF:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.05)
    return webhook


async def _told(stack: Stack, webhook_id: str) -> list[events_pb2.WebhookSwitchedOff]:
    await asyncio.to_thread(stack.quiesce, 120.0)
    found = [
        events_pb2.WebhookSwitchedOff.FromString(record.value)
        for record in await records(stack.info.kafka_bootstrap, "notify-events-v1")
        if dict(record.headers)["ce_type"] == b"gongji.notify.events.v1.WebhookSwitchedOff"
    ]
    return [told for told in found if told.webhook_id == webhook_id]


async def test_an_outcome_that_a_killed_process_did_not_record_is_sent_again_under_the_same_id(
    families: Families, stack: Stack
) -> None:
    family = await families.make({"father": 100_000})
    keeper = Keeper(family.hospital)
    killed = asyncio.Event()

    async def after_the_end(writer: asyncio.StreamWriter) -> None:
        await killed.wait()
        writer.close()

    async with receiver() as there:
        made = await keeper.make(there.url)
        there.answers.append(after_the_end)
        await family.settle("child", 100)
        await until("it came", lambda: len(there.received) == 1)
        await asyncio.to_thread(stack.kill_service, "notify")
        killed.set()
        await asyncio.to_thread(stack.start_service, "notify")
        await until("it came again", lambda: len(there.received) == 2)
        assert len({one.webhook_id for one in there.received}) == 1
        there.received[1].verified(made.secret)
