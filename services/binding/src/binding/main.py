"""The one place that puts binding together."""

import asyncio
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

import typer

from binding.access import ACCESS, APPLICATIONS, AUTHORIZATIONS, RELATIONS, REVIEWS
from binding.audit import COUNTERS, Report, audit, lines_of
from binding.calendars import ChineseCalendar, RegionalDays
from binding.config import MIGRATIONS, ReplaySettings, Settings
from binding.domain.working_days import Promise
from binding.jobs import draft_jobs, upkeep_jobs
from binding.kept import KEPT
from binding.pledges import shipped
from binding.proof_checker import ProofChecker
from binding.repository import PostgresRepository, Repository
from binding.service.applications import Applications
from binding.service.authorizations import Authorizations
from binding.service.decisions import Decisions
from binding.service.holds import Holds
from binding.service.overviews import Overseeing
from binding.service.payers import Payers
from binding.service.persons import Persons
from binding.service.proofs import Proofs
from binding.service.relations import Relations
from binding.service.reviews import Reviews
from binding.service.upkeep import Upkeep
from binding.servicer import ApplicationServicer, AuthorizationServicer, RelationServicer, ReviewServicer
from binding.subscriber import GROUP, TOPICS, Subscriber
from gongji.binding.v1.application_pb2_grpc import add_ApplicationServiceServicer_to_server
from gongji.binding.v1.authorization_pb2_grpc import add_AuthorizationServiceServicer_to_server
from gongji.binding.v1.relation_pb2_grpc import add_RelationServiceServicer_to_server
from gongji.binding.v1.review_pb2_grpc import add_ReviewServiceServicer_to_server
from kit import audit_results, tracing
from kit.audit_results import AuditResults
from kit.cli import EXIT_FAILED
from kit.clock import Clock, SystemClock, clock_from
from kit.config import DatabaseSettings
from kit.crypto import KeyRing
from kit.db import Database, PostgresWork, Work
from kit.dlq_sampling import open_letters
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
from kit.used_assertions import UsedAssertions

SERVICE = "binding"


@dataclass(frozen=True, slots=True)
class Parts:
    """Binding without its surroundings: what serves calls, what takes events, and what becomes due."""

    services: Sequence[Service]
    subscriber: Subscriber
    jobs: Sequence[Job]


def assemble(settings: Settings, work: Work[Repository], clock: Clock, real_clock: Clock) -> Parts:
    """The use cases on a unit of work; tests call it with a fake one."""
    policy = settings.policy
    authorizations = Authorizations(work, clock, real_clock, settings.limit_nearly_used_percent)
    promise = Promise(settings.review_working_days, ChineseCalendar(RegionalDays.load(settings.working_days_file)))
    applications = Applications(work, clock, policy, shipped(settings.pledge_version), promise)
    proofs = Proofs(work, clock, KeyRing.load(settings.keyring_file), policy, ProofChecker())
    reviews = ReviewServicer(Reviews(work, clock, settings.claim_lease), Decisions(work, clock, policy))
    authorizing = AuthorizationServicer(authorizations, Holds(work), settings.points)
    services: list[Service] = [
        (add_ApplicationServiceServicer_to_server, ApplicationServicer(applications, proofs), APPLICATIONS),
        (add_ReviewServiceServicer_to_server, reviews, REVIEWS),
        (add_RelationServiceServicer_to_server, _relation_servicer(settings, work, clock), RELATIONS),
        (add_AuthorizationServiceServicer_to_server, authorizing, AUTHORIZATIONS),
    ]
    persons = persons_of(settings, clock)
    upkeep = Upkeep(work, clock, persons, settings.notices)
    every_seconds = settings.jobs_every_seconds
    jobs = [*upkeep_jobs(upkeep, every_seconds), *draft_jobs(applications, clock, every_seconds)]
    return Parts(services, Subscriber(work, authorizations, persons), jobs)


def persons_of(settings: ReplaySettings, clock: Clock) -> Persons:
    """What is made of identity's events by the region's rules, whether they come for the first time or are replayed."""
    return Persons(clock, settings.losses, settings.generation_years)


def _relation_servicer(settings: Settings, work: Work[Repository], clock: Clock) -> RelationServicer:
    longest_extension = timedelta(days=settings.extension_days_max)
    return RelationServicer(
        Relations(work, clock, settings.policy, settings.limit_nearly_used_percent, longest_extension),
        Payers(work, clock, settings.policy),
        Overseeing(work, clock),
    )


def build(settings: Settings) -> Application:
    """The whole process."""
    health = Health()
    database = _database(settings)
    clock = clock_from(settings)
    parts = assemble(settings, PostgresWork(database, PostgresRepository), clock, SystemClock())
    used, once = UsedAssertions(database), PostgresOnce(database, KeyRing.load(settings.keyring_file))
    server = GrpcServer(settings, parts.services, ACCESS, clock, service_name=SERVICE, use_once=used, once=once)
    consumer = Consumer(settings, TOPICS, GROUP, parts.subscriber.handle, health=health, tuning=BUSY)
    application = Application(health)
    add_probes(application, settings, health)
    add_prerequisites(application, settings, database, health, MIGRATIONS)
    Admission(settings, SERVICE, {GROUP: TOPICS}, health).add_to(application)
    application.background("relay", Relay(database, settings.database_url, settings, _holder()).run)
    months = MonthMaking(database, clock, KEPT)
    jobs = [*parts.jobs, *forgetting_jobs(once, used), months.job()]
    application.background("scheduler", Scheduler(jobs, alone_on(database)).run)
    application.add("consumer", consumer.start, consumer.stop, stop_timeout_seconds=45.0)
    figures = Sampler(AuditResults(database), open_letters(settings, database, {GROUP: TOPICS}), months)
    application.background("figures", figures.run)
    application.add("grpc", server.start, server.stop)
    application.on_draining(server.drain)
    return application


def serve(settings: Settings) -> int:
    """Serve until told to stop; the exit status."""
    tracing.configure(SERVICE, settings.otlp_endpoint, settings.trace_sample_ratio)
    return build(settings).run()


def handlers(settings: ReplaySettings, database: Database) -> Mapping[str, Handler]:
    """What the events of each consumer group are given to; also those that had failed, once the fault is mended."""
    work, clock = PostgresWork(database, PostgresRepository), clock_from(settings)
    authorizations = Authorizations(work, clock, SystemClock(), settings.limit_nearly_used_percent)
    return {GROUP: Subscriber(work, authorizations, persons_of(settings, clock)).handle}


def audit_limits(settings: DatabaseSettings) -> int:
    """Check that every counter of a limit is what the authorizations charge to it; status 1 if one is not."""
    report = asyncio.run(_audit(settings))
    typer.echo("\n".join(lines_of(report)))
    return EXIT_FAILED if report.found else 0


async def _audit(settings: DatabaseSettings) -> Report:
    database = _database(settings)
    try:
        report = await audit(database)
        await audit_results.keep(database, {COUNTERS: report.found}, complete=True)
        return report
    finally:
        await database.close()


def _database(settings: DatabaseSettings) -> Database:
    return Database(settings.database_url, settings.database_pool_size, SERVICE)


def _holder() -> str:
    return f"{SERVICE}-{socket.gethostname()}-{os.getpid()}"
