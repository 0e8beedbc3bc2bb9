"""The local stack: one object to bring it up, look at it, disturb it and take it down."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from gongji_local.choice import Named, choose
from gongji_local.kafka.server import EmbeddedKafka
from gongji_local.postgres.server import EmbeddedPostgres
from gongji_local.servers import ExternalKafka, ExternalPostgres, KafkaServer, PostgresServer
from gongji_local.state import StateBook, StateFolder, StateLock, default_state


class Stack:
    """PostgreSQL, Kafka and the four services of one state folder."""

    def __init__(
        self, state: Path | None = None, *, named: Named = Named(), environ: Mapping[str, str] | None = None
    ) -> None:
        self._environ = os.environ if environ is None else environ
        self.folder = StateFolder(state or default_state(self._environ))
        self._book = StateBook(self.folder)
        self._lock = StateLock(self.folder)
        self._choice = choose(self._environ, named)

    @property
    def postgres(self) -> PostgresServer:
        if self._choice.postgres_url is not None:
            return ExternalPostgres(self._choice.postgres_url)
        return EmbeddedPostgres(self._book)

    @property
    def kafka(self) -> KafkaServer:
        if self._choice.kafka_bootstrap is not None:
            return ExternalKafka(self._choice.kafka_bootstrap)
        return EmbeddedKafka(self._book, self._environ)

    def start_postgres(self) -> str:
        """Starts PostgreSQL alone and returns the administrator's URL."""
        with self._lock.held():
            self.postgres.start()
            return self.postgres.admin_url

    def start_kafka(self) -> str:
        """Starts Kafka alone and returns `host:port`."""
        with self._lock.held():
            self.kafka.start()
            return self.kafka.bootstrap

    def wipe(self) -> None:
        """Ends what this state folder started and deletes the folder."""
        with self._lock.held():
            self.kafka.wipe()
            self.postgres.wipe()
        shutil.rmtree(self.folder.root, ignore_errors=True)
