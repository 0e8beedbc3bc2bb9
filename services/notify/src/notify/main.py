"""The one place where notify is put together."""

import os
import socket
from collections.abc import Mapping, Sequence
from functools import cache

from gongji.notify.v1.inbox_pb2_grpc import add_InboxServiceServicer_to_server
from kit import tracing
from kit.clock import SystemClock, clock_from
from kit.crypto import KeyRing
from kit.db import Database, PostgresWork, Transaction
from kit.forgetting import forgetting_jobs
from kit.grpc_server import GrpcServer, Service
from kit.handling import Handler
from kit.health import Health
from kit.kafka import BUSY, Consumer
from kit.lifecycle import Application
from kit.probes import HttpProbes
from kit.relay import Relay
from kit.requests import PostgresOnce
from kit.scheduler import Job, Scheduler, alone_on
from kit.signing import TokenSigner
from kit.used_assertions import UsedAssertions
from notify.access import ACCESS, INBOX_SERVICE
from notify.channels.callback import CallbackServer
from notify.channels.log import LogChannel
from notify.channels.port import Adapter
from notify.channels.receipts import NoDesk, ReceiptDesk
from notify.channels.registry import Channels, channels_from
from notify.code_codec import CodeOpener
from notify.codes import CodeService
from notify.config import ReplaySettings, Settings
from notify.contacts.parts import ContactParts
from notify.contacts.parts import assemble as contact_parts
from notify.postgres import PostgresRepository
from notify.postgres.contacts import SentCodesKept
from notify.rendering import Texts
from notify.repository import Repository
from notify.service import CONSUMER, MessageService
from notify.servicer import InboxServicer
from notify.subscriber import TOPICS, Subscriber

NAME = "notify"


def build(settings: Settings) -> Application:
    """The process that `serve` runs."""
    tracing.configure(NAME, settings.otlp_endpoint)
    health = Health()
    database = Database(settings.database_url, settings.database_pool_size, NAME)
    channels = channels_from(settings)
    contacts = _contacts(settings, database, channels)
    used, once = UsedAssertions(database), PostgresOnce(database, KeyRing.load(settings.keyring_file))
    server = GrpcServer(
        settings,
        [*_services(settings, database), *contacts.services],
        ACCESS,
        clock_from(settings),
        service_name=NAME,
        use_once=used,
        once=once,
    )
    application = Application(health)
    probes = HttpProbes(settings.http_address, health)
    application.add("probes", probes.start, probes.stop)
    application.add("database", database.connect, database.close)
    application.background("relay", Relay(database, settings.database_url, settings, _holder()).run)
    application.add("channels", None, channels.close)
    handler = _subscriber(settings, database, channels)
    consumer = Consumer(settings, TOPICS, CONSUMER, handler, health=health, tuning=BUSY)
    application.add("consumer", consumer.start, consumer.stop, stop_timeout_seconds=30.0)
    application.background("contact codes", contacts.codes.run)
    jobs: Sequence[Job] = forgetting_jobs(once, used, {"forget-contact-codes": SentCodesKept(database).forget})
    application.background("scheduler", Scheduler(jobs, alone_on(database)).run)
    if settings.callback_address and settings.gateway_keyring_file:
        callback = _callback(settings.callback_address, TokenSigner(settings.gateway_keyring_file), NoDesk())
        application.add("callback", callback.start, callback.stop)
    application.add("grpc", server.start, server.stop)
    application.on_draining(server.not_serving)
    application.watch("database", database.ping)
    return application


def handlers(settings: ReplaySettings, database: Database) -> Mapping[str, Handler]:
    """What the events of each consumer group are given to; also those that had failed, once the fault is mended."""
    return {CONSUMER: _subscriber(settings, database, channels_from(settings))}


def _services(settings: Settings, database: Database) -> Sequence[Service]:
    return [
        (add_InboxServiceServicer_to_server, InboxServicer(_service(settings, database)), INBOX_SERVICE),
    ]


def _service(settings: ReplaySettings, database: Database) -> MessageService:
    return MessageService(work(database, KeyRing.load(settings.keyring_file)), LogChannel(), _texts())


def _callback(address: str, signer: TokenSigner, desk: ReceiptDesk) -> CallbackServer:
    # Real time: a gateway cannot know where the services' clock was moved to.
    return CallbackServer(address, signer, desk, SystemClock())


def _subscriber(settings: ReplaySettings, database: Database, adapter: Adapter) -> Subscriber:
    codes = CodeService(work(database, KeyRing.load(settings.keyring_file)), adapter, clock_from(settings))
    return Subscriber(_service(settings, database), codes, CodeOpener(KeyRing.load(settings.code_keyring_file)))


def _contacts(settings: Settings, database: Database, channels: Channels) -> ContactParts:
    units = work(database, KeyRing.load(settings.keyring_file))
    bounds = settings.contact_code_bounds
    return contact_parts(units, channels, clock_from(settings), bounds, _texts())


@cache
def _texts() -> Texts:
    """One for all: every text is looked at and rendered as they are read."""
    return Texts()


def work(database: Database, keyring: KeyRing) -> PostgresWork[Repository]:
    """Units of work on the database."""

    def repository(transaction: Transaction) -> Repository:
        return PostgresRepository(transaction, keyring)

    return PostgresWork(database, repository)


def _holder() -> str:
    return f"{NAME}-{socket.gethostname()}-{os.getpid()}"
