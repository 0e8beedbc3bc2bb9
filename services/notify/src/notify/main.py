"""The one place where notify is put together."""

import os
import socket
from collections.abc import Mapping, Sequence

from gongji.notify.v1.delivery_pb2_grpc import add_DeliveryServiceServicer_to_server
from gongji.notify.v1.inbox_pb2_grpc import add_InboxServiceServicer_to_server
from kit import tracing
from kit.clock import SystemClock, clock_from
from kit.crypto import KeyRing
from kit.db import Database, PostgresWork, Transaction
from kit.dlq_sampling import open_letters
from kit.events import Envelope
from kit.forgetting import forgetting_jobs
from kit.grpc_probes import add_probes
from kit.grpc_server import GrpcServer, Service
from kit.handling import Handler
from kit.health import Health
from kit.kafka import BUSY, Consumer
from kit.kafka_admission import Admission
from kit.lifecycle import Application
from kit.month_making import MonthMaking
from kit.prerequisites import add_prerequisites
from kit.relay import Relay
from kit.requests import PostgresOnce
from kit.sampling import Sampler
from kit.scheduler import Job, Scheduler, alone_on
from kit.signing import TokenSigner
from kit.used_assertions import UsedAssertions
from notify.access import ACCESS, DELIVERY_SERVICE, INBOX_SERVICE, OWN_CAPS_SECONDS
from notify.channels.callback import CallbackServer
from notify.channels.log import LogChannel
from notify.channels.receipts import ReceiptDesk
from notify.channels.registry import channels_from
from notify.code_codec import CodeOpener
from notify.codes import CodeService
from notify.config import MIGRATIONS, ReplaySettings, Settings
from notify.contacts.parts import ContactParts
from notify.contacts.parts import assemble as contact_parts
from notify.couriers import Couriers, DeliveryDesk
from notify.delivery_service import DeliveryService
from notify.delivery_servicer import DeliveryServicer
from notify.dispatch import Carriers, Dispatch, Elsewhere
from notify.kept import KEPT
from notify.postgres import PostgresRepository
from notify.postgres.contacts import SentCodesKept
from notify.postgres.deliveries import DeliveriesKept
from notify.rendering import Texts
from notify.repository import Repository
from notify.service import CONSUMER, MessageService
from notify.servicer import InboxServicer
from notify.subscriber import TOPICS, Subscriber
from notify.watching import Listener, Watchers
from notify.webhooks.intake import CONSUMER as WEBHOOKS_CONSUMER
from notify.webhooks.intake import TOPICS as WEBHOOKS_TOPICS
from notify.webhooks.parts import assemble, intake_of

NAME = "notify"


class Parts:
    """What telling people is made of, each once for the process."""

    def __init__(
        self,
        settings: ReplaySettings,
        database: Database,
        *,
        hears_receipts: bool = False,
        carriers: Carriers | None = None,
    ) -> None:
        self.clock = clock_from(settings)
        self.work = work(database, KeyRing.load(settings.keyring_file))
        self.channels = channels_from(settings)
        self.couriers = Couriers(self.work, self.channels, self.clock, hears_receipts=hears_receipts)
        self.watchers = Watchers(self.work)
        self.texts = Texts(gateways=self.channels.templates)
        dispatch = Dispatch(self.texts, self.clock, carriers or self.couriers)
        self.messages = MessageService(self.work, LogChannel(), self.texts, dispatch, self.watchers)
        self.codes = CodeService(self.work, self.channels, self.clock, self.texts)
        self.subscriber = Subscriber(self.messages, self.codes, CodeOpener(KeyRing.load(settings.code_keyring_file)))

    async def handle_whole(self, envelopes: Sequence[Envelope]) -> None:
        """Tell of these events where nothing runs in the background: codes are sent before it returns."""
        await self.subscriber(envelopes)
        await self.codes.send_waiting()


