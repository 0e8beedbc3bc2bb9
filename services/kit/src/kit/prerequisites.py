"""What a process needs before it serves, and looks at as long as it does: database, schema, clock, certificates.

What may come right by itself is waited for, not ready and with its reason: a database that is away, migrations that
have not run yet. What nobody but an operator puts right ends the process with that reason.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import structlog

from kit import certificates
from kit.backoff import backoff_seconds
from kit.checking_certificates import why_not_good_now
from kit.clock import Clock, Elapsed, SystemClock
from kit.clock_offset import ClockOffset
from kit.config import ServiceSettings, variable
from kit.db import Database, DatabaseUnavailableError
from kit.db_errors import is_refused
from kit.health import Health, NotWell
from kit.lifecycle import Application
from kit.schema import SchemaMissing, current_revision, judge, revisions
from kit.surroundings import database_failure

REFUSED_SECONDS: Final = 5.0
"""So long a database that lets nobody in may be one whose password is being changed."""

_log = structlog.get_logger()


def add_prerequisites(
    application: Application, settings: ServiceSettings, database: Database, health: Health, migrations: Path
) -> None:
    """Let the process wait for its database and schema, after its probes, and tell what is no longer well."""
    needed = Prerequisites(settings, database, health, revisions(migrations))
    application.add("database", needed.database_there, database.close)
    application.add("schema", needed.schema_there, None)
    application.watch("database", needed.ask_database)
    application.watch("clock", needed.clock_offset.look, every_seconds=1.0)  # what the last ping said: it asks nobody
    application.watch("certificates", needed.look_at_certificates)


class Prerequisites:
    """Waits for the database of one process, and looks at what it needs.

    Args:
        settings: of the process.
        database: its database.
        health: where it is told what is waited for.
        revisions: the migrations of this version, oldest first.
        clock: real time, of this computer.
        refused_seconds: see `REFUSED_SECONDS`.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        database: Database,
        health: Health,
        revisions: Sequence[str],
        *,
        clock: Clock | None = None,
        refused_seconds: float = REFUSED_SECONDS,
    ) -> None:
        self._settings = settings
        self._database = database
        self._health = health
        self._revisions = revisions
        self._clock = clock or SystemClock()
        self._refused_seconds = refused_seconds
        self.clock_offset = ClockOffset()

    async def ask_database(self) -> None:
        """Whether the database answers and has room; what its clock says is noted.

        Raises:
            DatabaseUnavailableError: it does not, and why.
        """
        before = self._clock.now()
        with self._in_words():
            there = await self._database.ping()
        self.clock_offset.compared(before, there, self._clock.now())

    async def database_there(self) -> None:
        """Return when the database answers.

        Raises:
            DatabaseUnavailableError: it does not let this role in.
        """
        await self._until("database", self.ask_database)

    async def schema_there(self) -> None:
        """Return when the schema is this version's or a later one's.

        Raises:
            SchemaOfAnother: it is none of this service's.
        """
        await self._until("schema", self._look_at_schema)

    async def look_at_certificates(self) -> None:
        """Whether callers and Kafka can still believe what this process shows.

        Raises:
            NotWell: a certificate has run out; calls go on if it is the one for Kafka.
        """
        for certificate, name in (("server", "tls_cert_file"), ("kafka", "kafka_cert_file")):
            pem, path = certificates.in_use(certificate), getattr(self._settings, name, None)
            if pem is None or path is None:
                continue
            if why := why_not_good_now(pem, path, self._clock.now()):
                raise NotWell(f"{variable(name)}: {why}", serving=certificate == "server")

    async def _look_at_schema(self) -> None:
        with self._in_words():
            async with self._database.transaction() as transaction:
                current = await current_revision(transaction)
        if judge(current, self._revisions):
            _log.warning("the schema is of a later version, beside which this one may run", revision=current)

    async def _until(self, name: str, look: Callable[[], Awaitable[None]]) -> None:
        told: set[str] = set()
        failures, refused = 0, None
        while True:
            try:
                await look()
            except (DatabaseUnavailableError, SchemaMissing) as error:
                why, cause = str(error), error.__cause__
            else:
                self._health.set(name, True)
                return
            self._health.set(name, False, why)
            refused = (refused or Elapsed()) if cause is not None and is_refused(cause) else None
            if refused is not None and refused.seconds >= self._refused_seconds:
                raise DatabaseUnavailableError(why) from cause
            if refused is None and why not in told:
                _log.error("waiting", part=name, why=why)
                told.add(why)
            failures += 1
            await asyncio.sleep(backoff_seconds(failures))

    @contextmanager
    def _in_words(self) -> Iterator[None]:
        """A failure of the database becomes a sentence for the operator; a fault of the program passes on."""
        try:
            yield
        except Exception as error:
            failure = database_failure(error, self._settings.database_url)
            if failure is None:
                raise
            raise DatabaseUnavailableError(str(failure)) from error
