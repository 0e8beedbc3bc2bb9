"""What a running stack looks like from outside."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kit.kafka_client import KafkaAddress

NOT_STARTED: Final = "not started"
"""Why a process that there is no record of does not run."""


@dataclass(frozen=True, slots=True)
class ServiceInfo:
    """One service: where it listens (`host:port`) and as which process."""

    grpc_address: str
    http_address: str
    pid: int | None


@dataclass(frozen=True, slots=True)
class ProcessStatus:
    """One process, as it is now. Of servers that the stack did not start no process id is known."""

    name: str
    address: str
    pid: int | None
    alive: bool
    ready: bool
    why: str
    """Why it is not ready."""
    warning: str = ""
    """What is wrong with it although it takes calls."""

    @property
    def well(self) -> bool:
        """Whether there is nothing to tell of it."""
        return self.ready and not self.warning


@dataclass(frozen=True, slots=True)
class StackInfo:
    """Addresses, files and secrets' places of one stack."""

    postgres_admin_url: str
    kafka: KafkaAddress
    """How an administrator reaches it."""
    services: Mapping[str, ServiceInfo]
    database_urls: Mapping[str, str]
    tls_dir: Path
    institution_ca_file: Path
    service_ca_file: Path
    clock_offset_file: Path
    jwks_file: Path
    credential_keyring_file: Path
    keyring_files: Mapping[str, Path]

    @property
    def kafka_bootstrap(self) -> str:
        """Kafka's first addresses."""
        return self.kafka.kafka_bootstrap

    def database_url(self, service: str) -> str:
        """The service's own database, as its owning role."""
        return self.database_urls[service]
