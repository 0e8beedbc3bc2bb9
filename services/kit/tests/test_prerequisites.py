"""What a process needs is waited for where it may come right by itself, and ends it where it cannot."""

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import structlog

from kit import certificates
from kit.clock import FixedClock, SystemClock
from kit.config import ServiceSettings
from kit.db import DatabaseUnavailableError
from kit.followed import Misfit
from kit.health import Health
from kit.prerequisites import Prerequisites
from kit.schema import SchemaMissing, SchemaOfAnother, judge, revisions
from kit.testing_tls import Pki

URL = "postgresql://gongji_binding:s3cret@db:5433/gongji_binding"


class FakeDatabase:
    """Answers with what it is told, one after the other; the last answer stays."""

    def __init__(self, *answers: Exception | None, revision: str | None = "0002") -> None:
        self._answers = list(answers)
        self.revisions: list[str | None] = [revision]
        self.asked = 0

    async def ping(self) -> datetime:
        self.asked += 1
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0] if self._answers else None
        if answer is not None:
            raise answer
        return datetime.now(UTC)

    @asynccontextmanager
    async def transaction(self) -> Any:
        yield self

    @property
    def raw(self) -> "FakeDatabase":
        return self

    async def fetchval(self, _sql: str) -> str | None:
        found = self.revisions.pop(0) if len(self.revisions) > 1 else self.revisions[0]
        if found is None:
            raise asyncpg.UndefinedTableError("no such table")
        return found


class Waiting:
    """The prerequisites of one process around a database that does as it is told."""

    def __init__(self, database: FakeDatabase, settings: ServiceSettings | None = None, **more: Any) -> None:
        self.health = Health()
        self.health.set("process", True)
        self.needs = Prerequisites(
            settings or ServiceSettings.model_construct(database_url=URL),
            database,  # type: ignore[arg-type]
            self.health,
            ("0001", "0002"),
            **more,
        )

    def why(self, name: str) -> str:
        return self.health.checks()[name].why


@pytest.fixture(autouse=True)
def _nothing_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificates, "_watched", {})
    monkeypatch.setattr(certificates, "_in_use", {})


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kit.prerequisites.backoff_seconds", lambda _failures: 0)


async def test_a_database_that_is_away_is_waited_for_with_one_line() -> None:
    database = FakeDatabase(*[ConnectionRefusedError()] * 20, None)
    waiting = Waiting(database)
    with structlog.testing.capture_logs() as logged:
        await waiting.needs.database_there()
    assert [(line["log_level"], line["event"], line["part"]) for line in logged] == [("error", "waiting", "database")]
    assert logged[0]["why"].startswith("PostgreSQL at db:5433 does not answer (connection refused).")
    assert database.asked == 21
    assert waiting.health.ready()


async def test_while_it_is_away_the_reason_is_told_to_whoever_asks() -> None:
    waiting = Waiting(FakeDatabase(ConnectionRefusedError()))
    started = asyncio.ensure_future(waiting.needs.database_there())
    while "database" not in waiting.health.checks():  # noqa: ASYNC110 - a state has no event
        await asyncio.sleep(0)
    assert not waiting.health.ready()
    assert "does not answer (connection refused)" in waiting.why("database")
    started.cancel()


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (
            asyncpg.InvalidPasswordError("s3cret"),
            "refuses the password of the role gongji_binding. Correct GON",
        ),
        (asyncpg.InvalidCatalogNameError("no"), "has no database gongji_binding. Create it"),
        (asyncpg.InvalidAuthorizationSpecificationError("no"), "does not let the role gongji_binding in."),
    ],
)
async def test_a_database_that_does_not_let_it_in_ends_it_with_no_line_of_its_own(error: Exception, why: str) -> None:
    waiting = Waiting(FakeDatabase(error), refused_seconds=0.05)
    with structlog.testing.capture_logs() as logged, pytest.raises(DatabaseUnavailableError, match=why) as caught:
        await waiting.needs.database_there()
    assert logged == []  # the application tells why a part did not start
    assert "s3cret" not in str(caught.value)


async def test_a_password_that_is_being_changed_is_waited_for() -> None:
    waiting = Waiting(FakeDatabase(asyncpg.InvalidPasswordError("no"), asyncpg.InvalidPasswordError("no"), None))
    await waiting.needs.database_there()
    assert waiting.health.ready()


async def test_a_fault_of_the_program_is_not_waited_for() -> None:
    with pytest.raises(ZeroDivisionError):
        await Waiting(FakeDatabase(ZeroDivisionError())).needs.database_there()


async def test_an_older_schema_is_waited_for_with_one_line_until_it_is_migrated() -> None:
    database = FakeDatabase()
    database.revisions = [None, None, "0001", "0001", "0002"]
    waiting = Waiting(database)
    with structlog.testing.capture_logs() as logged:
        await waiting.needs.schema_there()
    assert [line["why"] for line in logged if line["log_level"] == "error"] == [
        "the database's schema is older than this version: 0001, 0002 missing. Run the command `migrate`.",
        "the database's schema is older than this version: 0002 missing. Run the command `migrate`.",
    ]
    assert waiting.health.ready()