def build(settings: Settings) -> Application:
    """The process that `serve` runs."""
    tracing.configure(NAME, settings.otlp_endpoint, settings.trace_sample_ratio)
    health = Health()
    database = Database(settings.database_url, settings.database_pool_size, NAME)
    parts = Parts(settings, database, hears_receipts=settings.callback_address is not None)
    contacts = _contacts(settings, parts)
    webhooks = assemble(settings, database, health)
    used, once = UsedAssertions(database), PostgresOnce(database, KeyRing.load(settings.keyring_file))
    server = GrpcServer(
        settings,
        [*_services(parts), *contacts.services, *webhooks.services],
        ACCESS,
        parts.clock,
        service_name=NAME,
        denylist=webhooks.suspended,
        use_once=used,
        once=once,
        own_caps_seconds=OWN_CAPS_SECONDS,
    )
    application = Application(health)
    add_probes(application, settings, health)
    add_prerequisites(application, settings, database, health, MIGRATIONS)
    groups = {CONSUMER: TOPICS, WEBHOOKS_CONSUMER: WEBHOOKS_TOPICS}
    Admission(settings, NAME, groups, health).add_to(application)
    application.background("relay", Relay(database, settings.database_url, settings, _holder()).run)
    application.add("channels", None, parts.channels.close)
    application.background("couriers", parts.couriers.run)
    application.background("codes", parts.codes.run)
    consumer = Consumer(settings, TOPICS, CONSUMER, parts.subscriber, health=health, tuning=BUSY)
    application.add("consumer", consumer.start, consumer.stop, stop_timeout_seconds=30.0)
    application.background("contact codes", contacts.codes.run)
    webhooks.add_to(application)
    kept, desk = DeliveriesKept(database, parts.clock, settings.delivery_keep), DeliveryDesk(parts.work, parts.clock)
    forgets = {
        "forget-contact-codes": SentCodesKept(database).forget,
        "forget-daily-counts": kept.forget_counts,
        "forget-deliveries": kept.forget_ended,
        "end-deliveries-without-receipt": desk.end_unheard,
    }
    months = MonthMaking(database, parts.clock, KEPT)
    jobs: Sequence[Job] = [*forgetting_jobs(once, used, forgets), *webhooks.jobs, months.job()]
    application.background("scheduler", Scheduler(jobs, alone_on(database)).run)
    if settings.callback_address and settings.gateway_keyring_file:
        callback = _callback(settings.callback_address, TokenSigner(settings.gateway_keyring_file), desk)
        application.add("callback", callback.start, callback.stop)
    application.background("figures", Sampler(open_letters(settings, database, groups), months).run)
    application.background("listener", Listener(settings.database_url, parts.watchers).run)
    application.add("grpc", server.start, server.stop)
    application.on_draining(server.drain)
    application.on_draining(parts.watchers.close)
    return application


def handlers(settings: ReplaySettings, database: Database) -> Mapping[str, Handler]:
    """What the events of each consumer group are given to; also those that had failed, once the fault is mended."""
    return {
        # A command has perhaps no file of channels: what is to go out is queued for whatever a person has verified.
        CONSUMER: Parts(settings, database, carriers=Elsewhere()).handle_whole,
        WEBHOOKS_CONSUMER: intake_of(settings, database),
    }


def _services(parts: Parts) -> Sequence[Service]:
    inbox = InboxServicer(parts.messages, parts.watchers, parts.clock)
    deliveries = DeliveryServicer(DeliveryService(parts.work))
    return [
        (add_InboxServiceServicer_to_server, inbox, INBOX_SERVICE),
        (add_DeliveryServiceServicer_to_server, deliveries, DELIVERY_SERVICE),
    ]


def _callback(address: str, signer: TokenSigner, desk: ReceiptDesk) -> CallbackServer:
    # Real time: a gateway cannot know where the services' clock was moved to.
    return CallbackServer(address, signer, desk, SystemClock())


def _contacts(settings: Settings, parts: Parts) -> ContactParts:
    return contact_parts(parts.work, parts.channels, parts.clock, settings.contact_code_bounds, parts.texts)


def work(database: Database, keyring: KeyRing) -> PostgresWork[Repository]:
    """Units of work on the database."""

    def repository(transaction: Transaction) -> Repository:
        return PostgresRepository(transaction, keyring)

    return PostgresWork(database, repository)


def _holder() -> str:
    return f"{NAME}-{socket.gethostname()}-{os.getpid()}"
