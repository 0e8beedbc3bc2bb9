"""The one place where notify is put together."""

from gongji.notify.v1.inbox_pb2_grpc import add_InboxServiceServicer_to_server
from kit import tracing
from kit.clock import clock_from
from kit.crypto import KeyRing
from kit.db import Database, PostgresWork, Transaction
from kit.dlq_replay import Replay, replay_dlq
from kit.grpc_server import GrpcServer
from kit.health import Health
from kit.kafka import BUSY, Consumer
from kit.lifecycle import Application
from kit.probes import HttpProbes
from notify.access import ACCESS, INBOX_SERVICE
from notify.channels.files import FileAdapter, NoAdapter
from notify.channels.log import LogChannel
from notify.code_codec import CodeOpener
from notify.codes import CodeService
from notify.config import ReplaySettings, Settings
from notify.repository import PostgresRepository, Repository
from notify.service import CONSUMER, MessageService
from notify.servicer import InboxServicer
from notify.subscriber import TOPICS, Subscriber

NAME = "notify"


def build(settings: Settings) -> Application:
    """The process that `serve` runs."""
    tracing.configure(NAME, settings.otlp_endpoint)
    health = Health()
    database = Database(settings.database_url, settings.database_pool_size, NAME)
    service = _service(settings, database)
    consumer = Consumer(settings, TOPICS, CONSUMER, _subscriber(settings, database), health=health, tuning=BUSY)
    server = GrpcServer(
        settings,
        [(add_InboxServiceServicer_to_server, InboxServicer(service), INBOX_SERVICE)],
        ACCESS,
        clock_from(settings),
        service_name=NAME,
    )
    return _assembled(health, HttpProbes(settings.http_address, health), database, consumer, server)


async def replay(settings: ReplaySettings, topic: str, limit: int) -> Replay:
    """Tell people of the events in the DLQ of `topic`, `limit` at most, once what made them fail is mended."""
    database = Database(settings.database_url, 1, f"{NAME}-replay")
    try:
        await database.connect()
        return await replay_dlq(settings, topic, CONSUMER, _subscriber(settings, database), limit=limit)
    finally:
        await database.close()


def _service(settings: ReplaySettings, database: Database) -> MessageService:
    return MessageService(work(database, KeyRing.load(settings.keyring_file)), LogChannel())


def _subscriber(settings: ReplaySettings, database: Database) -> Subscriber:
    adapter = FileAdapter(settings.sms_directory) if settings.sms_directory else NoAdapter()
    codes = CodeService(work(database, KeyRing.load(settings.keyring_file)), adapter, clock_from(settings))
    return Subscriber(_service(settings, database), codes, CodeOpener(KeyRing.load(settings.code_keyring_file)))


def work(database: Database, keyring: KeyRing) -> PostgresWork[Repository]:
    """Units of work on the database."""

    def repository(transaction: Transaction) -> Repository:
        return PostgresRepository(transaction, keyring)

    return PostgresWork(database, repository)


def _assembled(
    health: Health, probes: HttpProbes, database: Database, consumer: Consumer, server: GrpcServer
) -> Application:
    application = Application(health)
    application.add("probes", probes.start, probes.stop)
    application.add("database", database.connect, database.close)
    application.add("consumer", consumer.start, consumer.stop, stop_timeout_seconds=30.0)
    application.add("grpc", server.start, server.stop)
    application.on_draining(server.not_serving)
    application.watch("database", database.ping)
    return application
