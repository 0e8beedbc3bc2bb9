"""What owners do with their webhooks, and what strangers, operators and auditors cannot."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from standardwebhooks import Webhook as Verifier

from gongji.notify.v1 import webhook_pb2 as pb
from kit.auth import Assertion, CallContext, Deadline, Principal, enter, uncovered
from kit.clock import FixedClock
from kit.errors import InvalidFields, Refusal, table
from kit.grpc_server import methods_of
from kit.ids import uuid7
from kit.testing import MemoryWork
from notify.access import ACCESS, WEBHOOK_SERVICE
from notify.domain.webhook_address import AddressRefused
from notify.domain.webhooks import DeliveryState, Health, OffReason, State
from notify.testing import AT
from notify.testing_webhooks import (
    COMPLETED,
    DEBITED,
    DELIVERED,
    FAILED,
    HOSPITAL,
    PHARMACY,
    RULES,
    URL,
    delivery,
    event,
)
from notify.webhooks.management import Webhooks
from notify.webhooks.memory import MemoryWebhooks
from notify.webhooks.repository import Attempt, Bounds
from notify.webhooks.servicer import WebhookServicer

LATER: Final = datetime(2100, 1, 1, tzinfo=UTC)
HIS: Final = Principal("institution", HOSPITAL)
STRANGER: Final = Principal("institution", PHARMACY)
OPERATOR: Final = Principal("service", "operator")
PORTAL: Final = Principal("service", "portal")


def call_as(principal: Principal, role: str = "") -> None:
    assertion = Assertion("clerk:wang", frozenset({role}), None, "issuer", "jti", LATER) if role else None
    enter(CallContext("/method", principal, assertion, "request", Deadline(5)))


class Rig:
    """The service on a repository in memory; it is the hospital that calls, until somebody else does."""

    def __init__(self) -> None:
        self.repository = MemoryWebhooks()
        self.work: MemoryWork[Any] = MemoryWork(self.repository)
        self.clock = FixedClock(AT)
        self.queued = asyncio.Event()
        self.service = WebhookServicer(Webhooks(self.work, self.clock, RULES, self.queued))
        call_as(HIS)

    async def created(self, **fields: Any) -> pb.CreateWebhookResponse:
        request = {"url": URL, "event_types": [COMPLETED], "description": "结算", **fields}
        return await self.service.CreateWebhook(pb.CreateWebhookRequest(**request), None)

    async def listed(self, **fields: Any) -> list[str]:
        answer = await self.service.ListWebhooks(pb.ListWebhooksRequest(**fields), None)
        return [webhook.webhook_id for webhook in answer.webhooks]

    async def updated(self, webhook_id: str, **fields: Any) -> pb.Webhook:
        request = {"url": URL, "event_types": [COMPLETED], "state": pb.WEBHOOK_STATE_ACTIVE, **fields}
        return (
            await self.service.UpdateWebhook(pb.UpdateWebhookRequest(webhook_id=webhook_id, **request), None)
        ).webhook

    async def every_call_about(self, webhook_id: str) -> dict[str, str]:
        """What each method that names a webhook is refused with; empty where it is not."""
        since, before = stamp(AT), stamp(AT + timedelta(days=1))
        wishes = {"url": URL, "event_types": [COMPLETED], "state": pb.WEBHOOK_STATE_ACTIVE}
        service, told = self.service, {}
        calls: list[tuple[Any, Any]] = [
            (service.UpdateWebhook, pb.UpdateWebhookRequest(webhook_id=webhook_id, **wishes)),  # type: ignore[arg-type]
            (service.RotateSecret, pb.RotateSecretRequest(webhook_id=webhook_id)),
            (service.TestWebhook, pb.TestWebhookRequest(webhook_id=webhook_id)),
            (
                service.ReplayEvents,
                pb.ReplayEventsRequest(webhook_id=webhook_id, occurred_from=since, occurred_before=before),
            ),
            (service.ListAttempts, pb.ListAttemptsRequest(webhook_id=webhook_id)),
            (service.DeleteWebhook, pb.DeleteWebhookRequest(webhook_id=webhook_id)),
        ]
        for method, request in calls:
            try:
                await method(request, None)
            except Refusal as refused:
                told[method.__name__] = refused.reason
        return told


def stamp(at: datetime) -> Timestamp:
    made = Timestamp()
    made.FromDatetime(at)
    return made


def test_every_method_is_in_the_access_table() -> None:
    assert uncovered(methods_of(WEBHOOK_SERVICE), ACCESS) == set()


@pytest.mark.parametrize("role", ["citizen", "handler", "decider", "auditor"])
@pytest.mark.parametrize("method", sorted(methods_of(WEBHOOK_SERVICE)))
def test_families_and_clerks_have_no_webhooks_and_an_auditor_looks_only(method: str, role: str) -> None:
    person = Assertion("clerk:wang", frozenset({role}), None, "issuer", "jti", LATER)
    if role == "auditor" and method.endswith(("/ListWebhooks", "/ListAttempts")):
        ACCESS[method].check(PORTAL, person)
    else:
        with pytest.raises(Refusal, match="may not call"):
            ACCESS[method].check(PORTAL, person)


async def test_an_institution_makes_a_webhook_of_its_own_and_is_told_its_secret_once() -> None:
    rig = Rig()
    answer = await rig.created()
    assert answer.webhook.owner == f"institution/{HOSPITAL}"
    assert answer.webhook.state == pb.WEBHOOK_STATE_ACTIVE
    assert answer.webhook.created_at.ToDatetime(tzinfo=UTC) == AT
    assert answer.secret.startswith("whsec_")
    Verifier(answer.secret)
    assert answer.secret not in str(await rig.service.ListWebhooks(pb.ListWebhooksRequest(), None))


async def test_no_two_webhooks_share_a_secret() -> None:
    rig = Rig()
    assert (await rig.created()).secret != (await rig.created()).secret


async def failing(rig: Rig, created: pb.CreateWebhookResponse) -> UUID:
    """The event that waits for hours at a webhook that rests."""
    (one,) = rig.repository.webhooks.values()
    what = event()
    await rig.repository.queue([delivery(one, what)], AT)
    (claim,) = await rig.repository.claim(AT, Bounds(10, 10, 10), timedelta(seconds=60))
    attempt = Attempt(uuid7(), one.webhook_id, what.event_id, AT, FAILED, 5)
    await rig.repository.finish(attempt, claim.attempts, DeliveryState.QUEUED, AT + timedelta(hours=8))
    await rig.repository.save(replace(one, health=Health(AT, 9, AT + timedelta(minutes=10))))
    assert created.webhook.webhook_id == str(one.webhook_id)
    return what.event_id


@pytest.mark.parametrize("changed", [{}, {"url": "https://new.example.com/"}])
async def test_an_owner_who_has_mended_the_receiver_need_not_wait(changed: dict[str, str]) -> None:
    rig = Rig()
    created = await rig.created()
    waiting = await failing(rig, created)
    rig.queued.clear()
    assert not (await rig.updated(created.webhook.webhook_id, **changed)).HasField("failing_since")
    assert rig.queued.is_set()
    due = await rig.repository.claim(AT, Bounds(10, 10, 10), timedelta(seconds=60))
    assert [claim.event_id for claim in due] == [waiting]


async def test_what_waits_at_a_webhook_that_is_paused_goes_on_waiting() -> None:
    rig = Rig()
    created = await rig.created()
    await failing(rig, created)
    await rig.updated(created.webhook.webhook_id, state=pb.WEBHOOK_STATE_PAUSED)
    assert await rig.repository.claim(AT, Bounds(10, 10, 10), timedelta(seconds=60)) == []
    assert [one.next_at for one in rig.repository.deliveries.values()] == [AT + timedelta(hours=8)]


async def test_an_institution_cannot_make_one_for_somebody_else() -> None:
    with pytest.raises(Refusal) as refused:
        await Rig().created(system="records")
    assert refused.value.reason == "FORBIDDEN"


async def test_an_operator_makes_webhooks_of_systems_and_has_to_name_one() -> None:
    rig = Rig()
    for principal, role in ((OPERATOR, ""), (PORTAL, "operator")):
        call_as(principal, role)
        answer = await rig.created(system="records", event_types=[DEBITED])
        assert answer.webhook.owner == "system/records"
        with pytest.raises(InvalidFields) as missing:
            await rig.created(event_types=[DEBITED])
        assert [violation.field for violation in missing.value.violations] == ["system"]


@pytest.mark.parametrize(
    "types",
    [
        [DEBITED],
        [COMPLETED, "gongji.settlement.events.v1.Nothing"],
        ["gongji.identity.events.v1.PersonDied"],
        ["gongji.identity.events.v1.VerificationCodeIssued"],
    ],
)
async def test_an_institution_cannot_have_events_that_are_not_about_it(types: list[str]) -> None:
    rig = Rig()
    with pytest.raises(InvalidFields) as refused:
        await rig.created(event_types=types)
    assert [violation.field for violation in refused.value.violations] == ["event_types"]
    webhook_id = (await rig.created()).webhook.webhook_id
    with pytest.raises(InvalidFields):
        await rig.updated(webhook_id, event_types=types)


async def test_an_operator_cannot_have_codes_sent_anywhere() -> None:
    rig = Rig()
    call_as(OPERATOR)
    with pytest.raises(InvalidFields):
        await rig.created(system="records", event_types=["gongji.identity.events.v1.VerificationCodeIssued"])


@pytest.mark.parametrize("url", ["http://his.example.com/", "https://127.0.0.1/", "https://his.example.com:22/"])
async def test_an_address_that_leads_where_it_must_not_is_refused(url: str) -> None:
    rig = Rig()
    with pytest.raises(AddressRefused):
        await rig.created(url=url)
    webhook_id = (await rig.created()).webhook.webhook_id
    with pytest.raises(AddressRefused):
        await rig.updated(webhook_id, url=url)
    assert len(rig.repository.webhooks) == 1


def test_the_refusals_are_of_the_vocabulary() -> None:
    assert {"ADDRESS_REFUSED", "TOO_MANY_WEBHOOKS"} <= set(table())


async def test_an_owner_has_no_more_webhooks_than_the_region_allows() -> None:
    rig = Rig()
    made = [(await rig.created()).webhook.webhook_id for _ in range(RULES.of_owner_max)]
    with pytest.raises(Refusal) as refused:
        await rig.created()
    assert refused.value.reason == "TOO_MANY_WEBHOOKS"
    await rig.service.DeleteWebhook(pb.DeleteWebhookRequest(webhook_id=made[0]), None)
    await rig.created()
    call_as(STRANGER)
    await rig.created()


async def test_an_institution_sees_its_own_webhooks_and_nobody_elses() -> None:
    rig = Rig()
    ours = (await rig.created()).webhook.webhook_id
    call_as(STRANGER)
    theirs = (await rig.created()).webhook.webhook_id
    assert await rig.listed() == [theirs]
    assert await rig.listed(owner=f"institution/{HOSPITAL}") == []
    for principal, role in ((OPERATOR, ""), (PORTAL, "operator"), (PORTAL, "auditor")):
        call_as(principal, role)
        assert await rig.listed() == [ours, theirs]
        assert await rig.listed(owner=f"institution/{HOSPITAL}") == [ours]


async def test_to_a_stranger_a_webhook_is_not_there_and_stays_as_it_was() -> None:
    rig = Rig()
    webhook_id = (await rig.created()).webhook.webhook_id
    before = dict(rig.repository.webhooks)
    call_as(STRANGER)
    told = await rig.every_call_about(webhook_id)
    assert told == dict.fromkeys(told, "NOT_FOUND")
    assert len(told) == 6
    assert await rig.every_call_about(str(uuid4())) == told
    assert rig.repository.webhooks == before
    assert rig.repository.deliveries == {}


async def test_an_operator_may_look_at_an_institutions_webhook_and_remove_it_but_not_lead_it_elsewhere() -> None:
    rig = Rig()
    webhook_id = (await rig.created()).webhook.webhook_id
    call_as(OPERATOR)
    told = await rig.every_call_about(webhook_id)
    assert told == dict.fromkeys(("UpdateWebhook", "RotateSecret", "TestWebhook", "ReplayEvents"), "FORBIDDEN")
    assert await rig.listed() == []


async def test_an_auditor_changes_nothing() -> None:
    rig = Rig()
    webhook_id = (await rig.created()).webhook.webhook_id
    call_as(PORTAL, "auditor")
    told = await rig.every_call_about(webhook_id)
    assert told == dict.fromkeys(
        ("UpdateWebhook", "RotateSecret", "TestWebhook", "ReplayEvents", "DeleteWebhook"), "FORBIDDEN"
    )


async def test_its_owner_may_do_everything_with_a_webhook() -> None:
    rig = Rig()
    assert await rig.every_call_about((await rig.created()).webhook.webhook_id) == {}


async def test_pages_lead_through_all_webhooks() -> None:
    rig = Rig()
    made = [(await rig.created()).webhook.webhook_id for _ in range(3)]
    first = await rig.service.ListWebhooks(pb.ListWebhooksRequest(page_size=2), None)
    second = await rig.service.ListWebhooks(pb.ListWebhooksRequest(page_size=2, page_token=first.next_page_token), None)
    assert [webhook.webhook_id for webhook in (*first.webhooks, *second.webhooks)] == made
    assert second.next_page_token == ""


@pytest.mark.parametrize("token", ["x", "====", "AAAA", "中", "AAAAAAAAAAAAAAAAAAAAAAAAAAAA"])
async def test_a_page_token_that_was_not_given_out_is_named(token: str) -> None:
    rig = Rig()
    webhook_id = (await rig.created()).webhook.webhook_id
    for call in (
        rig.service.ListWebhooks(pb.ListWebhooksRequest(page_token=token), None),
        rig.service.ListAttempts(pb.ListAttemptsRequest(webhook_id=webhook_id, page_token=token), None),
    ):
        with pytest.raises(InvalidFields) as refused:
            await call
        assert [violation.field for violation in refused.value.violations] == ["page_token"]


async def test_what_was_switched_off_shows_why_and_begins_anew_when_it_goes_on() -> None:
    rig = Rig()
    webhook_id = (await rig.created()).webhook.webhook_id
    (kept,) = rig.repository.webhooks.values()
    off = replace(kept, health=Health(AT, 9, AT)).switched_off(OffReason.LASTING_FAILURE)
    rig.repository.webhooks[kept.webhook_id] = off
    (shown,) = (await rig.service.ListWebhooks(pb.ListWebhooksRequest(), None)).webhooks
    assert shown.state == pb.WEBHOOK_STATE_OFF
    assert shown.off_reason == pb.WEBHOOK_OFF_REASON_LASTING_FAILURE
    assert shown.failing_since.ToDatetime(tzinfo=UTC) == AT
    again = await rig.updated(webhook_id)
    assert (again.state, again.off_reason) == (pb.WEBHOOK_STATE_ACTIVE, pb.WEBHOOK_OFF_REASON_UNSPECIFIED)
    assert not again.HasField("failing_since")
    assert rig.queued.is_set()


async def test_a_new_secret_leaves_the_one_before_valid_for_a_day() -> None:
    rig = Rig()
    made = await rig.created()
    answer = await rig.service.RotateSecret(pb.RotateSecretRequest(webhook_id=made.webhook.webhook_id), None)
    assert answer.secret != made.secret
    assert answer.previous_secret_until.ToDatetime(tzinfo=UTC) == AT + timedelta(hours=24)
    (kept,) = rig.repository.webhooks.values()
    assert kept.secrets.valid(AT) == (answer.secret, made.secret)


async def test_a_test_is_queued_also_for_a_webhook_that_is_paused() -> None:
    rig = Rig()
    webhook_id = (await rig.created()).webhook.webhook_id
    await rig.updated(webhook_id, state=pb.WEBHOOK_STATE_PAUSED)
    answer = await rig.service.TestWebhook(pb.TestWebhookRequest(webhook_id=webhook_id), None)
    ((_, event_id),) = rig.repository.deliveries
    assert answer.event_id == str(event_id)
    assert rig.queued.is_set()


async def test_a_replay_queues_what_was_given_up_and_needs_a_webhook_that_sends() -> None:
    rig = Rig()
    webhook_id = (await rig.created()).webhook.webhook_id
    (kept,) = rig.repository.webhooks.values()
    await rig.repository.queue([delivery(kept, event(1)), delivery(kept, event(2))], AT)
    for claim in await rig.repository.claim(AT, Bounds(10, 10, 10), timedelta(seconds=60)):
        attempt = Attempt(uuid7(), kept.webhook_id, claim.event_id, AT, FAILED, 5)
        await rig.repository.finish(attempt, claim.attempts, DeliveryState.GIVEN_UP, None)
    request = pb.ReplayEventsRequest(
        webhook_id=webhook_id, occurred_from=stamp(AT), occurred_before=stamp(AT + timedelta(minutes=2))
    )
    await rig.updated(webhook_id, state=pb.WEBHOOK_STATE_PAUSED)
    with pytest.raises(Refusal) as refused:
        await rig.service.ReplayEvents(request, None)
    assert (refused.value.reason, refused.value.metadata["state"]) == ("STATE_FORBIDS", "PAUSED")
    await rig.updated(webhook_id)
    answer = await rig.service.ReplayEvents(request, None)
    assert answer.events == 1
    assert not answer.HasField("rest_from")
    assert {one.state for one in rig.repository.deliveries.values()} == {DeliveryState.QUEUED, DeliveryState.GIVEN_UP}


async def test_a_replay_of_no_time_is_refused() -> None:
    rig = Rig()
    webhook_id = (await rig.created()).webhook.webhook_id
    request = pb.ReplayEventsRequest(webhook_id=webhook_id, occurred_from=stamp(AT), occurred_before=stamp(AT))
    with pytest.raises(InvalidFields) as refused:
        await rig.service.ReplayEvents(request, None)
    assert [violation.field for violation in refused.value.violations] == ["occurred_before"]


async def test_attempts_are_listed_without_content() -> None:
    rig = Rig()
    webhook_id = (await rig.created()).webhook.webhook_id
    (kept,) = rig.repository.webhooks.values()
    await rig.repository.queue([delivery(kept) for _ in range(3)], AT)
    next_at = AT + timedelta(seconds=5)
    for place, claim in enumerate(await rig.repository.claim(AT, Bounds(10, 10, 10), timedelta(seconds=60))):
        outcome = DELIVERED if place else FAILED
        state = DeliveryState.DELIVERED if place else DeliveryState.QUEUED
        attempt = Attempt(uuid7(), kept.webhook_id, claim.event_id, AT, outcome, 5)
        await rig.repository.finish(attempt, claim.attempts, state, None if place else next_at)
    found: list[pb.Attempt] = []
    token = ""
    for _ in range(2):
        page = await rig.service.ListAttempts(
            pb.ListAttemptsRequest(webhook_id=webhook_id, page_size=2, page_token=token), None
        )
        found += page.attempts
        token = page.next_page_token
    assert [(one.outcome, one.status) for one in found] == [
        (pb.ATTEMPT_OUTCOME_DELIVERED, 204),
        (pb.ATTEMPT_OUTCOME_DELIVERED, 204),
        (pb.ATTEMPT_OUTCOME_REFUSED, 500),
    ]
    failed = await rig.service.ListAttempts(pb.ListAttemptsRequest(webhook_id=webhook_id, failed_only=True), None)
    (one,) = failed.attempts
    assert (one.event_type, one.duration_ms) == (COMPLETED, 5)
    assert one.state == pb.WEBHOOK_DELIVERY_STATE_QUEUED
    assert one.next_attempt_at.ToDatetime(tzinfo=UTC) == next_at
    only = await rig.service.ListAttempts(pb.ListAttemptsRequest(webhook_id=webhook_id, event_id=one.event_id), None)
    assert [attempt.event_id for attempt in only.attempts] == [one.event_id]


async def test_what_is_left_of_webhooks_is_cleared_away_by_jobs() -> None:
    rig = Rig()
    webhook_id = (await rig.created()).webhook.webhook_id
    (kept,) = rig.repository.webhooks.values()
    await rig.repository.queue([delivery(kept)], AT)
    webhooks = rig.service._webhooks
    await rig.updated(webhook_id, state=pb.WEBHOOK_STATE_PAUSED)
    assert await webhooks.give_up(10) == 0
    rig.clock.advance(timedelta(hours=24))
    assert await webhooks.give_up(10) == 1
    assert await webhooks.forget(10) == 0
    rig.clock.advance(timedelta(days=30))
    assert await webhooks.forget(10) == 1
    await rig.service.DeleteWebhook(pb.DeleteWebhookRequest(webhook_id=webhook_id), None)
    assert next(iter(rig.repository.webhooks.values())).state is State.REMOVED
    assert await webhooks.clear(10) == 1
    assert rig.repository.webhooks == {}
