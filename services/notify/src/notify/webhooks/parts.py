"""What webhooks are made of, put together; `notify.main` adds it to the process."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Final

from gongji.notify.v1.webhook_pb2_grpc import add_WebhookServiceServicer_to_server
from kit.clock import SystemClock, clock_from
from kit.crypto import KeyRing
from kit.db import Database, PostgresWork, Transaction
from kit.grpc_server import Service
from kit.health import Health
from kit.kafka import PATIENT, Consumer, Handler, KafkaSettings
from kit.lifecycle import Application
from kit.scheduler import Job
from kit.suspended import SuspendedInstitutions
from kit.topics import catalogue
from notify.access import WEBHOOK_SERVICE
from notify.config import ReplaySettings, Settings
from notify.webhooks.client import HttpClient
from notify.webhooks.intake import CONSUMER, TOPICS, Intake
from notify.webhooks.management import Rules, Webhooks
from notify.webhooks.postgres import PostgresWebhooks, StoredSuspensions
from notify.webhooks.repository import WebhookRepository
from notify.webhooks.sending import Pace, Sending
from notify.webhooks.servicer import WebhookServicer
from notify.webhooks.settings import WebhookSettings

JOBS_EVERY_SECONDS: Final = 60.0
BATCH: Final = 1_000


@dataclass(frozen=True, slots=True)
class Parts:
    """Webhooks without their surroundings."""

    management: Webhooks
    sending: Sending
    client: HttpClient
    consumer: Consumer
    suspended: SuspendedInstitutions
    """Keeps the door; only webhooks are an institution's here."""

    @property
    def services(self) -> Sequence[Service]:
        """What serves calls."""
        return [(add_WebhookServiceServicer_to_server, WebhookServicer(self.management), WEBHOOK_SERVICE)]

    @property
    def jobs(self) -> Sequence[Job]:
        """What becomes due."""
        work = {
            "give-up-webhook-deliveries": self.management.give_up,
            "forget-webhook-events": self.management.forget,
            "clear-removed-webhooks": self.management.clear,
        }
        return [Job(name, JOBS_EVERY_SECONDS, partial(batch, BATCH)) for name, batch in work.items()]

    def add_to(self, application: Application) -> None:
        """Have the process take in events and send them, and know who is refused before it serves."""
        application.add("webhook client", self.client.start, self.client.stop)
        application.background("webhooks", self.sending.run)
        application.add("webhook consumer", self.consumer.start, self.consumer.stop, stop_timeout_seconds=30.0)
        application.add("suspended institutions", self.suspended.refresh, None)
        application.background("suspended institutions again", self.suspended.run)


def assemble(settings: Settings, database: Database, health: Health) -> Parts:
    """Webhooks on the service's database."""
    work = webhook_work(database, KeyRing.load(settings.keyring_file))
    clock, queued = clock_from(settings), asyncio.Event()
    client = HttpClient(
        settings.webhook_reach,
        settings.webhook_timeout_seconds,
        settings.webhook_concurrency,
        SystemClock(),
        settings.webhook_ca_file,
    )
    intake = intake_of(settings, database, queued)
    return Parts(
        Webhooks(work, clock, rules_of(settings), queued),
        Sending(work, client, clock, SystemClock(), pace=pace_of(settings), queued=queued),
        client,
        consumer_of(settings, intake, health),
        SuspendedInstitutions(StoredSuspensions(database)),
    )


def consumer_of(settings: KafkaSettings, handler: Handler, health: Health) -> Consumer:
    """The consumer group. It reads every event, and nobody wants most: it is to cost little, not to be quick."""
    return Consumer(settings, TOPICS, CONSUMER, handler, health=health, tuning=PATIENT)


def intake_of(settings: ReplaySettings, database: Database, queued: asyncio.Event | None = None) -> Intake:
    """What the events of the consumer group are given to; also those that had failed."""
    work = webhook_work(database, KeyRing.load(settings.keyring_file))
    return Intake(work, clock_from(settings), settings.webhook_keep, queued or asyncio.Event())


def webhook_work(database: Database, keyring: KeyRing) -> PostgresWork[WebhookRepository]:
    """Units of work on the database."""

    def repository(transaction: Transaction) -> WebhookRepository:
        return PostgresWebhooks(transaction, keyring)

    return PostgresWork(database, repository)


def rules_of(settings: WebhookSettings) -> Rules:
    """What the region allows."""
    return Rules(
        settings.webhook_reach,
        settings.webhooks_of_owner_max,
        settings.webhook_secret_overlap,
        settings.webhook_keep,
        frozenset(name for topic in TOPICS for name in catalogue().topic(topic).schema),
    )


def pace_of(settings: WebhookSettings) -> Pace:
    """How much is sent at once."""
    timeout = timedelta(seconds=settings.webhook_timeout_seconds)
    return Pace(
        settings.webhook_concurrency, settings.webhook_concurrency_each, settings.webhook_concurrency_owner, timeout
    )
