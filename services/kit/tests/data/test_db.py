import asyncio

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from kit import db_pool
from kit.db import Database, DatabaseUnavailableError, PostgresWork, Transaction, engine_url, retrying
from kit.db_errors import ConnectTimedOut, is_contention, is_unavailable, sqlstate_of
from kit.errors import Refusal

IDENTITY = "SELECT pg_backend_pid(), pg_current_xact_id()::text"


class BrokenOnPurposeError(Exception):
    pass


async def count(database: Database) -> int:
    async with database.transaction() as transaction:
        found: int = await transaction.raw.fetchval("SELECT count(*) FROM fact")
        return found


async def write(database: Database, *values: tuple[str, int], broken: bool = False) -> None:
    """One fact each; the first by the library that the first name says, and so on."""
    async with database.transaction() as transaction:
        for library, number in values:
            if library == "raw":
                await transaction.raw.execute("INSERT INTO fact VALUES ($1, $2)", library, number)
            else:
                await transaction.sql.execute(
                    text("INSERT INTO fact VALUES (:id, :number)"), {"id": library, "number": number}
                )
        if broken:
            raise BrokenOnPurposeError


async def test_both_libraries_are_in_one_transaction_on_one_connection(database: Database) -> None:
    async with database.transaction() as transaction:
        raw = tuple(await transaction.raw.fetchrow(IDENTITY) or ())
        sql = tuple((await transaction.sql.execute(text(IDENTITY))).one())
        assert raw == sql
        await transaction.raw.execute("INSERT INTO fact VALUES ('raw')")
        assert (await transaction.sql.execute(text("SELECT id FROM fact"))).scalar_one() == "raw"
        await transaction.sql.execute(text("INSERT INTO fact VALUES ('sql')"))
        assert await transaction.raw.fetchval("SELECT count(*) FROM fact") == 2
    assert await count(database) == 2


async def test_an_exception_rolls_back_what_both_wrote(database: Database) -> None:
    with pytest.raises(BrokenOnPurposeError):
        await write(database, ("raw", 1), ("sql", 1), broken=True)
    assert await count(database) == 0


async def test_an_error_of_asyncpg_rolls_back_what_sqlalchemy_wrote(database: Database) -> None:
    with pytest.raises(asyncpg.CheckViolationError):
        await write(database, ("sql", 1), ("raw", -1))
    assert await count(database) == 0


async def test_an_error_of_sqlalchemy_rolls_back_what_asyncpg_wrote(database: Database) -> None:
    with pytest.raises(DBAPIError) as caught:
        await write(database, ("raw", 1), ("sql", -1))
    assert sqlstate_of(caught.value) == "23514"
    assert await count(database) == 0


async def test_a_swallowed_error_does_not_commit_the_rest(database: Database) -> None:
    async def swallowing(transaction: Transaction) -> None:
        await transaction.raw.execute("INSERT INTO fact VALUES ('first')")
        with pytest.raises(asyncpg.CheckViolationError):
            await transaction.raw.execute("INSERT INTO fact VALUES ('second', -1)")

    async with database.transaction() as transaction:
        await swallowing(transaction)
    assert await count(database) == 0


async def test_a_cancelled_transaction_rolls_back_and_returns_its_connection(database: Database) -> None:
    begun = asyncio.Event()

    async def work() -> None:
        async with database.transaction() as transaction:
            await transaction.raw.execute("INSERT INTO fact VALUES ('raw')")
            begun.set()
            await transaction.raw.execute("SELECT pg_sleep(30)")

    for _ in range(6):  # more often than the pool has connections
        begun.clear()
        task = asyncio.create_task(work())
        await begun.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert await count(database) == 0


async def test_a_transaction_costs_begin_and_commit_beside_its_own_statements(database_url: str) -> None:
    database = Database(database_url, pool_size=1)
    await database.connect()
    sent: list[str] = []
    async with database.transaction() as transaction:
        raw = transaction.raw
        raw.add_query_logger(lambda query: sent.append(query.query))
    async with database.transaction() as transaction:
        await transaction.raw.execute("SELECT 1")
    async with database.transaction() as transaction:
        await transaction.sql.execute(text("SELECT 2"))
    with pytest.raises(BrokenOnPurposeError):
        await write(database, broken=True)
    assert [query.rstrip(";") for query in sent if query != "SELECT 2"] == [
        *("COMMIT", "BEGIN", "SELECT 1", "COMMIT", "BEGIN", "COMMIT", "BEGIN", "ROLLBACK"),
    ]
    await database.close()


async def test_a_block_of_asyncpg_inside_is_a_savepoint_for_both(database: Database) -> None:
    async with database.transaction() as transaction:
        await transaction.raw.execute("INSERT INTO fact VALUES ('kept')")
        savepoint = transaction.raw.transaction()
        await savepoint.start()
        await transaction.sql.execute(text("INSERT INTO fact VALUES ('undone')"))
        await savepoint.rollback()
    assert await count(database) == 1


