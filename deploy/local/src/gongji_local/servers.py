"""PostgreSQL and Kafka as the stack sees them, whoever runs them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from gongji_local.choice import Choice, Named, Source, choose, says_nothing
from gongji_local.docker import ContainerKafka, ContainerPostgres
from gongji_local.errors import StackError
from gongji_local.kafka.server import EmbeddedKafka, serves_metadata
from gongji_local.postgres.named import require_answer
from gongji_local.postgres.server import EmbeddedPostgres, address_of, answers
from gongji_local.processes import is_alive
from gongji_local.progress import SILENT, Progress
from gongji_local.state import StateBook
from kit.kafka_client import KafkaAddress


class Server(Protocol):
    """A server that the stack needs."""

    def start(self, progress: Progress = SILENT) -> None:
        """Returns when it answers; does nothing when it already does."""

    def stop(self) -> None:
        """Ends it if the stack started it."""

    def wipe(self) -> None:
        """Ends it and deletes its data if the stack made them."""

    def is_alive(self) -> bool:
        """Whether it runs."""

    def address(self) -> str:
        """`host:port`, for a person; empty before the first start."""

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

    def client(self, user: str) -> KafkaAddress:
        """How a user reaches it: a service, `admin`, `topics-check`."""


class ExternalPostgres:
    """A server that was already there: asked, never started or ended."""

    def __init__(self, admin_url: str) -> None:
        self._admin_url = admin_url

    @property
    def admin_url(self) -> str:
        """As it was named."""
        return self._admin_url

    def start(self, _progress: Progress = SILENT) -> None:
        """Only checks that it answers."""
        require_answer(self._admin_url)

    def stop(self) -> None:
        """Leaves it as it is."""

    def wipe(self) -> None:
        """Leaves it as it is."""

    def is_alive(self) -> bool:
        """Whether it answers; its process is not ours to look at."""
        return self.is_ready()

    def address(self) -> str:
        """Without the account."""
        return address_of(self._admin_url)

    def is_ready(self) -> bool:
        """Whether a query gets its answer."""
        return answers(self._admin_url)


class ExternalKafka:
    """A broker that was already there: asked, never started or ended."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap

    @property
    def bootstrap(self) -> str:
        """As it was named."""
        return self._bootstrap

    def client(self, _user: str) -> KafkaAddress:
        """The same for everybody."""
        return KafkaAddress(self._bootstrap)

    def start(self, _progress: Progress = SILENT) -> None:
        """Only checks that it answers."""
        if not self.is_ready():
            raise StackError(
                f"The Kafka at {self._bootstrap}, which KAFKA_BOOTSTRAP or --kafka names, does not answer.",
                "Start it or correct the address; without one, the stack starts its own.",
            )

    def stop(self) -> None:
        """Leaves it as it is."""

    def wipe(self) -> None:
        """Leaves it as it is."""

    def is_alive(self) -> bool:
        """Whether it answers; its process is not ours to look at."""
        return self.is_ready()

    def address(self) -> str:
        """As it was named."""
        return self._bootstrap

    def is_ready(self) -> bool:
        """Whether it answers with its metadata."""
        return serves_metadata(self._bootstrap)


@dataclass(frozen=True, slots=True)
class Servers:
    """The two servers of one stack, and where they come from."""

    choice: Choice
    postgres: PostgresServer
    kafka: KafkaServer

    def is_ours(self, name: str) -> bool:
        """Whether the stack started it."""
        return (self.choice.kafka if name == "kafka" else self.choice.postgres) is not Source.EXTERNAL

    def require_ours(self, name: str) -> None:
        """Refuses to disturb a server that somebody else runs."""
        if not self.is_ours(name):
            raise StackError(
                f"The {name} of this stack was already there: the stack neither starts nor ends it.",
                "Use the embedded one (unset DATABASE_URL, KAFKA_BOOTSTRAP and GONGJI_STACK) for what needs that.",
            )


def servers_of(book: StateBook, environ: Mapping[str, str], choice: Choice) -> Servers:
    """The servers that a choice means, in this state folder."""
    return Servers(choice, _postgres(book, choice), _kafka(book, environ, choice))


def recorded_choice(book: StateBook) -> Choice | None:
    """What the last `up` of this state folder decided."""
    record = book.read()
    if not record.choice:
        return None
    postgres, kafka = Source(record.choice["postgres"]), Source(record.choice["kafka"])
    return Choice(
        postgres,
        kafka,
        record.postgres_admin_url if postgres is Source.EXTERNAL else None,
        record.kafka_bootstrap if kafka is Source.EXTERNAL else None,
    )


def decide(book: StateBook, environ: Mapping[str, str], options: Named) -> Choice:
    """What `up` uses: what is said now; if nothing is said, what already runs; and never two things at once."""
    chosen, running = choose(environ, options), recorded_choice(book) if _anything_runs(book) else None
    if running is None or running == chosen:
        return chosen
    if says_nothing(environ, options):
        return running
    raise StackError(
        f"The stack in {book.folder.root} runs on {_words(running)}, and now {_words(chosen)} is asked for.",
        "Run `gongji-local down` first, or use another state folder (--state).",
    )


def remember(book: StateBook, choice: Choice) -> None:
    """Writes the decision down for the commands that come after `up`."""
    sources = {"postgres": choice.postgres.value, "kafka": choice.kafka.value}
    book.change(
        lambda record: replace(
            record,
            choice=sources,
            postgres_admin_url=choice.postgres_url or _unless_external(choice.postgres, record.postgres_admin_url),
            kafka_bootstrap=choice.kafka_bootstrap or _unless_external(choice.kafka, record.kafka_bootstrap),
        )
    )


def _unless_external(source: Source, value: str | None) -> str | None:
    return value if source is Source.CONTAINERS else None


def _words(choice: Choice) -> str:
    return f"{choice.postgres.value} PostgreSQL and {choice.kafka.value} Kafka"


def _anything_runs(book: StateBook) -> bool:
    record = book.read()
    return bool(record.containers) or any(is_alive(process) for process in record.processes.values())


def _postgres(book: StateBook, choice: Choice) -> PostgresServer:
    if choice.postgres_url is not None:
        return ExternalPostgres(choice.postgres_url)
    return ContainerPostgres(book) if choice.postgres is Source.CONTAINERS else EmbeddedPostgres(book)


def _kafka(book: StateBook, environ: Mapping[str, str], choice: Choice) -> KafkaServer:
    if choice.kafka_bootstrap is not None:
        return ExternalKafka(choice.kafka_bootstrap)
    return (
        ContainerKafka(book)
        if choice.kafka is Source.CONTAINERS
        else EmbeddedKafka(book, environ, secured=choice.kafka is Source.SECURED)
    )
