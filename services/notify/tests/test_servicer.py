"""Who may read, what a page looks like on the wire, and what goes to the log."""

from datetime import UTC, datetime
from uuid import uuid4

import pytest
from structlog.testing import capture_logs

from gongji.notify.v1 import inbox_pb2
from gongji.settlement.events.v1 import account_events_pb2 as account
from kit.auth import Assertion, CallContext, Deadline, Principal, enter, uncovered
from kit.clock import FixedClock
from kit.errors import InvalidFields, Refusal
from kit.events import Envelope
from kit.grpc_server import methods_of
from kit.testing import MemoryWork
from notify.access import ACCESS, INBOX_SERVICE
from notify.channels.log import LogChannel
from notify.codec import cursor_of, page_token
from notify.memory import MemoryRepository
from notify.repository import Cursor
from notify.service import MessageService
from notify.servicer import InboxServicer
from notify.testing import AT, TEXTS, credited, subscriber
from notify.watching import Watchers

LATER = datetime(2100, 1, 1, tzinfo=UTC)


def service() -> MessageService:
    return MessageService(MemoryWork(MemoryRepository()), LogChannel(), TEXTS)


def servicer_of(inner: MessageService) -> InboxServicer:
    return InboxServicer(inner, Watchers(MemoryWork(MemoryRepository())), FixedClock(AT))


def called_by(subject: str, role: str) -> None:
    psn_no = subject.removeprefix("psn:") if subject.startswith("psn:") else None
    assertion = Assertion(subject, frozenset({role}), psn_no, "issuer", "jti", LATER)
    enter(CallContext("/method", Principal("service", "portal"), assertion, "request", Deadline(5)))


async def listed(servicer: InboxServicer, **fields: object) -> inbox_pb2.ListMessagesResponse:
    return await servicer.ListMessages(inbox_pb2.ListMessagesRequest(psn_no="1001", **fields), None)  # type: ignore[arg-type]


def test_every_method_is_in_the_access_table() -> None:
    assert uncovered(methods_of(INBOX_SERVICE), ACCESS) == set()


@pytest.mark.parametrize("role", ["handler", "decider", "operator"])
def test_clerks_who_are_no_auditors_may_not_call(role: str) -> None:
    access = ACCESS[f"/{INBOX_SERVICE}/ListMessages"]
    clerk = Assertion("clerk:wang", frozenset({role}), None, "issuer", "jti", LATER)
    with pytest.raises(Refusal, match="may not call"):
        access.check(Principal("service", "portal"), clerk)


async def test_a_person_reads_their_own_messages() -> None:
    inner = service()
    told = credited(minutes=1)
    await inner.tell([told])
    called_by("psn:1001", "citizen")
    answer = await listed(servicer_of(inner))
    (message,) = answer.messages
    assert message.category == inbox_pb2.MESSAGE_CATEGORY_BALANCE
    assert message.title == "个人账户入账提醒"
    assert message.event_id == str(told.event_id)
    assert message.occurred_at.ToDatetime(tzinfo=UTC) == told.occurred_at
    assert answer.next_page_token == ""


async def test_a_person_may_not_read_somebody_elses() -> None:
    called_by("psn:1002", "citizen")
    with pytest.raises(Refusal) as caught:
        await listed(servicer_of(service()))
    assert caught.value.reason == "FORBIDDEN"
    assert "1001" not in str(caught.value)


async def test_an_auditor_reads_anybodys_and_leaves_a_trace() -> None:
    inner = service()
    await inner.tell([credited()])
    called_by("clerk:zhao", "auditor")
    with capture_logs() as lines:
        answer = await listed(servicer_of(inner))
    assert len(answer.messages) == 1
    assert [(line["subject"], line["psn_no"]) for line in lines] == [("clerk:zhao", "1001")]


async def test_tokens_lead_through_all_pages() -> None:
    inner = service()
    await inner.tell([credited(minutes=number) for number in range(5)])
    called_by("psn:1001", "citizen")
    servicer, seen, token = servicer_of(inner), [], ""
    for _ in range(3):
        page = await listed(servicer, page_size=2, page_token=token)
        seen += [message.message_id for message in page.messages]
        token = page.next_page_token
    assert len(set(seen)) == 5
    assert token == ""


async def test_without_a_size_a_page_has_fifty() -> None:
    inner = service()
    await inner.tell([credited(minutes=number) for number in range(51)])
    called_by("psn:1001", "citizen")
    assert len((await listed(servicer_of(inner))).messages) == 50


@pytest.mark.parametrize(
    "token", ["x", "====", "MTIz", "YTpi", "-", "中", "OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk6MQ", "LTE6LTE"]
)
async def test_a_page_token_that_was_not_given_out_is_named(token: str) -> None:
    called_by("psn:1001", "citizen")
    with pytest.raises(InvalidFields) as caught:
        await listed(servicer_of(service()), page_token=token)
    assert [violation.field for violation in caught.value.violations] == ["page_token"]


def test_a_token_keeps_the_microsecond() -> None:
    cursor = Cursor(datetime(2025, 6, 10, 2, 0, 0, 123_457, tzinfo=UTC), 42)
    assert cursor_of(page_token(cursor)) == cursor


async def test_an_event_becomes_a_message_and_lines_of_the_log_without_its_body() -> None:
    inner = service()
    event = account.AccountCredited(psn_no="1001", amount_fen=12_345, balance_after_fen=99_999, contribution_id="c1")
    event.posted_at.FromDatetime(datetime(2025, 6, 10, 2, 0, tzinfo=UTC))
    envelope = Envelope(
        id=uuid4(),
        type=event.DESCRIPTOR.full_name,
        source="settlement",
        subject="1001",
        time=datetime(2025, 6, 10, 2, 0, tzinfo=UTC),
        sequence=1,
        traceparent=None,
        epoch=0,
        message=event,
        topic="account-events-v1",
        partition=0,
        offset=0,
        key="1001",
    )
    with capture_logs() as lines:
        await subscriber(inner)([envelope, envelope])
    batch, line = lines
    assert (batch["messages"], batch["titles"]) == (1, {"个人账户入账提醒": 1})
    assert (line["psn_no"], line["title"], line["event_id"]) == ("1001", "个人账户入账提醒", str(envelope.id))
    assert "123.45" not in str(lines)
    assert "999.99" not in str(lines)
    assert "¥123.45" in (await inner.read("1001", 1)).messages[0].message.notice.body