async def test_a_connection_that_cannot_be_rolled_back_in_time_is_replaced(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(database_url, pool_size=1)
    await database.connect()
    async with database.transaction() as transaction:
        before = transaction.raw
    monkeypatch.setattr("kit.db_pool.ROLLBACK_TIMEOUT_SECONDS", 0.0)
    with pytest.raises(BrokenOnPurposeError):
        await write(database, ("raw", 1), broken=True)
    async with database.transaction() as transaction:
        assert transaction.raw is not before
    assert await count(database) == 0
    await database.close()


async def test_a_connection_in_use_when_the_pool_closes_ends_with_its_transaction(database: Database) -> None:
    async with database.transaction() as transaction:
        await transaction.raw.execute("INSERT INTO fact VALUES ('x')")
        await database.close()
        raw = transaction.raw
        assert not raw.is_closed()
    assert raw.is_closed()
    assert await count(database) == 1
    await database.close()


async def test_the_limits_hold_inside_and_are_gone_after(database_url: str) -> None:
    database = Database(database_url, pool_size=1, lock_timeout_seconds=0.5, statement_timeout_seconds=7)
    settings = "SELECT current_setting('lock_timeout') || ' ' || current_setting('statement_timeout')"
    async with database.transaction() as transaction:
        assert await transaction.raw.fetchval(settings) == "500ms 7s"
        assert await transaction.raw.fetchval("SHOW transaction_isolation") == "read committed"
        raw = transaction.raw
    async with database.transaction(statement_timeout_seconds=90) as transaction:
        assert transaction.raw is raw
        assert await transaction.raw.fetchval(settings) == "500ms 90s"
    await database.close()


async def test_a_plan_made_while_the_table_was_empty_uses_the_index_when_it_is_full(database_url: str) -> None:
    database = Database(database_url, pool_size=1)
    async with database.transaction() as transaction:
        statement = await transaction.raw.prepare("EXPLAIN SELECT number FROM fact WHERE id = ANY ($1)")
        plan = await statement.fetchval(["a"])
        assert "Index" in plan
    async with database.transaction(statement_timeout_seconds=90) as transaction:
        assert "Seq Scan" in await transaction.raw.fetchval("EXPLAIN SELECT number FROM fact")
        assert await transaction.raw.fetchval("SHOW enable_seqscan") == "on"
    async with database.transaction() as transaction:
        assert await transaction.raw.fetchval("SHOW enable_seqscan") == "off"
    await database.close()


async def test_a_lock_that_is_not_given_in_time_is_contention(database_url: str, database: Database) -> None:
    impatient = Database(database_url, lock_timeout_seconds=0.05)
    async with database.transaction() as transaction:
        await transaction.raw.execute("LOCK TABLE fact")
        with pytest.raises(asyncpg.LockNotAvailableError) as caught:
            async with impatient.transaction() as other:
                await other.raw.execute("INSERT INTO fact VALUES ('x')")
    assert is_contention(caught.value)
    assert not is_unavailable(caught.value)
    await impatient.close()


async def test_a_statement_that_takes_too_long_is_neither_contention_nor_an_outage(database_url: str) -> None:
    database = Database(database_url, statement_timeout_seconds=1)
    with pytest.raises(DBAPIError) as caught:
        async with database.transaction() as transaction:
            await transaction.sql.execute(text("SELECT pg_sleep(30)"))
    assert sqlstate_of(caught.value) == "57014"
    assert not is_contention(caught.value)
    assert not is_unavailable(caught.value)
    await database.close()


async def test_an_exhausted_pool_refuses_with_overloaded(database_url: str) -> None:
    database = Database(database_url, pool_size=1, pool_timeout_seconds=0.05)
    async with database.transaction():
        with pytest.raises(Refusal) as caught:
            async with database.transaction():
                pass
    assert caught.value.reason == "OVERLOADED"
    await database.ping()
    await database.close()


async def test_connections_that_died_in_the_pool_are_replaced_unseen(
    database: Database, postgres_admin_url: str
) -> None:
    async def use(count: int) -> set[int]:
        """So many connections at once; the processes of the server that they led to."""
        async with database.transaction() as transaction:
            process: int = await transaction.raw.fetchval("SELECT pg_backend_pid()")
            return {process} | (await use(count - 1) if count > 1 else set())

    died = await use(4)  # fills the pool
    admin = await asyncpg.connect(postgres_admin_url)
    url = database.engine.url
    await admin.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND application_name = 'gongji'",
        url.database,
    )
    await admin.close()
    replaced = await use(4)
    assert (len(replaced), replaced & died) == (4, set())


