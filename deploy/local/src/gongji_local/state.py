"""The state folder: what this checkout's stack has started, on which ports, with which secrets."""

import dataclasses
import fcntl
import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from gongji_local.clock import wait_until
from gongji_local.errors import StackError, from_os_error
from gongji_local.files import PRIVATE_FILE, PRIVATE_FOLDER, write_private
from gongji_local.processes import ProcessRecord

LOCK_TIMEOUT_SECONDS: Final = 600.0


def repository_root() -> Path:
    """The checkout this package is installed from (editable)."""
    return Path(__file__).resolve().parents[4]


def default_state(environ: Mapping[str, str]) -> Path:
    """`GONGJI_STATE`, else `.local/` of the checkout."""
    named = environ.get("GONGJI_STATE")
    return Path(named).expanduser().resolve() if named else repository_root() / ".local"


@dataclass(frozen=True, slots=True)
class StateFolder:
    """Where things lie in a state folder."""

    root: Path

    @property
    def record_file(self) -> Path:
        """What runs: ports, process ids, chosen servers."""
        return self.root / "stack.json"

    @property
    def lock_file(self) -> Path:
        """Held while one process changes the stack."""
        return self.root / "lock"

    @property
    def logs(self) -> Path:
        """A file per process."""
        return self.root / "logs"

    @property
    def tls(self) -> Path:
        """The throw-away authorities and what they signed."""
        return self.root / "tls"

    @property
    def secrets(self) -> Path:
        """Passwords, key rings and the assertion issuers' keys."""
        return self.root / "secrets"

    @property
    def postgres(self) -> Path:
        """The embedded PostgreSQL, where the account it runs as can reach it."""
        return self.root / "postgres"

    @property
    def kafka(self) -> Path:
        """The embedded Kafka's log segments and configuration."""
        return self.root / "kafka"

    @property
    def clock_offset_file(self) -> Path:
        """Seconds, as text, by which the services' clock is ahead of the computer's."""
        return self.root / "clock-offset"

    @property
    def sms(self) -> Path:
        """What notify would send to telephones, a file for each message."""
        return self.root / "sms"

    def log_of(self, name: str) -> Path:
        """The log of one process."""
        return self.logs / f"{name}.log"

    def create(self) -> None:
        """Makes the folders that are not there; PostgreSQL's account may walk through the root, nowhere else."""
        try:
            if not self.root.exists():
                self.root.mkdir(parents=True)
                self.root.chmod(0o711)
            for folder in (self.logs, self.tls, self.secrets, self.kafka, self.sms):
                folder.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
        except OSError as error:
            raise from_os_error(error, self.root) from error

    def remove(self) -> None:
        """Deletes what the stack made here, and the folder when nothing else is in it."""
        for folder in (self.logs, self.tls, self.secrets, self.kafka, self.sms, self.postgres, self.root / "cache"):
            shutil.rmtree(folder, ignore_errors=True)
        for file in (self.record_file, self.clock_offset_file, self.lock_file):
            file.unlink(missing_ok=True)
        with suppress(OSError):
            self.root.rmdir()


@dataclass(frozen=True, slots=True)
class Record:
    """What a state folder remembers between commands. URLs may hold passwords: the file is private."""

    choice: dict[str, str] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)
    processes: dict[str, ProcessRecord] = field(default_factory=dict)
    containers: dict[str, str] = field(default_factory=dict)
    schema_marks: dict[str, str] = field(default_factory=dict)
    postgres_admin_url: str | None = None
    kafka_bootstrap: str | None = None
    postgres_place: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads what `text` wrote."""
        loaded: dict[str, Any] = json.loads(text)
        processes = {name: ProcessRecord(**process) for name, process in loaded.pop("processes", {}).items()}
        return cls(**loaded, processes=processes)

    def text(self) -> str:
        """JSON."""
        return json.dumps(dataclasses.asdict(self), indent=2, sort_keys=True) + "\n"


class StateBook:
    """The record, read and written as a whole; safe for the threads of one process."""

    def __init__(self, folder: StateFolder) -> None:
        self.folder = folder
        self._mutex = threading.Lock()

    def read(self) -> Record:
        """The record as it stands; an empty one where nothing was ever started."""
        try:
            return Record.parse(self.folder.record_file.read_text())
        except FileNotFoundError:
            return Record()
        except (ValueError, TypeError) as error:
            raise StackError(
                f"{self.folder.record_file} is damaged ({error}).",
                f"End what still runs from {self.folder.root}, remove that folder, then run `gongji-local up`.",
            ) from error

    def change(self, change: Callable[[Record], Record]) -> Record:
        """Applies `change` to the record and writes it."""
        with self._mutex:
            record = change(self.read())
            write_private(self.folder.record_file, record.text())
            return record

    def port(self, name: str) -> int:
        """The port that `name` listens on, or listened on when it last ran."""
        port = self.read().ports.get(name)
        if port is None:
            raise StackError(f"{name} was never started in {self.folder.root}.", "Run `gongji-local up`.")
        return port

    def put_port(self, name: str, port: int) -> None:
        """Remembers the port that `name` listens on."""
        self.change(lambda record: dataclasses.replace(record, ports={**record.ports, name: port}))

    def put_process(self, name: str, process: ProcessRecord) -> None:
        """Remembers that `name` runs as `process`."""
        self.change(lambda record: dataclasses.replace(record, processes={**record.processes, name: process}))

    def put_schema_mark(self, service: str, mark: str) -> None:
        """Remembers that the service's database is at the schema that the mark stands for."""
        self.change(lambda record: dataclasses.replace(record, schema_marks={**record.schema_marks, service: mark}))

    def forget_process(self, name: str) -> None:
        """Remembers that `name` runs no more.

        A full disk is no reason to fail: a record of a process that is gone is recognised as such, and ending what
        runs is how a person gets room.
        """
        with suppress(OSError):
            self.change(lambda record: dataclasses.replace(record, processes=_without(record.processes, name)))


def _without(processes: Mapping[str, ProcessRecord], name: str) -> dict[str, ProcessRecord]:
    return {other: process for other, process in processes.items() if other != name}


class StateLock:
    """Only one process at a time changes a state folder; the kernel frees the lock when its holder dies."""

    def __init__(self, folder: StateFolder, timeout_seconds: float = LOCK_TIMEOUT_SECONDS) -> None:
        self._folder = folder
        self._timeout_seconds = timeout_seconds
        self._mutex = threading.RLock()
        self._depth = 0

    @contextmanager
    def held(self) -> Iterator[None]:
        """Holds the lock; entering again from the thread that has it is allowed."""
        with self._mutex:
            self._depth += 1
            try:
                if self._depth > 1:
                    yield
                else:
                    with self._file_lock():
                        yield
            finally:
                self._depth -= 1

    @contextmanager
    def _file_lock(self) -> Iterator[None]:
        self._folder.create()
        descriptor = os.open(self._folder.lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE)
        try:
            if not wait_until(lambda: _try_lock(descriptor), self._timeout_seconds):
                raise self._busy(descriptor)
            _sign(descriptor)
            yield
        finally:
            os.close(descriptor)

    def _busy(self, descriptor: int) -> StackError:
        holder = os.pread(descriptor, 20, 0).decode() or "unknown"
        return StackError(
            f"Another command (process {holder}) has been changing {self._folder.root} for too long.",
            "Wait for it or end it, then run the command again.",
        )


def _sign(descriptor: int) -> None:
    """Says who holds the lock, for who waits; a full disk does not keep anybody from holding it."""
    with suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
