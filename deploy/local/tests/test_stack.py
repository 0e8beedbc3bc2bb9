"""The stack comes up, tells the truth, takes what is done to it, and goes down."""

import dataclasses
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import psutil
import pytest

from gongji_local import bringing_up
from gongji_local.blocking import run_blocking
from gongji_local.choice import Named
from gongji_local.clock import wait_until
from gongji_local.errors import StackError
from gongji_local.info import ProcessStatus
from gongji_local.kafka import server
from gongji_local.kafka.jars import ensure_jars
from gongji_local.ports import listens
from gongji_local.postgres.databases import execute
from gongji_local.processes import is_alive, send
from gongji_local.progress import Step
from gongji_local.stack import Stack
from gongji_local.state import StateBook
from kit.clock import OffsetClock

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]  # a broker starts slowly on a busy machine

Let = Callable[[str, str], None]


class Recorder:
    """Keeps the names of the steps that were told."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.failures: list[str] = []

    def begun(self, step: Step) -> None:
        """Told when it is done."""

    def done(self, step: Step, seconds: float) -> None:
        assert seconds >= 0
        self.steps.append(step.name)

    def failed(self, step: Step, seconds: float) -> None:
        assert seconds >= 0
        self.failures.append(step.name)


def pids(stack: Stack) -> dict[str, int | None]:
    return {process.name: process.pid for process in stack.status()}


def states(stack: Stack) -> dict[str, bool]:
    return {process.name: process.ready for process in stack.status()}


async def enter(url: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.close()


def status_of(stack: Stack, name: str) -> ProcessStatus:
    return next(process for process in stack.status() if process.name == name)


def test_up_makes_everything_ready_and_tells_where_it_is(own_stack: Stack) -> None:
    info = own_stack.info
    assert states(own_stack) == {"postgres": True, "kafka": True, "binding": True, "notify": True}
    assert listens(int(info.services["binding"].http_address.rpartition(":")[2]))
    assert info.services["binding"].pid == pids(own_stack)["binding"]
    assert info.jwks_file.exists()
    assert info.service_ca_file.exists()


def test_a_second_up_finds_what_runs(own_stack: Stack) -> None:
    before, told = pids(own_stack), Recorder()
    own_stack.up(told)
    assert pids(own_stack) == before
    assert told.steps == ["Already running"]


def test_another_command_finds_what_this_one_started(own_stack: Stack, second_view: Stack) -> None:
    second_view.up()
    assert pids(second_view) == pids(own_stack)
    assert second_view.info == own_stack.info


def test_two_commands_at_once_start_everything_once(own_stack: Stack, second_view: Stack) -> None:
    own_stack.kill_service("binding")
    own_stack.kill_service("notify")
    both = [threading.Thread(target=view.up) for view in (own_stack, second_view)]
    for command in both:
        command.start()
    for command in both:
        command.join(240)
    assert all(states(own_stack).values())
    assert pids(own_stack) == pids(second_view)


def test_each_service_reaches_its_own_database_only(own_stack: Stack) -> None:
    binding = own_stack.info.database_url("binding")
    assert binding.endswith("/gongji_binding")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        run_blocking(lambda: enter(f"{binding.rpartition('/')[0]}/gongji_notify"))


def test_a_killed_service_is_seen_and_brought_back_on_its_ports(own_stack: Stack) -> None:
    before = own_stack.info.services["binding"]
    own_stack.kill_service("binding")
    seen = status_of(own_stack, "binding")
    assert (seen.alive, seen.ready, seen.pid) == (False, False, None)
    assert seen.why.startswith(f"process {before.pid} was killed or ended from outside")
    told = Recorder()
    after = own_stack.up(told).services["binding"]
    assert (after.grpc_address, after.http_address) == (before.grpc_address, before.http_address)
    assert after.pid != before.pid


def test_a_service_that_hangs_is_alive_but_not_ready(own_stack: Stack) -> None:
    own_stack.kill_service("notify", signal.SIGSTOP)
    seen = status_of(own_stack, "notify")
    own_stack.kill_service("notify", signal.SIGCONT)
    assert (seen.alive, seen.ready) == (True, False)
    assert "does not answer" in seen.why


def test_a_service_that_says_it_is_not_ready_is_believed(own_stack: Stack, let: Let) -> None:
    let("notify", "unready")
    seen = status_of(own_stack, "notify")
    assert (seen.alive, seen.ready, seen.why) == (True, False, "the consumer loop does not live")


def test_a_service_that_takes_calls_and_is_degraded_is_ready_with_a_warning(own_stack: Stack, let: Let) -> None:
    let("notify", "degraded")
    seen = status_of(own_stack, "notify")
    assert (seen.ready, seen.why, seen.well) == (True, "", False)
    assert seen.warning == "consumer notify: Kafka does not answer (for 30 s)"


def test_a_service_that_stays_degraded_is_not_up(own_stack: Stack, let: Let, monkeypatch: pytest.MonkeyPatch) -> None:
    let("notify", "degraded")
    monkeypatch.setattr("gongji_local.services.START_TIMEOUT_SECONDS", 0.5)
    with pytest.raises(StackError, match=r"It says: consumer notify: Kafka does not answer \(for 30 s\)"):
        own_stack.up()


def test_a_server_that_refuses_in_the_middle_of_a_start_is_no_trace(
    own_stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_arguments: object) -> None:
        raise asyncpg.DiskFullError('could not extend file "base/5/1259": No space left on device')

    own_stack.stop_service("notify")
    monkeypatch.setattr(bringing_up, "ensure_databases", refuse)
    with pytest.raises(StackError, match="The disk is full: PostgreSQL could not write"):
        own_stack.up()


def test_a_stranger_on_a_dead_services_port_is_not_taken_for_it(own_stack: Stack) -> None:
    record = StateBook(own_stack.folder).read()
    own_stack.stop_service("notify")
    StateBook(own_stack.folder).put_process("notify", record.processes["binding"])
    assert "does not listen" in status_of(own_stack, "notify").why
    StateBook(own_stack.folder).forget_process("notify")


def test_a_process_that_got_a_dead_ones_id_is_left_alone(own_stack: Stack) -> None:
    book = StateBook(own_stack.folder)
    process = book.read().processes["notify"]
    own_stack.stop_service("notify")
    bystander = book.read().processes["binding"]
    stale = type(process)(bystander.pid, bystander.started_after_boot_seconds - 100)
    book.put_process("notify", stale)
    assert not status_of(own_stack, "notify").alive
    own_stack.stop_service("notify")
    assert is_alive(bystander)


def test_a_service_that_crashes_while_starting_shows_its_last_words(own_stack: Stack, let: Let) -> None:
    own_stack.stop_service("binding")
    let("binding", "crash")
    told = Recorder()
    with pytest.raises(StackError, match=r"binding ended while starting \(exit status 3\)") as refusal:
        own_stack.up(told)
    assert "the key ring could not be read" in refusal.value.problem
    assert "gongji-local logs binding" in refusal.value.next_step
    assert "binding" in told.failures


def test_a_service_without_room_on_the_disk_says_so(own_stack: Stack, let: Let) -> None:
    own_stack.stop_service("binding")
    let("binding", "disk-full")
    with pytest.raises(StackError, match="The disk is full: binding could not write"):
        own_stack.start_service("binding")


def test_a_service_that_never_gets_ready_is_told_with_its_reason(
    own_stack: Stack, let: Let, monkeypatch: pytest.MonkeyPatch
) -> None:
    let("binding", "unready")
    monkeypatch.setattr("gongji_local.services.START_TIMEOUT_SECONDS", 0.5)
    with pytest.raises(StackError, match=r"not ready after 0 s. It says: the consumer loop does not live"):
        own_stack.start_service("binding")


def test_a_migration_that_fails_stops_the_start_and_shows_why(own_stack: Stack, let: Let) -> None:
    own_stack.stop_service("binding")
    let("binding", "migration-fails")
    StateBook(own_stack.folder).put_schema_mark("binding", "of an older schema")
    with pytest.raises(StackError, match="migration of binding failed") as refusal:
        own_stack.up()
    assert 'column "balance" does not exist' in refusal.value.problem
    assert status_of(own_stack, "binding").why == "not started"


def test_a_schema_that_is_known_to_be_the_newest_is_not_migrated_again(own_stack: Stack, let: Let) -> None:
    own_stack.stop_service("binding")
    let("binding", "migration-fails")
    own_stack.up()
    assert status_of(own_stack, "binding").ready


def test_a_database_that_was_made_anew_is_migrated_again(own_stack: Stack, let: Let) -> None:
    own_stack.stop_service("binding")
    execute(own_stack.info.postgres_admin_url, "DROP DATABASE gongji_binding WITH (FORCE)")
    let("binding", "migration-fails")
    with pytest.raises(StackError, match="migration of binding failed"):
        own_stack.up()


def test_the_first_start_migrates_while_the_jars_are_still_being_fetched(
    own_stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = StateBook(own_stack.folder)
    own_stack.stop_kafka()
    book.change(lambda record: dataclasses.replace(record, schema_marks={}, ports=without_kafka(record.ports)))

    def fetch_slowly(*arguments: Any) -> list[Path]:
        assert wait_until(lambda: len(book.read().schema_marks) == 2, 240)
        return ensure_jars(*arguments)

    monkeypatch.setattr(server, "ensure_jars", fetch_slowly)
    own_stack.up()
    assert all(states(own_stack).values())


def without_kafka(ports: dict[str, int]) -> dict[str, int]:
    return {name: port for name, port in ports.items() if not name.startswith("kafka")}


def test_a_services_port_taken_in_the_last_moment_gives_a_sentence(
    own_stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_stack.stop_service("binding")
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        monkeypatch.setattr("gongji_local.services.free_port", lambda _former, _others: taken)
        with pytest.raises(StackError, match=f"Another program took port {taken}"):
            own_stack.start_service("binding")


def test_a_service_that_is_deaf_is_killed_in_the_end(
    own_stack: Stack, let: Let, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_stack.stop_service("notify")
    let("notify", "deaf")
    own_stack.start_service("notify")
    process = StateBook(own_stack.folder).read().processes["notify"]
    monkeypatch.setattr("gongji_local.services.STOP_TIMEOUT_SECONDS", 0.2)
    own_stack.stop_service("notify")
    assert not is_alive(process)


def test_a_service_whose_code_has_changed_is_started_again(own_stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    before = pids(own_stack)
    monkeypatch.setattr(bringing_up, "runs_older_code", lambda service, _process: service == "notify")
    own_stack.up()
    after = pids(own_stack)
    assert after["notify"] != before["notify"]
    assert after["binding"] == before["binding"]


def test_a_service_that_was_told_something_else_than_now_is_started_again(own_stack: Stack) -> None:
    own_stack.stop_service("notify")
    own_stack.start_service("notify", {"GONGJI_LOG_LEVEL": "DEBUG"})
    before = pids(own_stack)
    told = Recorder()
    own_stack.up(told)
    assert "Ending notify" in told.steps
    assert pids(own_stack)["notify"] != before["notify"]
    assert pids(own_stack)["binding"] == before["binding"]


def test_killing_what_does_not_run_is_refused(own_stack: Stack) -> None:
    own_stack.stop_service("binding")
    with pytest.raises(StackError, match="binding does not run"):
        own_stack.kill_service("binding")


def test_down_ends_just_what_it_started_and_up_finds_the_data(own_stack: Stack, scratch: Path) -> None:
    neighbour = Stack(scratch, environ={})
    neighbour.start_postgres()
    processes = StateBook(own_stack.folder).read().processes
    assert sorted(own_stack.down()) == ["binding", "kafka", "notify", "postgres"]
    assert not any(is_alive(process) for process in processes.values())
    assert not any(states(own_stack).values())
    assert neighbour.status()[0].ready
    assert own_stack.down() == []
    own_stack.up()
    assert all(states(own_stack).values())


def test_a_database_server_killed_with_9_comes_back(own_stack: Stack) -> None:
    send(StateBook(own_stack.folder).read().processes["postgres"], signal.SIGKILL)
    assert wait_until(lambda: not states(own_stack)["postgres"], 60)
    assert "was killed or ended from outside" in status_of(own_stack, "postgres").why
    own_stack.up()
    assert all(states(own_stack).values())


def test_the_services_go_by_the_clock_that_is_moved(own_stack: Stack) -> None:
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    own_stack.move_clock(tomorrow)
    seen = OffsetClock(own_stack.info.clock_offset_file).now()
    assert abs(seen - tomorrow) < timedelta(seconds=10)
    assert abs(own_stack.now() - tomorrow) < timedelta(seconds=10)


def test_identities_are_ready_to_be_shown(own_stack: Stack) -> None:
    files = own_stack.institution_tls("H65270100001")
    assert all(path.exists() for path in (files.cert, files.key, files.ca))
    assert own_stack.service_tls("portal").ca == files.ca
    assert own_stack.assertion("clerk:wang", audience="binding").count(".") == 2


def test_servers_that_are_already_there_are_used_and_never_ended(
    own_stack: Stack, scratch: Path, external: Callable[[Path], Stack]
) -> None:
    guest = external(scratch)
    guest.up()
    assert guest.info.kafka_bootstrap == own_stack.info.kafka_bootstrap
    assert [process.pid for process in guest.status()[:2]] == [None, None]
    with pytest.raises(StackError, match="neither starts nor ends it"):
        guest.stop_kafka()
    guest.down()
    assert all(states(own_stack).values())


def test_what_runs_is_not_mixed_with_what_is_newly_asked_for(own_stack: Stack, plain_environ: dict[str, str]) -> None:
    environ = {**plain_environ, "KAFKA_BOOTSTRAP": "127.0.0.1:1"}
    other = Stack(own_stack.folder.root, environ=environ, services=("binding", "notify"))
    with pytest.raises(StackError, match="embedded Kafka, and now embedded PostgreSQL and external Kafka") as refusal:
        other.up()
    assert "down` first" in refusal.value.next_step


@pytest.mark.parametrize(
    ("named", "words"),
    [
        (Named(postgres_url="postgresql://a:secret@127.0.0.1:1/x"), "127.0.0.1:1, which .* names, does not answer"),
        (Named(postgres_url="mysql://a:secret@127.0.0.1:1/x"), "is no URL of a PostgreSQL"),
        (Named(postgres_url="postgresql://a:secret@127.0.0.1:port/x"), "is no URL of a PostgreSQL"),
        (Named(postgres_url="secret"), "is no URL of a PostgreSQL"),
        (Named(kafka_bootstrap="127.0.0.1:1"), "The Kafka at 127.0.0.1:1"),
    ],
)
def test_a_named_server_that_does_not_answer_is_told(tmp_path: Path, named: Named, words: str) -> None:
    stack = Stack(tmp_path, named=named, environ={})
    start = stack.start_postgres if named.postgres_url else stack.start_kafka
    with pytest.raises(StackError, match=words) as refusal:
        start()
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("postgres:", "postgres:wrong"), "answers and refuses the password of postgres"),
        (("/postgres", "/nowhere"), "answers and has no database nowhere"),
    ],
)
def test_a_named_server_that_answers_and_refuses_is_not_called_silent(
    own_stack: Stack, tmp_path: Path, change: tuple[str, str], words: str
) -> None:
    scheme, _, rest = own_stack.info.postgres_admin_url.partition("//")
    url = f"{scheme}//{rest.replace(*change)}"
    with pytest.raises(StackError, match=words) as refusal:
        Stack(tmp_path, named=Named(postgres_url=url), environ={}).start_postgres()
    assert "wrong" not in str(refusal.value)
    assert "does not answer" not in str(refusal.value)


def test_the_environment_of_a_service_is_what_it_was_started_with(own_stack: Stack) -> None:
    told = own_stack.environment("notify")
    assert told["GONGJI_DATABASE_URL"] == own_stack.info.database_url("notify")
    assert told["GONGJI_GRPC_ADDRESS"] == own_stack.info.services["notify"].grpc_address
    pid = own_stack.info.services["notify"].pid
    assert told.items() <= psutil.Process(pid).environ().items()


@pytest.fixture
def external(own_stack: Stack) -> Iterator[Callable[[Path], Stack]]:
    """Stacks in other folders that use the servers of this one, under service names of their own."""
    made: list[Stack] = []

    def new(folder: Path) -> Stack:
        info = own_stack.info
        stack = Stack(
            folder,
            named=Named(info.postgres_admin_url, info.kafka_bootstrap),
            environ=own_stack.environ,
            services=("guest",),
            launcher=own_stack.launcher,
        )
        made.append(stack)
        return stack

    yield new
    for stack in made:
        stack.down()
