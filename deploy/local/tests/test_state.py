"""The record survives, is private, and only one command at a time changes it."""

import dataclasses
import os
import stat
import threading
from pathlib import Path

import pytest

from gongji_local.errors import StackError
from gongji_local.files import write_private
from gongji_local.processes import ProcessRecord
from gongji_local.stack import Stack
from gongji_local.state import Record, StateBook, StateFolder, StateLock, default_state, repository_root


def test_what_was_recorded_is_read_again(book: StateBook) -> None:
    book.put_port("postgres", 21000)
    book.put_process("postgres", ProcessRecord(42, 17.5, 100))
    book.change(lambda record: dataclasses.replace(record, postgres_place="/var/lib/x"))
    again = StateBook(book.folder).read()
    assert again.ports == {"postgres": 21000}
    assert again.processes == {"postgres": ProcessRecord(42, 17.5, 100)}
    assert again.postgres_place == "/var/lib/x"


def test_a_process_that_was_ended_is_forgotten(book: StateBook) -> None:
    book.put_process("kafka", ProcessRecord(42, 17.5))
    book.forget_process("kafka")
    assert book.read().processes == {}


def test_ending_what_runs_works_on_a_full_disk(book: StateBook, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_arguments: object) -> None:
        raise OSError(28, "No space left on device")

    book.put_process("kafka", ProcessRecord(42, 17.5))
    monkeypatch.setattr("gongji_local.state.write_private", full)
    monkeypatch.setattr(os, "pwrite", full)
    with StateLock(book.folder, timeout_seconds=0.1).held():
        book.forget_process("kafka")
    with pytest.raises(OSError, match="No space"):
        book.put_port("kafka", 1)


def test_a_state_folder_that_was_never_used_has_an_empty_record(book: StateBook) -> None:
    assert book.read() == Record()


def test_what_was_never_started_has_no_address(tmp_path: Path) -> None:
    stack = Stack(tmp_path / "state", environ={})
    stack.folder.create()
    with pytest.raises(StackError, match="was never started") as refusal:
        stack.quiesce(1)
    assert refusal.value.next_step == "Run `gongji-local up`."


@pytest.mark.parametrize("content", ["", "{", '{"ports": 1, "surprise": 2}', "[]", '{"processes": {"kafka": 3}}'])
def test_a_damaged_record_gives_a_sentence_and_the_next_step(book: StateBook, content: str) -> None:
    book.folder.record_file.write_text(content)
    with pytest.raises(StackError, match="is damaged") as refusal:
        book.read()
    assert "remove that folder" in refusal.value.next_step


def test_the_record_is_private_as_it_may_hold_passwords(book: StateBook) -> None:
    book.put_port("kafka", 21001)
    assert stat.S_IMODE(book.folder.record_file.stat().st_mode) == 0o600


def test_secrets_logs_and_keys_are_in_folders_of_their_owner(book: StateBook) -> None:
    folder = book.folder
    assert {stat.S_IMODE(each.stat().st_mode) for each in (folder.logs, folder.tls, folder.secrets)} == {0o700}


def test_a_folder_that_was_already_there_keeps_its_mode(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir(mode=0o700)
    StateFolder(mine).create()
    assert stat.S_IMODE(mine.stat().st_mode) == 0o700


def test_removing_the_state_leaves_what_is_not_the_stacks(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path / "mine")
    folder.create()
    (folder.root / "letter.txt").write_text("mine")
    folder.remove()
    assert [each.name for each in folder.root.iterdir()] == ["letter.txt"]


def test_a_writer_that_fails_leaves_the_old_content(tmp_path: Path) -> None:
    target = tmp_path / "file"
    write_private(target, "old")
    Path(f"{target}.{os.getpid()}.{threading.get_ident()}").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space"):
        write_private(target, "new")
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [("file", "old")]


def test_a_folder_that_cannot_be_made_gives_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StackError, match=r"refused|cannot be written"):
        StateFolder(tmp_path / "file" / "state").create()


def test_the_state_is_in_the_checkout_unless_named() -> None:
    assert default_state({}) == repository_root() / ".local"
    assert default_state({"GONGJI_STATE": "/somewhere/else"}) == Path("/somewhere/else")


def test_a_second_command_waits_and_then_says_who_holds_the_lock(book: StateBook) -> None:
    with StateLock(book.folder).held(), pytest.raises(StackError, match=f"process {os.getpid()}"):
        StateLock(book.folder, timeout_seconds=0.1).held().__enter__()


def test_the_lock_is_free_again_afterwards(book: StateBook) -> None:
    with StateLock(book.folder).held():
        pass
    with StateLock(book.folder, timeout_seconds=0.1).held():
        assert book.folder.lock_file.read_text() == str(os.getpid())


def test_who_has_the_lock_may_take_it_again(book: StateBook) -> None:
    lock = StateLock(book.folder, timeout_seconds=0.1)
    with lock.held(), lock.held():
        assert book.folder.lock_file.exists()
    with StateLock(book.folder, timeout_seconds=0.1).held():
        pass
