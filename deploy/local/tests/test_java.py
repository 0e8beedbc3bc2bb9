"""Which Java runs Kafka."""

from pathlib import Path

import pytest

from gongji_local.errors import StackError
from gongji_local.kafka import java
from gongji_local.kafka.java import find_java


@pytest.fixture
def no_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(java, "find_spec", lambda _name: None)


def fake_java(home: Path, script: str) -> Path:
    program = home / "bin" / "java"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return program


def test_the_wheels_java_is_pinned_and_wins(tmp_path: Path) -> None:
    fake_java(tmp_path, "exit 1")
    assert "java-runtime" in str(find_java({"JAVA_HOME": str(tmp_path)}))


@pytest.mark.usefixtures("no_wheel")
def test_without_the_wheel_java_home_is_used(tmp_path: Path) -> None:
    program = fake_java(tmp_path, """echo 'openjdk version "17.0.15" 2025-04-15' >&2""")
    assert find_java({"JAVA_HOME": str(tmp_path)}) == program


@pytest.mark.usefixtures("no_wheel")
@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("""echo 'java version "1.8.0_402"' >&2""", "is version 1"),
        ("""echo 'openjdk version "16.0.2"' >&2""", "16"),
        ("exit 1", "does not run"),
    ],
)
def test_a_java_that_is_too_old_or_broken_is_refused(tmp_path: Path, script: str, why: str) -> None:
    fake_java(tmp_path, script)
    with pytest.raises(StackError, match=why) as refusal:
        find_java({"JAVA_HOME": str(tmp_path)})
    assert "make setup" in refusal.value.next_step


@pytest.mark.usefixtures("no_wheel")
def test_a_java_home_without_java_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="does not run"):
        find_java({"JAVA_HOME": str(tmp_path)})


@pytest.mark.usefixtures("no_wheel")
def test_no_java_at_all_gives_the_next_step() -> None:
    with pytest.raises(StackError, match="There is no Java here") as refusal:
        find_java({})
    assert "make setup" in refusal.value.next_step
