"""PostgreSQL and Kafka as the stack sees them, whoever runs them."""

from typing import Protocol

from gongji_local.errors import StackError
from gongji_local.kafka.server import serves_metadata
from gongji_local.postgres.server import answers


class Server(Protocol):
    """A server that the stack needs."""

    def start(self) -> None:
        """Returns when it answers; does nothing when it already does."""

    def stop(self) -> None:
        """Ends it if the stack started it."""

    def wipe(self) -> None:
        """Ends it and deletes its data if the stack made them."""

    def is_alive(self) -> bool:
        """Whether it runs."""

    def is_ready(self) -> bool:
        """Whether it runs and answers."""


class PostgresServer(Server, Protocol):
    """A PostgreSQL server."""

    @property
    def admin_url(self) -> str:
        """URL of an account that may create databases and roles."""


class KafkaServer(Server, Protocol):
    """A Kafka broker."""

    @property
    def bootstrap(self) -> str:
        """`host:port`, several separated by commas."""


class ExternalPostgres:
    """A server that was already there: asked, never started or ended."""

    def __init__(self, admin_url: str) -> None:
        self.admin_url = admin_url.replace("postgres://", "postgresql://", 1)

    def start(self) -> None:
        """Only checks that it answers."""
        if not self.is_ready():
            raise StackError(
                "The PostgreSQL that DATABASE_URL or --postgres-url names does not answer.",
                "Start it or correct the URL; without one, the stack starts its own.",
            )

    def stop(self) -> None:
        """Leaves it as it is."""

    def wipe(self) -> None:
        """Leaves it as it is."""

    def is_alive(self) -> bool:
        """Whether it answers; its process is not ours to look at."""
        return self.is_ready()

    def is_ready(self) -> bool:
        """Whether a query gets its answer."""
        return answers(self.admin_url)


class ExternalKafka:
    """A broker that was already there: asked, never started or ended."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap

    def start(self) -> None:
        """Only checks that it answers."""
        if not self.is_ready():
            raise StackError(
                f"The Kafka at {self.bootstrap}, which KAFKA_BOOTSTRAP or --kafka names, does not answer.",
                "Start it or correct the address; without one, the stack starts its own.",
            )

    def stop(self) -> None:
        """Leaves it as it is."""

    def wipe(self) -> None:
        """Leaves it as it is."""

    def is_alive(self) -> bool:
        """Whether it answers; its process is not ours to look at."""
        return self.is_ready()

    def is_ready(self) -> bool:
        """Whether it answers with its metadata."""
        return serves_metadata(self.bootstrap)