async def test_a_connection_that_was_cut_in_silence_is_replaced_unseen(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with database.transaction() as transaction:
        before = await transaction.raw.fetchval("SELECT pg_backend_pid()")
    monkeypatch.setattr(db_pool, "CONNECT_TIMEOUT_SECONDS", 2.0)
    start, silent = asyncpg.transaction.Transaction.start, iter([True])

    async def unanswered_once(begun: asyncpg.transaction.Transaction) -> None:
        if next(silent, False):
            await asyncio.Event().wait()
        await start(begun)

    monkeypatch.setattr(asyncpg.transaction.Transaction, "start", unanswered_once)
    async with asyncio.timeout(60), database.transaction() as transaction:
        assert await transaction.raw.fetchval("SELECT pg_backend_pid()") != before


async def test_a_connection_that_dies_in_the_middle_is_an_outage_and_the_work_is_not_run_again(
    database: Database, postgres_admin_url: str
) -> None:
    runs = 0
    admin = await asyncpg.connect(postgres_admin_url)

    async def work() -> None:
        nonlocal runs
        runs += 1
        async with database.transaction() as transaction:
            pid = await transaction.raw.fetchval("SELECT pg_backend_pid()")
            await admin.execute("SELECT pg_terminate_backend($1)", pid)
            await transaction.raw.execute("INSERT INTO fact VALUES ('x')")

    lost = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, ConnectionError)
    for times in range(1, 7):  # more often than the pool has connections
        with pytest.raises(lost) as caught:
            await work()
        assert is_unavailable(caught.value)
        assert runs == times
    await admin.close()
    assert await count(database) == 0


async def test_a_refused_connection_is_an_outage(unused_tcp_port: int) -> None:
    database = Database(f"postgresql://nobody:nothing@127.0.0.1:{unused_tcp_port}/nowhere")
    with pytest.raises(ConnectionRefusedError) as caught:
        await database.ping()
    assert is_unavailable(caught.value)
    with pytest.raises(DatabaseUnavailableError, match="DATABASE_URL"):
        await database.connect(wait_seconds=0.1)
    await database.close()


async def test_a_server_that_takes_connections_and_says_nothing_is_an_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kit.db_pool.CONNECT_TIMEOUT_SECONDS", 0.1)
    async with await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0) as silent:
        port = silent.sockets[0].getsockname()[1]
        database = Database(f"postgresql://nobody:nothing@127.0.0.1:{port}/nowhere")
        with pytest.raises(ConnectTimedOut) as caught:
            await database.ping()
        assert is_unavailable(caught.value)
        await database.close()


@pytest.mark.parametrize("error", [FileNotFoundError("proof.pdf"), TimeoutError("somebody else's")], ids=repr)
def test_a_missing_file_and_a_time_out_elsewhere_are_no_outage_of_the_database(error: Exception) -> None:
    assert not is_unavailable(error)


def test_tls_settings_of_the_url_stay_with_asyncpg() -> None:
    url = engine_url("postgresql://role:p%40ss@db:5432/name?sslmode=verify-full&sslrootcert=/ca.pem")
    assert (url.drivername, url.host, url.password, dict(url.query)) == ("postgresql+asyncpg", "db", "p@ss", {})


async def test_values_do_not_show_in_errors_of_sqlalchemy(database: Database) -> None:
    with pytest.raises(DBAPIError) as caught:
        await write(database, ("11010119900307001X", -1))
    assert "parameters hidden" in str(caught.value)


async def test_the_victim_of_a_deadlock_runs_again_from_its_start(database: Database) -> None:
    async with database.transaction() as transaction:
        await transaction.raw.execute("INSERT INTO fact VALUES ('a'), ('b')")
    both_hold_one = asyncio.Barrier(2)
    runs = 0

    async def add(first: str, second: str) -> None:
        nonlocal runs
        runs += 1
        async with database.transaction() as transaction:
            await transaction.raw.execute("UPDATE fact SET number = number + 1 WHERE id = $1", first)
            if runs <= 2:
                await both_hold_one.wait()
            await transaction.raw.execute("UPDATE fact SET number = number + 1 WHERE id = $1", second)

    await asyncio.gather(retrying(lambda: add("a", "b")), retrying(lambda: add("b", "a")))
    assert runs == 3
    async with database.transaction() as transaction:
        assert [row["number"] for row in await transaction.raw.fetch("SELECT number FROM fact")] == [2, 2]


async def test_other_errors_are_not_run_again() -> None:
    runs = 0

    async def fail() -> None:
        nonlocal runs
        runs += 1
        raise BrokenOnPurposeError

    with pytest.raises(BrokenOnPurposeError):
        await retrying(fail)
    assert runs == 1


async def test_who_is_always_in_the_way_is_told_after_five_runs() -> None:
    runs = 0

    async def lose() -> None:
        nonlocal runs
        runs += 1
        raise asyncpg.DeadlockDetectedError

    with pytest.raises(asyncpg.DeadlockDetectedError):
        await retrying(lose)
    assert runs == 5


async def test_a_unit_of_work_gives_the_repository_its_own_transaction(database: Database) -> None:
    work = PostgresWork(database, lambda transaction: transaction)
    async with work() as one, work() as other:
        assert one.raw is not other.raw
        await one.raw.execute("INSERT INTO fact VALUES ('x')")
        assert await other.raw.fetchval("SELECT count(*) FROM fact") == 0
    assert await count(database) == 1
