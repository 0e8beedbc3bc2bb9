"""The one place that puts settlement together."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import typer

from gongji.settlement.v1.account_pb2_grpc import add_AccountServiceServicer_to_server
from gongji.settlement.v1.premium_pb2_grpc import add_PremiumServiceServicer_to_server
from gongji.settlement.v1.reconciliation_pb2_grpc import add_ReconciliationServiceServicer_to_server
from gongji.settlement.v1.settlement_pb2_grpc import add_SettlementServiceServicer_to_server
from kit import audit_results, tracing
from kit.audit_results import AuditResults
from kit.cli import EXIT_FAILED
from kit.clock import Clock, Elapsed, clock_from
from kit.config import ConsumerSettings, DatabaseSettings
from kit.crypto import KeyRing
from kit.db import Database, PostgresWork
from kit.dlq_sampling import open_letters
from kit.forgetting import forgetting_jobs
from kit.grpc_client import TlsFiles
from kit.grpc_probes import add_probes
from kit.grpc_server import GrpcServer, Service
from kit.handling import Handler
from kit.health import Health
from kit.kafka import Consumer
from kit.kafka_admission import Admission
from kit.lifecycle import Application
from kit.month_making import MonthMaking
from kit.prerequisites import add_prerequisites
from kit.relay import Relay
from kit.requests import PostgresOnce
from kit.sampling import Sampler
from kit.scheduler import Job, Scheduler, alone_on
from kit.signing import TokenSigner
from kit.suspended import SuspendedInstitutions
from kit.used_assertions import UsedAssertions
from settlement.access import ACCESS, ACCOUNTS, OWN_CAPS_SECONDS, PREMIUMS, RECONCILIATION, SETTLEMENTS
from settlement.account_repository import PostgresAccountRepository
from settlement.account_service import AccountService
from settlement.account_servicer import AccountServicer
from settlement.audit import FurtherCheck, Report, audit, lines_of
from settlement.audit_holds import HoldsAudit
from settlement.audit_progress import Progress
from settlement.audit_seals import SealsAudit
from settlement.binding_client import BindingClient
from settlement.binding_holds import HoldsClient
from settlement.books_config import AuditSettings, ReconcileSettings
from settlement.captures_reconciler import CapturesReconciler
from settlement.closing_repository import PostgresClosingRepository
from settlement.closing_service import ClosingService
from settlement.config import MIGRATIONS, Settings
from settlement.contribution_repository import PostgresContributionRepository
from settlement.contribution_service import ContributionService
from settlement.credentials import SignedCredentials
from settlement.difference_repository import PostgresDifferenceRepository
from settlement.difference_service import DifferenceService
from settlement.holds_reconciler import HoldsReconciler, Reconciled
from settlement.kept import KEPT
from settlement.pending import Listed, Pending
from settlement.pending import lines_of as pending_lines_of
from settlement.pipeline import Pipeline, assemble
from settlement.postgres_repository import PostgresSettlementRepository
from settlement.premium_servicer import PremiumServicer
from settlement.projection import GROUP, Projection
from settlement.projection_repository import PostgresProjectionRepository
from settlement.reconciliation_repository import PostgresReconciliationRepository
from settlement.reconciliation_service import ReconciliationService
from settlement.reconciliation_servicer import ReconciliationServicer
from settlement.repository import SettlementRepository
from settlement.seal_repository import PostgresSealRepository
from settlement.sealer import Sealer
from settlement.servicer import SettlementServicer
from settlement.statement_export import StatementExport
from settlement.statement_printing import Printing
from settlement.statement_repository import PostgresStatementRepository
from settlement.statement_service import StatementService
from settlement.subscriber import TOPICS, Subscriber
from settlement.suspended import StoredSuspensions
from settlement.sweeper import Sweeper
from settlement.unclosed_days import UnclosedDays

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
    used, once = UsedAssertions(database), PostgresOnce(database, KeyRing.load(settings.keyring_file))
    server = GrpcServer(
        settings,
        _services(database, pipeline, clock),
        ACCESS,
        clock,
        service_name=SERVICE,
        denylist=suspended,
        use_once=used,
        once=once,
        own_caps_seconds=OWN_CAPS_SECONDS,
    )
    application = Application(health)
    add_probes(application, settings, health)
    add_prerequisites(application, settings, database, health, MIGRATIONS)
    Admission(settings, SERVICE, {GROUP: TOPICS}, health).add_to(application)
    relay = Relay(database, settings.database_url, settings, _holder(), failpoints=settings.points)
    application.background("relay", relay.run)
    consumer = Consumer(settings, TOPICS, GROUP, _subscriber(database, clock).handle, health=health)
    application.add("consumer", consumer.start, consumer.stop, stop_timeout_seconds=45.0)
    sweeper = Sweeper(work, clock, settings.sweep_age_seconds, settings.sweep_every_seconds)
    application.background("sweeper", sweeper.run)
    unclosed = UnclosedDays(ReconciliationService(PostgresWork(database, PostgresReconciliationRepository), clock))
    months = MonthMaking(database, clock, KEPT)
    letters = open_letters(settings, database, {GROUP: TOPICS})
    figures = Sampler(AuditResults(database), unclosed, letters, months)
    application.background("figures", figures.run)
    holds = _holds(settings.binding_target, settings.binding_tls, settings.binding_timeout_seconds)
    application.add("holds", holds.open, holds.close)
    jobs = [*_jobs(settings, database, holds, clock), *forgetting_jobs(once, used), months.job()]
    application.background("scheduler", Scheduler(jobs, alone_on(database)).run)
    application.add("suspended institutions", suspended.refresh, None)
    application.background("suspended institutions again", suspended.run)
    application.add("binding", binding.open, binding.close)
    application.add("batcher", None, pipeline.drain, stop_timeout_seconds=SETTLED_WITHIN_SECONDS)
    application.add("grpc", server.start, server.stop)
    application.on_draining(server.drain)
    return application


def _services(database: Database, pipeline: Pipeline, clock: Clock) -> Sequence[Service]:
    accounts = AccountService(PostgresWork(database, PostgresAccountRepository), clock)
    reconciliation = ReconciliationService(PostgresWork(database, PostgresReconciliationRepository), clock)
    differences = DifferenceService(PostgresWork(database, PostgresDifferenceRepository), clock)
    contributions = ContributionService(PostgresWork(database, PostgresContributionRepository), clock)
    statements = StatementService(PostgresWork(database, PostgresStatementRepository))
    exports = StatementExport(statements, Printing(), clock)
    closing = ClosingService(PostgresWork(database, PostgresClosingRepository), clock)
    return [
        (add_SettlementServiceServicer_to_server, SettlementServicer(pipeline), SETTLEMENTS),
        (
            add_AccountServiceServicer_to_server,
            AccountServicer(accounts, contributions, closing, statements, exports),
            ACCOUNTS,
        ),
        (
            add_ReconciliationServiceServicer_to_server,
            ReconciliationServicer(reconciliation, differences),
            RECONCILIATION,
        ),
        (add_PremiumServiceServicer_to_server, PremiumServicer(pipeline.premiums), PREMIUMS),
    ]


def _jobs(settings: Settings, database: Database, holds: HoldsClient, clock: Clock) -> Sequence[Job]:
    work = PostgresWork[SettlementRepository](database, PostgresSettlementRepository)
    reconciler = HoldsReconciler(work, holds, clock, settings.reconcile_age_seconds)
    sealer = Sealer(PostgresWork(database, PostgresSealRepository), clock, settings.seal_algorithm)
    return [
        Job("reconcile-holds", settings.reconcile_every_seconds, reconciler.batch),
        Job("seal-entries", settings.seal_every_seconds, sealer.batch),
    ]


def _subscriber(database: Database, clock: Clock) -> Subscriber:
    return Subscriber(Projection(PostgresWork(database, PostgresProjectionRepository), clock))


def _binding(settings: Settings) -> BindingClient:
    return BindingClient.to(settings.binding_target, settings.binding_tls, settings.binding_timeout_seconds)


def _holds(target: str, tls: TlsFiles, timeout_seconds: float) -> HoldsClient:
    return HoldsClient.to(target, tls, timeout_seconds)


def _database(settings: DatabaseSettings) -> Database:
    return Database(settings.database_url, settings.database_pool_size, SERVICE)


def _holder() -> str:
    return f"{SERVICE}-{socket.gethostname()}-{os.getpid()}"


def serve(settings: Settings) -> int:
    """Serve until told to stop; the exit status."""
    tracing.configure(SERVICE, settings.otlp_endpoint, settings.trace_sample_ratio)
    return build(settings).run()


def handlers(settings: ConsumerSettings, database: Database) -> Mapping[str, Handler]:
    """What the events of each consumer group are given to; also those that had failed, once the fault is mended."""
    return {GROUP: _subscriber(database, clock_from(settings)).handle}


def audit_books(settings: AuditSettings) -> int:
    """Check every invariant of the books, reading only; status 1 if one does not hold or binding does not answer."""
    report = asyncio.run(_audit(settings))
    if settings.binding_target is None:
        typer.echo("binding was not asked for its limits: set GONGJI_BINDING_TARGET and this service's certificate")
    typer.echo("\n".join(lines_of(report)))
    return 0 if report.clean else EXIT_FAILED


async def _audit(settings: AuditSettings) -> Report:
    # A sweep comes round every so often and takes a moment itself; only what outlives that was forgotten.
    pending_age_seconds = settings.sweep_age_seconds + 2 * settings.sweep_every_seconds
    database = _database(settings)
    try:
        async with _asking(settings) as binding:
            further = _further_checks(database, binding, settings.binding_lag_seconds)
            progress = Progress(lambda line: typer.echo(line, err=True), Elapsed())
            report = await audit(database, pending_age_seconds, further=further, watch=progress.watch)
        findings = {result.name: result.found for result in report.results}
        await audit_results.keep(database, findings, complete=not report.silence)
        return report
    finally:
        await database.close()


def _further_checks(database: Database, binding: HoldsClient | None, lag_seconds: float) -> Sequence[FurtherCheck]:
    seals = SealsAudit(database)
    chained = (seals.chain, seals.heads, seals.waiting)
    if binding is None:
        return chained
    compared = HoldsAudit(database, binding, lag_seconds)
    return (*chained, compared.held, compared.kept, compared.taken)


def show_pending(settings: AuditSettings) -> int:
    """Show what is unresolved and why: what is PENDING, previews near their end, events not sent, holds not ended."""
    listed = asyncio.run(_pending(settings))
    typer.echo("\n".join(pending_lines_of(listed, asked_binding=settings.binding_target is not None)))
    return 0 if all(each.known for each in listed) else EXIT_FAILED


async def _pending(settings: AuditSettings) -> Sequence[Listed]:
    database = _database(settings)
    try:
        async with _asking(settings) as binding:
            return await Pending(database, clock_from(settings), settings.sweep_age_seconds, binding).look()
    finally:
        await database.close()


@asynccontextmanager
async def _asking(settings: AuditSettings) -> AsyncIterator[HoldsClient | None]:
    """Binding, where the settings say how it is reached."""
    tls = settings.binding_tls
    if settings.binding_target is None or tls is None:
        yield None
        return
    holds = _holds(settings.binding_target, tls, settings.binding_timeout_seconds)
    await holds.open()
    try:
        yield holds
    finally:
        await holds.close()


def reconcile_holds(settings: ReconcileSettings) -> int:
    """Tell binding again what became of what it has held for long; what is unknown here is given up."""
    done, captures = asyncio.run(_reconcile(settings))
    if captures is not None:
        typer.echo(
            f"captured since {settings.reconcile_captured_since}: {captures.looked_at}, "
            f"{captures.right} of them rightly; "
            f"given back: {captures.told}, {captures.unknown} of them unknown here"
        )
    typer.echo(
        f"held for at least {settings.reconcile_age_seconds} s: {done.looked_at}, "
        f"{done.right} of them rightly; told again: {done.told}, {done.unknown} of them unknown here and given up"
    )
    return 0


async def _reconcile(settings: ReconcileSettings) -> tuple[Reconciled, Reconciled | None]:
    database = _database(settings)
    holds = _holds(settings.binding_target, settings.binding_tls, settings.binding_timeout_seconds)
    await holds.open()
    try:
        work = PostgresWork[SettlementRepository](database, PostgresSettlementRepository)
        clock, since = clock_from(settings), settings.reconcile_captured_since
        done = await HoldsReconciler(work, holds, clock, settings.reconcile_age_seconds).run()
        return done, await CapturesReconciler(work, holds, clock).run(since) if since else None
    finally:
        await holds.close()
        await database.close()
