"""Too little room is told before anything is written, with where, how much there is and how much is needed."""

import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import asyncpg
import pytest

from gongji_local.errors import MEBIBYTE_BYTES, StackError
from gongji_local.kafka.server import EmbeddedKafka
from gongji_local.postgres.server import EmbeddedPostgres
from gongji_local.refusals import explained
from gongji_local.room import require_room
from gongji_local.state import StateBook


class Usage(NamedTuple):
    free: int


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """`free(60)`: so many MiB are free on every disk."""

    def say(mebibytes: int) -> None:
        monkeypatch.setattr(shutil, "disk_usage", lambda _path: Usage(mebibytes * MEBIBYTE_BYTES))

    return say


def test_a_disk_without_room_for_a_first_start_is_told(tmp_path: Path, free: Callable[[int], None]) -> None:
    free(60)
    with pytest.raises(StackError) as refusal:
        require_room(tmp_path, "Kafka")
    assert f"60 MiB are free under {tmp_path}, and a first start needs 256 MiB" in refusal.value.problem
    assert "--state" in refusal.value.next_step


def test_only_a_disk_with_less_than_a_first_start_takes_is_an_obstacle(
    tmp_path: Path, free: Callable[[int], None]
) -> None:
    def is_refused(mebibytes: int) -> bool:
        free(mebibytes)
        try:
            require_room(tmp_path, "Kafka")
        except StackError:
            return True
        return False

    assert [is_refused(mebibytes) for mebibytes in (255, 256, 100_000)] == [True, False, False]


def test_neither_server_begins_where_there_is_no_room(book: StateBook, free: Callable[[int], None]) -> None:
    free(60)
    with pytest.raises(StackError, match="too full for PostgreSQL"):
        EmbeddedPostgres(book).start()
    with pytest.raises(StackError, match="too full for Kafka"):
        EmbeddedKafka(book, {}, lambda *_arguments: None)._format(None)  # type: ignore[arg-type]
    assert not (book.folder.postgres / "data-draft").exists()


def test_a_limit_on_the_size_of_files_is_told_with_what_lifts_it(tmp_path: Path) -> None:
    script = (
        "import resource, sys; from pathlib import Path; from gongji_local.room import require_room;"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, (2 * {MEBIBYTE_BYTES}, resource.RLIM_INFINITY));"
        "require_room(Path(sys.argv[1]), 'Kafka')"
    )
    finished = subprocess.run([sys.executable, "-c", script, tmp_path], capture_output=True, text=True, check=False)
    assert "(`ulimit -f`, 2 MiB in this shell) is too small for what Kafka writes. Run `ulimit -f" in finished.stderr
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (asyncpg.DiskFullError('could not extend file "base/1/2": No space left on device'), "The disk is full"),
        (asyncpg.PostgresError("could not write: File too large"), "limit on the size of a file"),
        (asyncpg.InterfaceError("connection is closed"), "A server refused what the stack asked of it"),
        (TimeoutError(), "did not answer in time"),
    ],
)
def test_what_a_server_refuses_in_the_middle_is_a_sentence(book: StateBook, error: Exception, words: str) -> None:
    assert words in explained(error, book).problem
