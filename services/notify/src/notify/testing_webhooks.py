"""Builders for the tests of webhooks."""

from collections import deque
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID, uuid4

from google.protobuf.message import Message

from gongji.settlement.events.v1 import settlement_events_pb2 as settlement
from kit.db import Work
from kit.events import Envelope
from kit.ids import uuid7
from kit.topics import catalogue
from notify.domain.webhook_address import PortRange, Reach
from notify.domain.webhooks import DeliveryState, Outcome, Result, Secrets, Webhook, institution, system
from notify.testing import AT
from notify.webhooks.management import Rules
from notify.webhooks.repository import (
    Attempt,
    Bounds,
    Claimed,
    ListedAttempt,
    NewDelivery,
    NewEvent,
    WebhookRepository,
)
from notify.webhooks.signing import new_secret

HOSPITAL: Final = "H65270100001"
PHARMACY: Final = "P65270100002"
COMPLETED: Final = "gongji.settlement.events.v1.SettlementCompleted"
DEBITED: Final = "gongji.settlement.events.v1.AccountDebited"
LEASE: Final = timedelta(seconds=60)
URL: Final = "https://his.example.com/hooks"
DELIVERED: Final = Outcome(Result.DELIVERED, 204)
FAILED: Final = Outcome(Result.REFUSED, 500)
REACH: Final = Reach((PortRange(443, 443),))
RULES: Final = Rules(
    REACH,
    of_owner_max=3,
    secret_overlap=timedelta(hours=24),
    keep=timedelta(days=30),
    known_types=frozenset(name for topic in catalogue().topics.values() for name in topic.schema),
)


def webhook(owner: str = institution(HOSPITAL), *types: str, created_at: datetime = AT, url: str = URL) -> Webhook:
    """A webhook for completed settlements, if nothing else is said."""
    return Webhook(uuid7(), owner, url, frozenset(types or (COMPLETED,)), "结算系统", Secrets(new_secret()), created_at)


def records(*types: str) -> Webhook:
    """A webhook of the system of health records."""
    return webhook(system("records"), *types)


def event(minutes: int = 0, body: bytes = b'{"a":1}') -> NewEvent:
    """An event of so many minutes after AT."""
    return NewEvent(uuid4(), COMPLETED, AT + timedelta(minutes=minutes), body)


def delivery(of: Webhook, what: NewEvent | None = None, *, is_test: bool = False) -> NewDelivery:
    """An event on its way."""
    return NewDelivery(of.webhook_id, what or event(), is_test)


def completed(fixmedins_code: str = HOSPITAL, psn_no: str = "1001") -> settlement.SettlementCompleted:
    """A settlement."""
    facts = settlement.SettlementFacts(setl_id=str(uuid4()), fixmedins_code=fixmedins_code, psn_no=psn_no)
    facts.lines.add(payer_psn_no="1002", amount_fen=12_345)
    message = settlement.SettlementCompleted(settlement=facts, medfee_sumamt=12_345, acct_mulaid_pay=12_345)
    message.setl_time.FromDatetime(AT)
    return message


def envelope(message: Message, at: datetime = AT, event_id: UUID | None = None) -> Envelope:
    """An event as a consumer gets it."""
    full_name = message.DESCRIPTOR.full_name
    return Envelope(
        id=event_id or uuid4(),
        type=full_name,
        source="/gongji/settlement",
        subject="subject",
        time=at,
        sequence=None,
        traceparent=None,
        epoch=1,
        message=message,
        topic=catalogue().topic_of(full_name).name,
        partition=0,
        offset=0,
        key="key",
    )


async def kept(hooks: Work[WebhookRepository], *webhooks: Webhook) -> None:
    """These webhooks are there."""
    async with hooks() as repository:
        for one in webhooks:
            await repository.add(one)


async def queued(hooks: Work[WebhookRepository], *deliveries: NewDelivery, now: datetime = AT) -> int:
    """These are queued; how many were new."""
    async with hooks() as repository:
        return await repository.queue(deliveries, now)


async def claimed(
    hooks: Work[WebhookRepository],
    now: datetime = AT,
    *,
    limit: int = 10,
    each: int = 10,
    of_owner: int = 100,
    lease: timedelta = LEASE,
) -> list[Claimed]:
    """What can be claimed."""
    async with hooks() as repository:
        return await repository.claim(now, Bounds(limit, each, of_owner), lease)


def made(of: Claimed, at: datetime = AT, *, fails: bool = False) -> Attempt:
    """An attempt of what was claimed."""
    outcome = FAILED if fails else DELIVERED
    return Attempt(uuid7(), of.webhook.webhook_id, of.event_id, at, outcome, 12)


async def finished(
    hooks: Work[WebhookRepository],
    of: Claimed,
    state: DeliveryState = DeliveryState.DELIVERED,
    next_at: datetime | None = None,
    attempt: Attempt | None = None,
) -> bool:
    """What was claimed ended so; whether it was still ours."""
    async with hooks() as repository:
        fails = state is not DeliveryState.DELIVERED
        return await repository.finish(attempt or made(of, fails=fails), of.attempts, state, next_at)


async def attempts(hooks: Work[WebhookRepository], webhook_id: UUID) -> list[ListedAttempt]:
    """What was tried."""
    async with hooks() as repository:
        return await repository.attempts(webhook_id, 100)


def ids(found: Sequence[Claimed]) -> set[UUID]:
    """Of which events."""
    return {one.event_id for one in found}


class ScriptedClient:
    """Keeps what it is given to send; answers what it was told to, in turn, then `otherwise`."""

    def __init__(self, otherwise: Outcome = DELIVERED) -> None:
        self.otherwise = otherwise
        self.answers: deque[Outcome | Exception] = deque()
        self.sent: list[tuple[str, Mapping[str, str], bytes]] = []

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Outcome:
        """See `notify.webhooks.client.Client`."""
        self.sent.append((url, headers, body))
        answer = self.answers.popleft() if self.answers else self.otherwise
        if isinstance(answer, Exception):
            raise answer
        return answer

    @property
    def ids(self) -> list[str]:
        """The events that were sent, in this order."""
        return [headers["webhook-id"] for _, headers, _ in self.sent]
