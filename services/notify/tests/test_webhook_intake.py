"""From events to what is queued for webhooks, and what a request says."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest

from gongji.identity.events.v1 import events_pb2 as identity
from gongji.identity.v1 import institution_pb2
from gongji.notify.events.v1 import webhook_events_pb2
from gongji.settlement.events.v1 import account_events_pb2 as account
from gongji.settlement.events.v1 import premium_events_pb2 as premium
from gongji.settlement.events.v1 import settlement_events_pb2 as settlement
from kit.clock import FixedClock
from kit.events import Envelope
from kit.health import Health
from kit.kafka import PATIENT, KafkaAddress
from kit.testing import MemoryWork
from kit.topics import catalogue
from notify.domain.webhooks import SEALED, State, Webhook, institution, system
from notify.testing import AT
from notify.testing_webhooks import COMPLETED, DEBITED, HOSPITAL, PHARMACY, completed, envelope, records, webhook
from notify.webhooks.bodies import body_of, owner_of, trial_body
from notify.webhooks.intake import CONSUMER, TOPICS, Intake
from notify.webhooks.memory import MemoryWebhooks
from notify.webhooks.parts import consumer_of


class Rig:
    """The intake on a repository in memory."""

    def __init__(self, *webhooks: Webhook) -> None:
        self.repository = MemoryWebhooks()
        self.repository.webhooks.update({one.webhook_id: one for one in webhooks})
        self.queued = asyncio.Event()
        work: MemoryWork[Any] = MemoryWork(self.repository)
        self.clock = FixedClock(AT)
        self.take = Intake(work, self.clock, timedelta(days=30), self.queued)

    def of(self, owner: Webhook) -> list[str]:
        """The ids of the events that are queued for a webhook."""
        return [str(event_id) for webhook_id, event_id in self.repository.deliveries if webhook_id == owner.webhook_id]


async def test_each_institution_gets_its_own_settlements() -> None:
    hospital, pharmacy = webhook(), webhook(institution(PHARMACY))
    rig = Rig(hospital, pharmacy)
    ours, theirs = envelope(completed(HOSPITAL)), envelope(completed(PHARMACY))
    await rig.take([ours, theirs])
    assert rig.of(hospital) == [str(ours.id)]
    assert rig.of(pharmacy) == [str(theirs.id)]
    assert rig.queued.is_set()


async def test_an_event_that_comes_again_and_again_is_queued_once() -> None:
    ours = webhook()
    rig = Rig(ours)
    event = envelope(completed())
    await rig.take([event, event])
    await rig.take([event])
    assert rig.of(ours) == [str(event.id)]


async def test_what_nobody_wants_leaves_no_trace() -> None:
    rig = Rig(records(DEBITED))
    await rig.take([envelope(completed())])
    assert rig.repository.deliveries == {}
    assert not rig.queued.is_set()


async def test_what_is_older_than_deliveries_are_kept_is_not_sent_again_when_a_topic_is_read_from_its_beginning() -> (
    None
):
    old = webhook(created_at=AT - timedelta(days=90))
    rig = Rig(old)
    event = envelope(completed(), AT - timedelta(days=30))
    await rig.take([event])
    assert rig.of(old) == []
    young = envelope(completed(), AT - timedelta(days=29))
    await rig.take([young])
    assert rig.of(old) == [str(young.id)]


async def test_what_comes_while_a_webhook_is_paused_is_kept_for_it() -> None:
    paused = webhook().turned(State.PAUSED)
    rig = Rig(paused)
    await rig.take([envelope(completed())])
    assert len(rig.of(paused)) == 1


async def test_a_system_can_hear_of_webhooks_that_were_switched_off() -> None:
    ours = records("gongji.notify.events.v1.WebhookSwitchedOff")
    rig = Rig(ours)
    await rig.take([envelope(webhook_events_pb2.WebhookSwitchedOff(owner=institution(HOSPITAL)))])
    assert len(rig.of(ours)) == 1


async def test_an_institution_hears_that_one_of_its_own_webhooks_was_switched_off_and_of_nobody_elses() -> None:
    ours = webhook(institution(HOSPITAL), "gongji.notify.events.v1.WebhookSwitchedOff")
    theirs = webhook(institution(PHARMACY), "gongji.notify.events.v1.WebhookSwitchedOff")
    rig = Rig(ours, theirs)
    own = envelope(webhook_events_pb2.WebhookSwitchedOff(owner=institution(HOSPITAL)))
    await rig.take([own, envelope(webhook_events_pb2.WebhookSwitchedOff(owner=system("records")))])
    assert rig.of(ours) == [str(own.id)]
    assert rig.of(theirs) == []


async def test_an_event_that_an_operator_dropped_is_not_sent_after_all() -> None:
    ours = webhook()
    rig = Rig(ours)
    dropped, other = envelope(completed()), envelope(completed())
    await rig.repository.inbox.first_time(CONSUMER, [dropped.id])
    await rig.take([dropped, other])
    assert rig.of(ours) == [str(other.id)]


async def test_whoever_drops_an_event_is_told_whether_it_was_queued_before() -> None:
    rig = Rig(webhook())
    wanted, unwanted = envelope(completed(HOSPITAL)), envelope(completed(PHARMACY))
    await rig.take([wanted, unwanted])
    assert await rig.repository.inbox.first_time(CONSUMER, [wanted.id, unwanted.id]) == {unwanted.id}


async def test_an_event_that_is_deleted_with_its_deliveries_is_not_queued_anew() -> None:
    ours = webhook()
    rig = Rig(ours)
    event = envelope(completed())
    await rig.take([event])
    rig.repository.deliveries.clear()
    await rig.take([event])
    assert rig.of(ours) == []


def changed(suspended: bool, sequence: int, epoch: int = 1) -> Envelope:  # noqa: FBT001 - what it is about
    institution_now = institution_pb2.Institution(fixmedins_code=HOSPITAL, suspended=suspended)
    message = identity.InstitutionChanged(institution=institution_now, sequence=sequence)
    return envelope(message, AT - timedelta(days=90))._replace(epoch=epoch)


async def test_who_is_suspended_is_learned_however_old_it_is_and_whether_or_not_anybody_wants_to_hear_it() -> None:
    rig = Rig()
    await rig.take([changed(suspended=False, sequence=1), changed(suspended=True, sequence=2)])
    assert rig.repository.standings[HOSPITAL].suspended
    await rig.take([changed(suspended=False, sequence=1)])
    assert rig.repository.standings[HOSPITAL].suspended
    await rig.take([changed(suspended=False, sequence=2, epoch=2)])
    assert not rig.repository.standings[HOSPITAL].suspended


async def test_a_code_is_never_queued_whatever_a_row_says() -> None:
    rig = Rig(records(*SEALED))
    await rig.take([envelope(identity.VerificationCodeIssued(psn_no="1001"))])
    assert rig.repository.deliveries == {}


def test_the_body_is_a_cloud_event_with_the_names_of_the_contract() -> None:
    event = envelope(completed())
    said = json.loads(body_of(event))
    assert {name: said[name] for name in ("specversion", "id", "type", "source", "subject")} == {
        "specversion": "1.0",
        "id": str(event.id),
        "type": COMPLETED,
        "source": "/gongji/settlement",
        "subject": "subject",
    }
    assert said["time"] == said["timestamp"] == "2025-06-10T02:00:00Z"
    data = said["data"]
    assert data["settlement"]["lines"] == [{"relation_id": "", "payer_psn_no": "1002", "amount_fen": "12345"}]
    assert data["acct_mulaid_pay"] == "12345"
    # What is zero or empty is there, too: a receiver need not know the contract to find the field.
    assert (data["psn_cash_pay"], data["replaces"]) == ("0", "")
    assert "sequence" not in said


def test_the_epoch_is_said_so_that_a_receiver_notices_a_restore_from_backup() -> None:
    event = envelope(account.AccountDebited(psn_no="1001", sequence=7))._replace(sequence=7, epoch=3)
    assert json.loads(body_of(event))["epoch"] == "3"


def test_a_sequence_is_said_where_there_is_one() -> None:
    event = envelope(account.AccountDebited(psn_no="1001", sequence=7))._replace(sequence=7)
    assert json.loads(body_of(event))["sequence"] == "7"


def test_a_test_says_what_it_is() -> None:
    ours, event = webhook(), envelope(completed())
    said = json.loads(trial_body(event.id, ours.webhook_id, AT))
    assert said["type"] == "gongji.notify.v1.WebhookTest"
    assert said["data"] == {"webhook_id": str(ours.webhook_id)}


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (completed(PHARMACY), institution(PHARMACY)),
        (account.AccountDebited(fixmedins_code=HOSPITAL), institution(HOSPITAL)),
        (account.AccountFrozen(), ""),
        (
            identity.InstitutionChanged(institution=institution_pb2.Institution(fixmedins_code=HOSPITAL)),
            institution(HOSPITAL),
        ),
        (premium.PremiumPaid(settlement=settlement.SettlementFacts(fixmedins_code="PREMIUM")), "institution/PREMIUM"),
        (identity.PersonDied(psn_no="1001"), ""),
        (webhook_events_pb2.WebhookSwitchedOff(owner=institution(HOSPITAL)), institution(HOSPITAL)),
        (webhook_events_pb2.WebhookSwitchedOff(owner=system("records")), "system/records"),
    ],
)
def test_whom_an_event_concerns_is_found(message: Any, expected: str) -> None:
    assert owner_of(message) == expected


def test_events_that_mostly_nobody_wants_are_polled_for_seldom() -> None:
    consumer = consumer_of(KafkaAddress("127.0.0.1:1"), Rig().take, Health())
    (subscriber,) = consumer.broker.subscribers
    assert getattr(subscriber, "group_id", None) == CONSUMER
    assert getattr(subscriber, "batch_timeout_ms", None) == PATIENT.batch_timeout_ms
    assert getattr(subscriber, "_connection_args", {})["fetch_max_wait_ms"] == PATIENT.fetch_max_wait_ms


def test_every_topic_that_is_read_says_so() -> None:
    assert {topic.name for topic in catalogue().topics.values() if CONSUMER in topic.consumers} == set(TOPICS)
