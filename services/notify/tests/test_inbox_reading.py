"""Marking as read, counting and watching over the contract: only for their addressee; deliveries only for operators."""

import asyncio
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gongji.notify.v1 import delivery_pb2, inbox_pb2, notice_pb2
from kit.auth import Assertion, CallContext, Deadline, Principal, enter, uncovered
from kit.clock import FixedClock
from kit.errors import InvalidFields, Refusal
from kit.grpc_server import methods_of
from kit.testing import MemoryWork
from notify.access import ACCESS, DELIVERY_SERVICE, INBOX_SERVICE
from notify.channels.log import LogChannel
from notify.codec import resume_token, resumed_from
from notify.delivery_codec import delivery_token, filter_of, place_of
from notify.delivery_service import DeliveryService
from notify.delivery_servicer import DeliveryServicer
from notify.domain.channels import Channel
from notify.domain.deliveries import Delivery, Payload, State
from notify.domain.kinds import Kind
from notify.memory import MemoryRepository
from notify.repository.deliveries import DeliveryFilter, DeliveryPlace, NewDelivery
from notify.service import MessageService
from notify.servicer import InboxServicer
from notify.testing import AT, TEXTS, credited
from notify.watching import Watchers

LATER = datetime(2100, 1, 1, tzinfo=UTC)
PORTAL, OPERATOR = Principal("service", "portal"), Principal("service", "operator")
OWN = (f"/{INBOX_SERVICE}/MarkRead", f"/{INBOX_SERVICE}/UnreadCount", f"/{INBOX_SERVICE}/WatchMessages")
MOMENTS = st.datetimes(datetime(1970, 1, 1), datetime(2500, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - aware by st


def assertion(subject: str, role: str) -> Assertion:
    psn_no = subject.removeprefix("psn:") if subject.startswith("psn:") else None
    return Assertion(subject, frozenset({role}), psn_no, "issuer", "jti", LATER)


def called_by(subject: str = "psn:1001", role: str = "citizen") -> None:
    enter(CallContext("/method", PORTAL, assertion(subject, role), "request", Deadline(5)))


class World:
    def __init__(self) -> None:
        self.backend: MemoryWork[MemoryRepository] = MemoryWork(MemoryRepository())
        self.watchers = Watchers(self.backend)
        self.messages = MessageService(self.backend, LogChannel(), TEXTS, watchers=self.watchers)
        self.inbox = InboxServicer(self.messages, self.watchers, FixedClock(AT))
        self.deliveries = DeliveryServicer(DeliveryService(self.backend))

    async def listed(self) -> list[inbox_pb2.Message]:
        answer = await self.inbox.ListMessages(inbox_pb2.ListMessagesRequest(psn_no="1001"), None)
        return list(answer.messages)

    async def mark(self, *message_ids: str) -> int:
        request = inbox_pb2.MarkReadRequest(request_id=str(uuid4()), psn_no="1001", message_ids=message_ids)
        return (await self.inbox.MarkRead(request, None)).unread

    async def unread(self) -> int:
        return (await self.inbox.UnreadCount(inbox_pb2.UnreadCountRequest(psn_no="1001"), None)).unread

    async def queue(self, **fields: Any) -> Delivery:
        made = Delivery(
            *(uuid4(), uuid4(), "1001", Channel.SMS, uuid4(), uuid4(), Kind.DEBIT, State.QUEUED, 1, AT, AT),
            **fields,
        )
        payload = Payload("debit-own", "zh-CN", "题", "正文", {})
        await self.backend.repository.queue_deliveries([NewDelivery(made, payload)])
        return made

    async def found(self, **wanted: Any) -> delivery_pb2.ListDeliveriesResponse:
        return await self.deliveries.ListDeliveries(delivery_pb2.ListDeliveriesRequest(**wanted), None)


def test_every_method_is_in_the_access_table() -> None:
    assert uncovered(methods_of(INBOX_SERVICE) | methods_of(DELIVERY_SERVICE), ACCESS) == set()


@pytest.mark.parametrize("method", OWN)
@pytest.mark.parametrize("role", ["auditor", "handler", "decider", "operator"])
def test_nobody_reads_for_somebody_else(method: str, role: str) -> None:
    with pytest.raises(Refusal, match="may not call"):
        ACCESS[method].check(PORTAL, assertion("clerk:wang", role))


@pytest.mark.parametrize("role", ["citizen", "auditor", "handler", "decider"])
def test_deliveries_are_for_operators(role: str) -> None:
    access = ACCESS[f"/{DELIVERY_SERVICE}/ListDeliveries"]
    with pytest.raises(Refusal, match="may not call"):
        access.check(PORTAL, assertion("psn:1001" if role == "citizen" else "clerk:wang", role))
    access.check(PORTAL, assertion("clerk:wang", "operator"))
    access.check(OPERATOR, None)


async def test_a_stranger_neither_marks_nor_counts_nor_watches() -> None:
    world = World()
    await world.messages.tell([credited()])
    called_by("psn:1002")
    with pytest.raises(Refusal, match="only their addressee"):
        await world.mark(str(uuid4()))
    with pytest.raises(Refusal, match="only their addressee"):
        await world.unread()
    with pytest.raises(Refusal, match="only their addressee"):
        await anext(world.inbox.WatchMessages(inbox_pb2.WatchMessagesRequest(psn_no="1001"), None))


async def test_what_was_read_says_so_and_counts_no_more() -> None:
    world = World()
    await world.messages.tell([credited(minutes=number) for number in range(3)])
    called_by()
    newest, *_ = await world.listed()
    assert not newest.HasField("read_at")
    assert (newest.kind, newest.language) == (notice_pb2.NOTICE_KIND_CREDIT, "zh-CN")
    assert await world.unread() == 3
    assert await world.mark(newest.message_id, str(uuid4())) == 2
    assert await world.mark(newest.message_id) == 2
    assert (await world.listed())[0].read_at.ToDatetime(tzinfo=UTC) == AT


async def test_who_watches_is_told_where_it_began_and_then_of_messages() -> None:
    world = World()
    called_by()
    watching = world.inbox.WatchMessages(inbox_pb2.WatchMessagesRequest(psn_no="1001"), None)
    async with aclosing(watching) as answers:
        began = await anext(answers)
        assert not began.HasField("message")
        coming = asyncio.ensure_future(anext(answers))
        await world.messages.tell([told := credited()])
        answer = await coming
    assert answer.message.event_id == str(told.event_id)
    assert answer.message.title == "个人账户入账提醒"
    assert resumed_from(answer.resume_token) == world.backend.repository.now


async def test_watching_ends_with_the_assertion_that_allows_it() -> None:
    world = World()
    good_until = AT + timedelta(seconds=0.2)
    citizen = Assertion("psn:1001", frozenset({"citizen"}), "1001", "issuer", "jti", good_until)
    enter(CallContext("/method", PORTAL, citizen, "request", Deadline(5)))
    watching = world.inbox.WatchMessages(inbox_pb2.WatchMessagesRequest(psn_no="1001"), None)
    async with asyncio.timeout(10):
        assert [answer.HasField("message") async for answer in watching] == [False]


@pytest.mark.parametrize("token", ["x", "====", "MTIz=", "YTpi", "-", "中", "LTE", "OTk5OTk5OTk5OTk5OTk5OTk5OTk5"])
async def test_a_resume_token_that_was_not_given_out_is_named(token: str) -> None:
    called_by()
    with pytest.raises(InvalidFields) as caught:
        await anext(
            World().inbox.WatchMessages(inbox_pb2.WatchMessagesRequest(psn_no="1001", resume_token=token), None)
        )
    assert [violation.field for violation in caught.value.violations] == ["resume_token"]


@given(MOMENTS)
def test_a_resume_token_keeps_its_moment(at: datetime) -> None:
    assert resumed_from(resume_token(at)) == at


async def test_operators_see_where_a_delivery_stands_and_nothing_that_it_says() -> None:
    world = World()
    queued = await world.queue(last_error="it said 503")
    ended = await world.queue()
    done = {"state": State.FAILED, "sent_at": AT, "ended_at": AT + timedelta(hours=1), "provider_id": "p1"}
    world.backend.repository.deliveries[ended.delivery_id] = Delivery(**{**_fields(ended), **done})
    answer = await world.found()
    shown = {one.delivery_id: one for one in answer.deliveries}
    first, second = shown[str(queued.delivery_id)], shown[str(ended.delivery_id)]
    assert (first.state, first.channel, first.kind, first.attempts) == (1, 2, 1, 1)
    assert first.next_attempt_at.ToDatetime(tzinfo=UTC) == AT
    assert (first.last_error, first.HasField("sent_at"), first.HasField("ended_at")) == ("it said 503", False, False)
    assert (second.state, second.HasField("next_attempt_at"), second.provider_id) == (4, False, "p1")
    assert second.ended_at.ToDatetime(tzinfo=UTC) == AT + timedelta(hours=1)
    assert "正文" not in str(answer)


def _fields(delivery: Delivery) -> dict[str, Any]:
    return {name: getattr(delivery, name) for name in Delivery.__slots__}


async def test_operators_page_through_what_fits() -> None:
    world = World()
    made = {str((await world.queue()).delivery_id) for _ in range(5)}
    seen: list[str] = []
    token = ""
    for _ in range(3):
        page = await world.found(psn_no="1001", channel=2, state=1, page_size=2, page_token=token)
        seen += [one.delivery_id for one in page.deliveries]
        token = page.next_page_token
    assert (set(seen), len(seen), token) == (made, 5, "")
    assert (await world.found(psn_no="1002")).deliveries == []
    assert (await world.found(channel=notice_pb2.CHANNEL_INBOX)).deliveries == []


def test_what_is_not_asked_for_is_any() -> None:
    assert filter_of(delivery_pb2.ListDeliveriesRequest()) == DeliveryFilter()


@given(MOMENTS, st.uuids())
def test_a_page_token_keeps_its_place(at: datetime, delivery_id: Any) -> None:
    place = DeliveryPlace(at, delivery_id)
    assert place_of(delivery_token(place)) == place


@pytest.mark.parametrize("token", ["x", "====", "MTIz", "YTpi", "-", "中"])
async def test_a_page_token_of_deliveries_that_was_not_given_out_is_named(token: str) -> None:
    with pytest.raises(InvalidFields) as caught:
        await World().found(page_token=token)
    assert [violation.field for violation in caught.value.violations] == ["page_token"]
