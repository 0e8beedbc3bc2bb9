"""The one place that puts settlement together."""

import asyncio
import os
import socket
from collections.abc import Sequence

import typer

from gongji.settlement.v1.account_pb2_grpc import add_AccountServiceServicer_to_server
from gongji.settlement.v1.reconciliation_pb2_grpc import add_ReconciliationServiceServicer_to_server
from gongji.settlement.v1.settlement_pb2_grpc import add_SettlementServiceServicer_to_server
from kit import tracing
from kit.cli import EXIT_FAILED
from kit.clock import Clock, clock_from
from kit.config import ConsumerSettings, DatabaseSettings
from kit.db import Database, PostgresWork
from kit.grpc_client import TlsFiles
from kit.grpc_server import GrpcServer, Service
from kit.health import Health
from kit.kafka import Consumer, replay_dlq
from kit.lifecycle import Application
from kit.observability import HttpProbes
from kit.relay import Relay
from kit.signing import TokenSigner
from settlement.access import ACCESS, ACCOUNTS, RECONCILIATION, SETTLEMENTS
from settlement.account_repository import PostgresAccountRepository
from settlement.account_service import AccountService
from settlement.account_servicer import AccountServicer
from settlement.audit import Report, audit, lines_of
from settlement.binding_client import BindingClient
from settlement.config import AuditSettings, Settings
from settlement.credentials import SignedCredentials
from settlement.pipeline import Pipeline, assemble
from settlement.postgres_repository import PostgresSettlementRepository
from settlement.projection import GROUP, Projection
from settlement.projection_repository import PostgresProjectionRepository
from settlement.reconciliation_repository import PostgresReconciliationRepository
from settlement.reconciliation_service import ReconciliationService
from settlement.reconciliation_servicer import ReconciliationServicer
from settlement.servicer import SettlementServicer
from settlement.subscriber import TOPICS, Subscriber
from settlement.suspended import StoredSuspensions, SuspendedInstitutions
from settlement.sweeper import Sweeper

SERVICE = "settlement"
SETTLED_WITHIN_SECONDS = 15.0
"""How long stopping waits for the batches under way."""


def build(settings: Settings) -> Application:
    """The whole process."""
    clock = clock_from(settings)
    health = Health()
    database = _database(settings)
    binding = _binding(settings)
    credentials = SignedCredentials(TokenSigner(settings.credential_keyring_file))
    work = PostgresWork(database, PostgresSettlementRepository)
    pipeline = assemble(settings, work, binding, credentials, clock)
    suspended = SuspendedInstitutions(StoredSuspensions(database))
    server = GrpcServer(
        settings,
        _services(database, pipeline, clock),
        ACCESS,
        clock,
        service_name=SERVICE,
        denylist=suspended,
    )
    application = Application(health)
    probes = HttpProbes(settings.http_address, health)
    application.add("probes", probes.start, probes.stop)
    application.add("database", database.connect, database.close)
    application.background("relay", Relay(database, settings.database_url, settings, _holder()).run)
    consumer = Consumer(settings, TOPICS, GROUP, _subscriber(database, clock).handle, health=health)
    application.add("consumer", consumer.start, consumer.stop, stop_timeout_seconds=45.0)
    sweeper = Sweeper(work, clock, settings.sweep_age_seconds, settings.sweep_every_seconds)
    application.background("sweeper", sweeper.run)
    application.add("suspended institutions", suspended.refresh, None)
    application.background("suspended institutions again", suspended.run)
    application.add("binding", binding.open, binding.close)
    application.add("batcher", None, pipeline.drain, stop_timeout_seconds=SETTLED_WITHIN_SECONDS)
    application.add("grpc", server.start, server.stop)
    application.on_draining(server.not_serving)
    application.watch("database", database.ping)
    return application


def _services(database: Database, pipeline: Pipeline, clock: Clock) -> Sequence[Service]:
    accounts = AccountService(PostgresWork(database, PostgresAccountRepository), clock)
    reconciliation = ReconciliationService(PostgresWork(database, PostgresReconciliationRepository), clock)
    return [
        (add_SettlementServiceServicer_to_server, SettlementServicer(pipeline), SETTLEMENTS),
        (add_AccountServiceServicer_to_server, AccountServicer(accounts), ACCOUNTS),
        (add_ReconciliationServiceServicer_to_server, ReconciliationServicer(reconciliation), RECONCILIATION),
    ]


def _subscriber(database: Database, clock: Clock) -> Subscriber:
    return Subscriber(Projection(PostgresWork(database, PostgresProjectionRepository), clock))


def _binding(settings: Settings) -> BindingClient:
    tls = TlsFiles(settings.tls_cert_file, settings.tls_key_file, settings.service_ca_file)
    return BindingClient.to(settings.binding_target, tls, settings.binding_timeout_seconds)


def _database(settings: DatabaseSettings) -> Database:
    return Database(settings.database_url, settings.database_pool_size, SERVICE)


def _holder() -> str:
    return f"{SERVICE}-{socket.gethostname()}-{os.getpid()}"


def serve(settings: Settings) -> int:
    """Serve until told to stop; the exit status."""
    tracing.configure(SERVICE, settings.otlp_endpoint)
    return build(settings).run()


def replay(settings: ConsumerSettings, topic: str, limit: int) -> int:
    """Give events that failed to the subscriber again; how many were handled."""
    return asyncio.run(_replay(settings, topic, limit))


async def _replay(settings: ConsumerSettings, topic: str, limit: int) -> int:
    database = _database(settings)
    try:
        handler = _subscriber(database, clock_from(settings)).handle
        return (await replay_dlq(settings, topic, GROUP, handler, limit=limit)).replayed
    finally:
        await database.close()


def audit_books(settings: AuditSettings) -> int:
    """Check every invariant of the books, reading only; status 1 if anything is not as it must be."""
    report = asyncio.run(_audit(settings))
    typer.echo("\n".join(lines_of(report)))
    return EXIT_FAILED if report.found else 0


async def _audit(settings: AuditSettings) -> Report:
    # A sweep comes round every so often and takes a moment itself; only what outlives that was forgotten.
    pending_age_seconds = settings.sweep_age_seconds + 2 * settings.sweep_every_seconds
    database = _database(settings)
    try:
        return await audit(database, pending_age_seconds)
    finally:
        await database.close()
