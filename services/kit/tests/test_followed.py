"""Files that are followed are taken up when they are good, and never half."""

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from kit import followed
from kit.followed import Followed, Misfit


@pytest.fixture(autouse=True)
def _look_always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(followed, "LOOK_EVERY_SECONDS", 0.0)


class Mount:
    """A folder as Kubernetes mounts a Secret: the files are links into another, which is replaced at once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._version = 0
        self.files = (folder / "tls.crt", folder / "tls.key")

    def put(self, **contents: str) -> None:
        self._version += 1
        data = self._folder / f"..{self._version}"
        data.mkdir()
        for name, content in contents.items():
            (data / f"tls.{name}").write_text(content)
            link = self._folder / f"tls.{name}"
            if not link.is_symlink():
                link.symlink_to(Path("..data", f"tls.{name}"))
        beside = self._folder / "..data_tmp"
        beside.symlink_to(data.name)
        beside.replace(self._folder / "..data")


@pytest.fixture
def mount(tmp_path: Path) -> Mount:
    mount = Mount(tmp_path)
    mount.put(crt="1", key="1")
    return mount


def pair(contents: Sequence[bytes]) -> str:
    crt, key = (content.decode() for content in contents)
    if crt != key:
        raise Misfit(f"{crt} and {key} do not belong together")
    return crt


def test_a_mount_that_is_replaced_is_taken_up_with_one_line(mount: Mount) -> None:
    watched = Followed("the pair", mount.files, pair)
    mount.put(crt="2", key="2")
    with capture_logs() as logs:
        assert [watched.current() for _ in range(3)] == ["2", "2", "2"]
    assert [(line["log_level"], line["what"]) for line in logs] == [("info", "the pair")]
    assert watched.contents() == [b"2", b"2"]


def test_what_does_not_fit_is_refused_once_and_what_was_in_use_goes_on(mount: Mount) -> None:
    watched = Followed("the pair", mount.files, pair)
    mount.put(crt="2", key="3")
    with capture_logs() as logs:
        assert {watched.current() for _ in range(3)} == {"1"}
        with pytest.raises(Misfit, match="not in use"):
            watched.contents()
    assert [(line["log_level"], line["why"]) for line in logs] == [("error", "2 and 3 do not belong together")]
    mount.put(crt="3", key="3")
    assert watched.current() == "3"


def test_the_same_fault_is_told_again_after_it_was_mended(mount: Mount) -> None:
    watched = Followed("the pair", mount.files, pair)
    with capture_logs() as logs:
        for crt, key in (("2", "x"), ("2", "2"), ("2", "x")):
            mount.put(crt=crt, key=key)
            watched.current()
    assert [line["log_level"] for line in logs] == ["error", "info", "error"]


def test_a_file_that_is_gone_is_told_once(mount: Mount) -> None:
    watched = Followed("the pair", mount.files, pair)
    mount.files[1].unlink()
    with capture_logs() as logs:
        assert {watched.current() for _ in range(3)} == {"1"}
    assert len(logs) == 1
    assert "tls.key" in logs[0]["why"]


def test_what_comes_back_to_what_is_in_use_is_no_change(mount: Mount) -> None:
    watched = Followed("the pair", mount.files, pair)
    with capture_logs() as logs:
        mount.put(crt="2", key="3")
        watched.current()
        mount.put(crt="1", key="1")
        assert watched.contents() == [b"1", b"1"]
    assert [line["log_level"] for line in logs] == ["error"]


def test_a_change_has_to_fulfil_more_than_the_beginning(mount: Mount) -> None:
    def never(_contents: Sequence[bytes]) -> None:
        raise Misfit("worse than before")

    watched = Followed("the pair", mount.files, pair, never)
    assert watched.current() == "1"
    mount.put(crt="2", key="2")
    assert watched.current() == "1"


def test_what_is_wrong_to_begin_with_is_raised(mount: Mount) -> None:
    mount.put(crt="2", key="3")
    with pytest.raises(Misfit, match="2 and 3"):
        Followed("the pair", mount.files, pair)
    with pytest.raises(OSError, match="missing"):
        Followed("the pair", [mount.files[0], mount.files[0].with_name("missing")], pair)


def test_nobody_ever_sees_half_of_a_change(mount: Mount) -> None:
    watched = Followed("the pair", mount.files, pair)
    ended = threading.Event()
    wrong: list[str] = []

    def look() -> None:
        while not ended.is_set():
            watched.look()

    with capture_logs() as logs:
        threads = [threading.Thread(target=look) for _ in range(3)]
        for thread in threads:
            thread.start()
        for number in range(2, 60):
            mount.put(crt=str(number), key=str(number))
        ended.set()
        for thread in threads:
            thread.join()
        assert watched.look() == "59"
    wrong = [line["why"] for line in logs if line["log_level"] == "error"]
    assert wrong == []


def test_files_that_change_faster_than_they_are_read_are_read_at_the_next_look(
    mount: Mount, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = Followed("the pair", mount.files, pair)
    mount.put(crt="2", key="2")
    with capture_logs() as logs, monkeypatch.context() as patched:
        patched.setattr(followed, "_READINGS", 0)  # no reading is ever the same as the one before
        assert watched.current() == "1"
        with pytest.raises(Misfit, match="change all the time"):
            Followed("the pair", mount.files, pair)
    assert logs == []
    assert watched.current() == "2"


def test_files_are_not_read_more_often_than_is_of_use(mount: Mount, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(followed, "LOOK_EVERY_SECONDS", 3600.0)
    watched = Followed("the pair", mount.files, pair)
    mount.put(crt="2", key="2")
    assert watched.current() == "1"
    assert watched.look() == "2"
