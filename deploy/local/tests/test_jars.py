"""A jar is used only when it is the jar of jars.lock."""

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
import requests

from gongji_local.errors import StackError
from gongji_local.kafka import jars
from gongji_local.kafka.jars import LockedJar, ensure_jars, fetch_from_maven, jar_folder, read_lock

CONTENT = b"PK: a jar"
JAR = LockedJar("org.example:thing:1.0", sha256(CONTENT).hexdigest(), len(CONTENT))


def fetching(content: bytes) -> Callable[[str, Path], None]:
    def fetch(_coordinate: str, target: Path) -> None:
        target.write_bytes(content)

    return fetch


def no_fetch(coordinate: str, _target: Path) -> None:
    raise AssertionError(coordinate)


def test_the_lock_file_names_every_jar_of_the_broker() -> None:
    locked = read_lock()
    assert len(locked) == 46
    assert "org.apache.kafka:kafka-clients:4.2.1" in {jar.coordinate for jar in locked}


def test_a_line_that_does_not_read_is_not_left_out(tmp_path: Path) -> None:
    (tmp_path / "jars.lock").write_text("# comment\norg.example:thing:1.0 sha256=short size=1\n")
    with pytest.raises(StackError, match="does not read"):
        read_lock(tmp_path / "jars.lock")


def test_a_missing_jar_is_fetched_and_then_found(tmp_path: Path) -> None:
    paths = ensure_jars(tmp_path, [JAR], fetching(CONTENT))
    assert [path.read_bytes() for path in paths] == [CONTENT]
    assert ensure_jars(tmp_path, [JAR], no_fetch) == paths


@pytest.mark.parametrize("served", [b"PK: b jar", CONTENT + b"!", b""])
def test_a_fetched_jar_that_does_not_match_is_an_error_and_is_not_kept(tmp_path: Path, served: bytes) -> None:
    with pytest.raises(StackError, match=r"is not the jar of jars.lock.*was deleted"):
        ensure_jars(tmp_path, [JAR], fetching(served))
    assert list(tmp_path.iterdir()) == []


def test_a_cached_jar_that_was_damaged_is_an_error_and_is_deleted(tmp_path: Path) -> None:
    (tmp_path / JAR.file_name).write_bytes(CONTENT[:-1])
    with pytest.raises(StackError, match="in the cache is not the jar") as refusal:
        ensure_jars(tmp_path, [JAR], no_fetch)
    assert "up` again" in refusal.value.next_step
    assert not (tmp_path / JAR.file_name).exists()


def test_a_size_that_does_not_match_is_an_error_even_where_the_hash_does(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="is not the jar"):
        ensure_jars(tmp_path, [LockedJar(JAR.coordinate, JAR.sha256, JAR.size_bytes + 1)], fetching(CONTENT))


def test_a_jar_that_cannot_be_fetched_gives_a_sentence_and_the_next_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*_args: object, **_kwargs: object) -> None:
        raise requests.ConnectionError("Name or service not known")

    monkeypatch.setattr(requests, "get", unreachable)
    with pytest.raises(StackError, match=r"org.example:thing:1.0 could not be fetched: .*not known") as refusal:
        ensure_jars(tmp_path, [JAR], fetch_from_maven)
    assert "KAFKA_BOOTSTRAP" in refusal.value.next_step
    assert list(tmp_path.iterdir()) == []


def test_a_hiccup_of_the_network_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    attempts: list[str] = []

    def second_time(coordinate: str, target: Path) -> None:
        attempts.append(coordinate)
        if len(attempts) == 1:
            raise requests.ConnectionError("reset")
        target.write_bytes(CONTENT)

    monkeypatch.setattr(jars, "_download", second_time)
    assert ensure_jars(tmp_path, [JAR], fetch_from_maven)[0].read_bytes() == CONTENT
    assert len(attempts) == 2


def test_a_disk_without_room_is_named(tmp_path: Path) -> None:
    def full(_coordinate: str, _target: Path) -> None:
        Path("/dev/full").write_bytes(b"x")

    with pytest.raises(StackError, match="disk is full"):
        ensure_jars(tmp_path, [JAR], full)


def test_the_cache_is_the_users_and_shared_by_checkouts(tmp_path: Path) -> None:
    assert jar_folder({"XDG_CACHE_HOME": str(tmp_path / "xdg")}, tmp_path) == tmp_path / "xdg/gongji/kafka-4.2.1"
    assert jar_folder({"HOME": str(tmp_path / "home")}, tmp_path) == tmp_path / "home/.cache/gongji/kafka-4.2.1"


def test_without_a_home_the_cache_is_in_the_state_folder(tmp_path: Path) -> None:
    assert jar_folder({"HOME": "/dev/null"}, tmp_path) == tmp_path / "cache/kafka-4.2.1"
    assert jar_folder({}, tmp_path) == tmp_path / "cache/kafka-4.2.1"