async def test_a_later_schema_is_told_and_taken() -> None:
    with structlog.testing.capture_logs() as logged:
        await Waiting(FakeDatabase(revision="0003")).needs.schema_there()
    assert [(line["log_level"], line["revision"]) for line in logged] == [("warning", "0003")]


async def test_a_schema_of_something_else_ends_it() -> None:
    with pytest.raises(SchemaOfAnother, match="revision 0001b, which is none of this service's"):
        await Waiting(FakeDatabase(revision="0001b")).needs.schema_there()


def test_a_schema_is_judged_by_what_this_version_knows(tmp_path: Path) -> None:
    (tmp_path / "versions").mkdir()
    for name in ("0002_second.py", "0001_first.py", "__init__.py"):
        (tmp_path / "versions" / name).touch()
    known = revisions(tmp_path)
    assert known == ["0001", "0002"]
    assert judge("0003", known)
    assert not judge("0002", known)
    with pytest.raises(SchemaMissing, match=": 0002 missing"):
        judge("0001", known)
    with pytest.raises(SchemaMissing, match=": 0001, 0002 missing"):
        judge(None, known)


async def test_the_databases_clock_is_compared_when_it_answers() -> None:
    late = FixedClock(datetime.now(UTC) - timedelta(minutes=10))
    waiting = Waiting(FakeDatabase(None), clock=late)
    await waiting.needs.database_there()
    await waiting.health.ask("clock", waiting.needs.clock_offset.look)
    assert not waiting.health.ready()
    assert " s behind the database's" in waiting.why("clock")


async def test_a_database_that_is_away_says_nothing_of_the_clock() -> None:
    waiting = Waiting(FakeDatabase(None, ConnectionRefusedError()))
    await waiting.needs.database_there()
    await waiting.health.ask("database", waiting.needs.ask_database)
    await waiting.health.ask("clock", waiting.needs.clock_offset.look)
    assert not waiting.health.checks()["database"].ok
    assert waiting.health.checks()["clock"].ok


class InUse:
    """What a process shows, and whether the files say so still."""

    def __init__(self, pem: bytes) -> None:
        self.pem = pem
        self.is_refused = False

    def content(self) -> bytes:
        if self.is_refused:
            raise Misfit("what the files say is not in use")
        return self.pem


def showing(folder: Path, clock: FixedClock) -> tuple[Waiting, InUse]:
    """A process that shows a certificate which is good for half a day, also to Kafka."""
    own = Pki(folder).service("binding")
    settings = ServiceSettings.model_construct(database_url=URL, tls_cert_file=own.cert, kafka_cert_file=own.cert)
    shown = InUse(own.cert.read_bytes())
    certificates.watch("server", shown.content)
    certificates.watch("kafka", shown.content)
    return Waiting(FakeDatabase(None), settings, clock=clock), shown


async def test_a_certificate_that_runs_out_takes_the_process_out(tmp_path: Path) -> None:
    clock = FixedClock(SystemClock().now())
    waiting, _shown = showing(tmp_path, clock)
    await waiting.health.ask("certificates", waiting.needs.look_at_certificates)
    assert waiting.health.ready()
    clock.advance(timedelta(days=1))
    await waiting.health.ask("certificates", waiting.needs.look_at_certificates)
    assert not waiting.health.ready()
    assert waiting.why("certificates").startswith("GONGJI_TLS_CERT_FILE: ")
    assert waiting.why("certificates").endswith("; renew it")


async def test_files_that_are_refused_are_no_reason_but_what_is_in_use_may_run_out_meanwhile(tmp_path: Path) -> None:
    clock = FixedClock(SystemClock().now())
    waiting, shown = showing(tmp_path, clock)
    await waiting.health.ask("certificates", waiting.needs.look_at_certificates)
    shown.is_refused = True
    await waiting.health.ask("certificates", waiting.needs.look_at_certificates)
    assert waiting.health.ready()
    clock.advance(timedelta(days=1))
    await waiting.health.ask("certificates", waiting.needs.look_at_certificates)
    assert not waiting.health.ready()


async def test_kafkas_certificate_alone_makes_it_degraded(tmp_path: Path) -> None:
    waiting, shown = showing(tmp_path, FixedClock(SystemClock().now() + timedelta(days=1)))
    not_begun = InUse(shown.pem)
    not_begun.is_refused = True  # nothing is known of it
    certificates.watch("server", not_begun.content)
    await waiting.health.ask("certificates", waiting.needs.look_at_certificates)
    assert (waiting.health.ready(), waiting.health.degraded()) == (True, ["certificates"])
    assert waiting.why("certificates").startswith("GONGJI_KAFKA_CERT_FILE: ")
