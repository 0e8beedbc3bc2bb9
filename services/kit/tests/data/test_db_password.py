"""A database's password is replaced while the service works, and not one unit of work fails."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg
import pytest
from sqlalchemy.exc import DBAPIError

from kit import db_login, migrate
from kit.config import ConfigurationError, DatabaseSettings, describe, load
from kit.db import Database
from kit.db_errors import is_unavailable
from kit.db_login import connect
from kit.db_password import OTHER, PasswordUnreadable, password_file, passwords, without_file
from kit.surroundings import database_failure
from kit.testing import eventually

WORKERS = 3


class Login:
    """A role of this test's own, and the files of whoever logs in as it."""

    def __init__(self, admin_url: str, folder: Path) -> None:
        self.admin_url = admin_url
        self.role = f"kit_{uuid4().hex[:12]}"
        self.file = folder / "password"
        self.other = folder / f"password{OTHER}"

    @property
    def url(self) -> str:
        parts = urlsplit(self.admin_url)
        place = parts.netloc.rpartition("@")[2]
        return urlunsplit(parts._replace(netloc=f"{self.role}@{place}", query=f"passwordfile={self.file}"))

    async def has(self, password: str, verb: str = "ALTER") -> None:
        """The role has this password from now on."""
        administrator = await asyncpg.connect(self.admin_url)
        await administrator.execute(f"{verb} ROLE {self.role} LOGIN PASSWORD '{password}'")
        await administrator.close()

    async def gone(self) -> None:
        administrator = await asyncpg.connect(self.admin_url)
        await administrator.execute(f"DROP ROLE {self.role}")
        await administrator.close()


@pytest.fixture
def login(postgres_admin_url: str, tmp_path: Path) -> Iterator[Login]:
    login = Login(postgres_admin_url, tmp_path)
    asyncio.run(login.has("first", "CREATE"))
    login.file.write_text("first\n")
    yield login
    asyncio.run(login.gone())


class Load:
    """Units of work without end, each on a new connection as often as not."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.done = 0
        self.failed: list[BaseException] = []

    async def work(self) -> None:
        while True:
            try:
                async with self.database.transaction() as transaction:
                    await transaction.raw.fetchval("SELECT 1")
            except (asyncpg.PostgresError, OSError) as error:
                self.failed.append(error)
            self.done += 1
            self.database._pool.renew()  # as if every connection had ended

    async def goes_on(self) -> None:
        before = self.done
        await eventually(lambda: self.done >= before + 4 * WORKERS)


async def test_a_password_is_replaced_under_load(login: Login) -> None:
    database = Database(login.url, 4, "rotating")
    load = Load(database)
    workers = [asyncio.create_task(load.work()) for _ in range(WORKERS)]
    await load.goes_on()
    for before, after in (("first", "second"), ("second", "third")):
        login.other.write_text(after)  # 1. both are known
        await load.goes_on()
        await login.has(after)  # 2. the role takes the new one
        await load.goes_on()
        login.file.write_text(after)  # 3. the new one alone
        login.other.unlink()
        await load.goes_on()
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(without_file(login.url), password=before)
    for worker in workers:
        worker.cancel()
    await asyncio.gather(*workers, return_exceptions=True)
    await database.close()
    assert load.failed == []


async def test_the_files_may_come_after_the_role_or_before(login: Login) -> None:
    # As an operator of databases does it that sets the role by the Secret: the old one stays as the other.
    login.file.write_text("second")
    login.other.write_text("first")
    await (await connect(login.url)).close()
    await login.has("second")
    await (await connect(login.url)).close()


async def test_a_password_that_neither_file_has_is_refused_in_words(login: Login) -> None:
    await login.has("unknown")
    login.other.write_text("second")
    with pytest.raises(asyncpg.InvalidPasswordError) as refused:
        await connect(login.url)
    said = str(database_failure(refused.value, login.url))
    assert f"refuses the password of the role {login.role}. Correct GONGJI_DATABASE_URL, or the file" in said


async def test_a_file_that_is_gone_is_an_outage_that_names_it(login: Login) -> None:
    database = Database(login.url, 1, "rotating")
    login.file.unlink()
    with pytest.raises(PasswordUnreadable) as refused:
        await database.ping()
    assert is_unavailable(refused.value)
    assert str(login.file) in str(database_failure(refused.value, login.url))
    login.file.write_text("first")
    await database.ping()
    await database.close()


def test_migrations_log_in_the_same_way(login: Login, tmp_path: Path) -> None:
    (tmp_path / "versions").mkdir()
    login.file.write_text("wrong")
    with pytest.raises(DBAPIError, match="password authentication failed"):
        migrate.pending(login.url, tmp_path)
    login.other.write_text("first")
    assert migrate.pending(login.url, tmp_path) == []


@pytest.mark.parametrize(
    ("file", "other", "found"),
    [
        ("a\n", None, ["a"]),
        (" a b ", "", ["a b"]),
        ("a", "a\n", ["a"]),
        ("a", "b\n", ["a", "b"]),
        ("密码", None, ["密码"]),
    ],
)
def test_what_the_files_say_is_tried_in_order(tmp_path: Path, file: str, other: str | None, found: list[str]) -> None:
    (tmp_path / "password").write_text(file)
    if other is not None:
        (tmp_path / f"password{OTHER}").write_text(other)
    assert passwords(tmp_path / "password") == found


@pytest.mark.parametrize("content", [None, b"", b" \n", b"\xff\xfe"])
def test_a_file_without_a_password_is_refused(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "password").write_bytes(content)
    with pytest.raises(PasswordUnreadable, match="password"):
        passwords(tmp_path / "password")


def test_the_rest_of_the_url_stays() -> None:
    root = "sslmode=verify-full&sslrootcert=/etc/gongji/database/ca.crt"
    url = f"postgresql://role@host:5432/name?{root}&passwordfile=/etc/gongji/database/password"
    assert without_file(url) == f"postgresql://role@host:5432/name?{root}"
    assert password_file(url) == Path("/etc/gongji/database/password")
    assert password_file(without_file(url)) is None


def settings(url: str) -> DatabaseSettings:
    return load(DatabaseSettings, {"GONGJI_ENVIRONMENT": "test", "GONGJI_DATABASE_URL": url})


def test_settings_show_no_password_and_refuse_what_cannot_be_used(tmp_path: Path) -> None:
    file = tmp_path / "password"
    with pytest.raises(ConfigurationError, match="cannot be read"):
        settings(f"postgresql://role@host/name?passwordfile={file}")
    file.write_text("secret-word")
    assert "secret-word" not in describe(settings(f"postgresql://role@host/name?passwordfile={file}"))
    with pytest.raises(ConfigurationError, match="leave the former out"):
        settings(f"postgresql://role:password@host/name?passwordfile={file}")


def test_there_is_one_way_to_connect() -> None:
    services = Path(db_login.__file__).parents[3]
    sources = {file: file.read_text(encoding="utf-8") for file in services.glob("*/src/**/*.py")}
    assert {file.name for file, text in sources.items() if "asyncpg.connect(" in text} == {"db_login.py"}
