"""The one place that constructs things."""

from dataclasses import dataclass

from gongji.identity.v1 import (
    access_log_pb2_grpc,
    institution_pb2_grpc,
    person_pb2_grpc,
    register_import_pb2_grpc,
    visit_pb2_grpc,
)
from identity.access import ACCESS, OWN_CAPS_SECONDS
from identity.config import MIGRATIONS, Settings
from identity.credential import VisitCredentials
from identity.domain.attempts import Bounds
from identity.kept import KEPT
from identity.platform_access import regional_platform
from identity.postgres import PostgresRepository
from identity.postgres.attempts import CountedAttempts
from identity.regional_platform import RegionalPlatform
from identity.registry import ImportedRegister, RealNameRegistry
from identity.repository import Repository
from identity.sealing import CodeSealer
from identity.service import (
    AccessLogService,
    EnrolmentService,
    Gate,
    ImportService,
    InstitutionChangeService,
    InstitutionService,
    PersonService,
    RealNameCheck,
    RegistrationService,
    RemoteCareService,
    Sealer,
    VerificationService,
    VisitService,
    VoucherService,
)
from identity.servicer import (
    AccessLogServicer,
    InstitutionServicer,
    PersonServicer,
    PersonServices,
    RegisterImportServicer,
    VisitServicer,
)
from identity.vault import Vault
from kit import tracing
from kit.clock import Clock, clock_from
from kit.crypto import KeyRing
from kit.db import Database, PostgresWork, Transaction, Work
from kit.forgetting import forgetting_jobs
from kit.grpc_probes import add_probes
from kit.grpc_server import GrpcServer, Service
from kit.health import Health
from kit.ids import uuid7
from kit.kafka_admission import Admission
from kit.lifecycle import Application
from kit.month_making import MonthMaking
from kit.prerequisites import add_prerequisites
from kit.relay import Relay
from kit.requests import PostgresOnce
from kit.sampling import Sampler
from kit.scheduler import Scheduler, alone_on
from kit.signing import TokenSigner
from kit.used_assertions import UsedAssertions

SERVICE = "identity"


@dataclass(frozen=True, slots=True)
class Serving:
    """A process that can be run, and its server, whose port is known once it runs."""

    application: Application
    server: GrpcServer


@dataclass(frozen=True, slots=True)
class Registering:
    """What registering depends on."""

    registry: RealNameRegistry
    seal: Sealer
    bounds: Bounds
    code_required: bool


def build(settings: Settings) -> Serving:
    """The service on PostgreSQL and Kafka."""
    clock = clock_from(settings)
    health = Health()
    database = Database(settings.database_url, settings.database_pool_size, SERVICE)
    keyring = KeyRing.load(settings.keyring_file)
    vault = Vault(keyring)

    def repository(transaction: Transaction) -> Repository:
        return PostgresRepository(transaction, vault)

    work = PostgresWork(database, repository)
    platform = regional_platform(settings)
    registering = Registering(
        platform or ImportedRegister(work),
        CodeSealer(KeyRing.load(settings.code_keyring_file)),
        settings.attempt_bounds,
        code_required=settings.registration_code_required,
    )
    used, once = UsedAssertions(database), PostgresOnce(database, keyring)
    server = GrpcServer(
        settings,
        grpc_services(settings, work, registering, clock, vault),
        ACCESS,
        clock,
        service_name=SERVICE,
        use_once=used,
        once=once,
        own_caps_seconds=OWN_CAPS_SECONDS,
    )
    relay = Relay(database, settings.database_url, settings, f"{SERVICE}-{uuid7()}")
    application = _application(settings, health, database, platform=platform, server=server, relay=relay)
    months = MonthMaking(database, clock, KEPT)
    jobs = [*forgetting_jobs(once, used, {"forget-attempts": CountedAttempts(database).forget}), months.job()]
    application.background("scheduler", Scheduler(jobs, alone_on(database)).run)
    application.background("figures", Sampler(months).run)
    return Serving(application, server)


def grpc_services(
    settings: Settings, work: Work[Repository], registering: Registering, clock: Clock, vault: Vault
) -> list[Service]:
    """The contract's services."""
    visits = VisitService(
        work,
        VisitCredentials(TokenSigner(settings.credential_keyring_file)),
        clock,
        lifetimes=settings.credential_lifetimes,
        home_prefix=settings.home_region_prefix,
    )
    persons = person_services(work, registering, clock, vault)
    return [
        (
            person_pb2_grpc.add_PersonServiceServicer_to_server,
            PersonServicer(persons),
            "gongji.identity.v1.PersonService",
        ),
        (
            institution_pb2_grpc.add_InstitutionServiceServicer_to_server,
            InstitutionServicer(InstitutionService(work, clock), InstitutionChangeService(work, clock)),
            "gongji.identity.v1.InstitutionService",
        ),
        (
            register_import_pb2_grpc.add_RegisterImportServiceServicer_to_server,
            RegisterImportServicer(persons.imports),
            "gongji.identity.v1.RegisterImportService",
        ),
        (
            access_log_pb2_grpc.add_AccessLogServiceServicer_to_server,
            AccessLogServicer(AccessLogService(work, clock)),
            "gongji.identity.v1.AccessLogService",
        ),
        (visit_pb2_grpc.add_VisitServiceServicer_to_server, VisitServicer(visits), "gongji.identity.v1.VisitService"),
    ]


def person_services(work: Work[Repository], registering: Registering, clock: Clock, vault: Vault) -> PersonServices:
    """The use cases behind PersonService."""
    gate = Gate(registering.bounds)
    real_names = RealNameCheck(work, registering.registry, gate)
    return PersonServices(
        imports=ImportService(work, vault, clock),
        verifications=VerificationService(work, real_names, gate, registering.seal, clock),
        registrations=RegistrationService(work, real_names, gate, clock, code_required=registering.code_required),
        persons=PersonService(work, clock),
        enrolments=EnrolmentService(work, clock),
        remote_care=RemoteCareService(work, clock),
        vouchers=VoucherService(work, clock),
    )


def _application(
    settings: Settings,
    health: Health,
    database: Database,
    *,
    platform: RegionalPlatform | None,
    server: GrpcServer,
    relay: Relay,
) -> Application:
    application = Application(health)
    application.add("tracing", lambda: _configure_tracing(settings), None)
    add_probes(application, settings, health)
    add_prerequisites(application, settings, database, health, MIGRATIONS)
    Admission(settings, SERVICE, {}, health).add_to(application)
    application.background("relay", relay.run)
    if platform is not None:
        # Not watched: without the platform everything but registering still works.
        application.add("regional platform", None, platform.close)
    application.add("grpc", server.start, server.stop)
    application.on_draining(server.drain)
    return application


async def _configure_tracing(settings: Settings) -> None:
    tracing.configure(SERVICE, settings.otlp_endpoint, settings.trace_sample_ratio)
