"""PostgreSQL and Kafka in containers, for whom `GONGJI_STACK=containers` says so and Docker answers."""

import dataclasses
from collections.abc import Callable
from typing import Any, Final

from gongji_local.errors import StackError
from gongji_local.kafka.server import serves_metadata
from gongji_local.passwords import password_of
from gongji_local.postgres.server import ADMINISTRATOR, MAX_CONNECTIONS, address_of, answers
from gongji_local.progress import SILENT, Progress, told
from gongji_local.state import Record, StateBook
from kit.kafka_client import KafkaAddress

POSTGRES_IMAGE: Final = "postgres:17"
KAFKA_IMAGE: Final = "confluentinc/cp-kafka:7.9.1"
KAFKA_TIMEOUT_SECONDS: Final = 120


def require_docker() -> None:
    """Raises StackError, with the engine's own words, when Docker does not answer."""
    import docker  # type: ignore[import-untyped]  # noqa: PLC0415 - only who asks for containers loads the client
    from docker.errors import DockerException  # type: ignore[import-untyped]  # noqa: PLC0415

    try:
        docker.from_env(timeout=10).ping()
    except DockerException as error:
        raise StackError(
            f"GONGJI_STACK=containers asks for Docker, and Docker does not answer: {_first_line(error)}",
            "Start Docker, or unset GONGJI_STACK: the embedded stack needs none.",
        ) from error


class ContainerPostgres:
    """PostgreSQL in a container that outlives the command which started it."""

    name: Final = "postgres"

    def __init__(self, book: StateBook) -> None:
        self._book = book

    @property
    def admin_url(self) -> str:
        """Valid once the container was started."""
        return self._book.read().postgres_admin_url or ""

    def start(self, progress: Progress = SILENT) -> None:
        """Starts the container, or does nothing when it runs."""
        if not self.is_ready():
            with told(progress, f"Container of {self.name}"):
                self._start()

    def _start(self) -> None:
        require_docker()
        from testcontainers.community.postgres import PostgresContainer  # noqa: PLC0415

        _outlive_this_process()
        container = PostgresContainer(
            POSTGRES_IMAGE,
            username=ADMINISTRATOR,
            password=password_of(self._book.folder, self.name),
            dbname="postgres",
            driver=None,
        ).with_command(f"postgres -c max_connections={MAX_CONNECTIONS}")
        _start(container, self.name)
        url = container.get_connection_url()
        _remember(self._book, self.name, container, lambda record: dataclasses.replace(record, postgres_admin_url=url))

    def stop(self) -> None:
        """Removes the container; its data go with it."""
        _remove(self._book, self.name)

    def wipe(self) -> None:
        """Removes the container."""
        self.stop()

    def is_alive(self) -> bool:
        """Whether the container runs."""
        return _is_running(self._book.read().containers.get(self.name))

    def address(self) -> str:
        """`host:port`; empty before the first start."""
        return address_of(self.admin_url)

    def is_ready(self) -> bool:
        """Whether the container runs and answers a query."""
        return self.is_alive() and answers(self.admin_url)


class ContainerKafka:
    """Kafka (KRaft) in a container that outlives the command which started it."""

    name: Final = "kafka"

    def __init__(self, book: StateBook) -> None:
        self._book = book

    @property
    def bootstrap(self) -> str:
        """Valid once the container was started."""
        return self._book.read().kafka_bootstrap or ""

    def client(self, _user: str) -> KafkaAddress:
        """The same for everybody."""
        return KafkaAddress(self.bootstrap)

    def start(self, progress: Progress = SILENT) -> None:
        """Starts the container, or does nothing when it runs."""
        if not self.is_ready():
            with told(progress, f"Container of {self.name}"):
                self._start()

    def _start(self) -> None:
        require_docker()
        from testcontainers.community.kafka import KafkaContainer  # noqa: PLC0415

        _outlive_this_process()
        container = KafkaContainer(KAFKA_IMAGE).with_kraft().with_env("KAFKA_AUTO_CREATE_TOPICS_ENABLE", "false")
        _start(container, self.name)
        address = container.get_bootstrap_server()
        _remember(self._book, self.name, container, lambda record: dataclasses.replace(record, kafka_bootstrap=address))

    def stop(self) -> None:
        """Removes the container; its data go with it."""
        _remove(self._book, self.name)

    def wipe(self) -> None:
        """Removes the container."""
        self.stop()

    def is_alive(self) -> bool:
        """Whether the container runs."""
        return _is_running(self._book.read().containers.get(self.name))

    def address(self) -> str:
        """`host:port`; empty before the first start."""
        return self.bootstrap

    def is_ready(self) -> bool:
        """Whether the container runs and answers with its metadata."""
        return self.is_alive() and serves_metadata(self.bootstrap)


def _outlive_this_process() -> None:
    """Without this, testcontainers removes its containers when the process ends that started them."""
    from testcontainers.core.config import testcontainers_config  # noqa: PLC0415

    testcontainers_config.ryuk_disabled = True


def _start(container: Any, name: str) -> None:
    from docker.errors import DockerException  # noqa: PLC0415

    try:
        container.start()
    except (DockerException, TimeoutError, RuntimeError) as error:
        raise StackError(
            f"The container of {name} did not start: {_first_line(error)}",
            "Look at `docker ps --all` and `docker logs`, or unset GONGJI_STACK for the embedded stack.",
        ) from error


def _remember(book: StateBook, name: str, container: Any, change: Callable[[Record], Record]) -> None:
    identifier = str(container.get_wrapped_container().id)
    book.change(lambda record: dataclasses.replace(change(record), containers={**record.containers, name: identifier}))


def _remove(book: StateBook, name: str) -> None:
    identifier = book.read().containers.get(name)
    container = _find(identifier)
    if container is not None:
        container.remove(force=True, v=True)
    others = {other: value for other, value in book.read().containers.items() if other != name}
    book.change(lambda record: dataclasses.replace(record, containers=others))


def _is_running(identifier: str | None) -> bool:
    container = _find(identifier)
    return container is not None and container.status == "running"


def _find(identifier: str | None) -> Any | None:
    if identifier is None:
        return None
    import docker  # noqa: PLC0415
    from docker.errors import NotFound  # noqa: PLC0415

    require_docker()
    try:
        return docker.from_env().containers.get(identifier)
    except NotFound:
        return None


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:300]
