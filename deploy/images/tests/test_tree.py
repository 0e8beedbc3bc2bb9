"""What is said of a tree that is not as it has to be."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from gongji_images.tree import Locked, problems, size_bytes, snapshot

LOCK = {"one": Locked("1.0", ""), "windows-only": Locked("2.0", "sys_platform == 'win32'")}
SITE = "lib/python3.11/site-packages"


def write(file: Path, text: str = "") -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


def install(tree: Path, name: str, version: str) -> None:
    write(
        tree / SITE / f"{name}-{version}.dist-info/METADATA",
        f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
    )


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    for name, version in (
        ("One", "1.0"),
        ("gongji_kit", "0.1.0"),
        ("gongji_protos", "0.1.0"),
        ("gongji_binding", "0.1.0"),
    ):
        install(tree, name, version)
    write(tree / SITE / "binding/migrations/versions/0001_first.py")
    write(tree / SITE / "gongji/topics/some-v1.yaml")
    write(tree / SITE / "gongji/binding/v1/some_pb2.py")
    for member in ("binding", "kit", "gongji"):
        write(tree / SITE / member / "__pycache__/some.cpython-311.pyc")
    write(tree / "bin/python3.11")
    bill = {"bomFormat": "CycloneDX", "components": [{"name": name, "version": LOCK[name].version} for name in LOCK]}
    write(tree / "sbom.cdx.json", json.dumps(bill))
    return tree


def test_a_tree_that_is_as_it_has_to_be_has_no_problem(tree: Path) -> None:
    assert problems(tree, "binding", LOCK) == []


def another(tree: Path) -> None:
    install(tree, "pytest", "8.0")


def older(tree: Path) -> None:
    (tree / SITE / "One-1.0.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: One\nVersion: 0.9\n")


def none(tree: Path) -> None:
    (tree / SITE / "One-1.0.dist-info/METADATA").unlink()
    (tree / SITE / "One-1.0.dist-info").rmdir()


def without_service(tree: Path) -> None:
    (tree / SITE / "gongji_binding-0.1.0.dist-info/METADATA").unlink()
    (tree / SITE / "gongji_binding-0.1.0.dist-info").rmdir()


def without_migrations(tree: Path) -> None:
    (tree / SITE / "binding/migrations/versions/0001_first.py").unlink()


def without_topics(tree: Path) -> None:
    (tree / SITE / "gongji/topics/some-v1.yaml").unlink()


def without_bytecode(tree: Path) -> None:
    (tree / SITE / "kit/__pycache__/some.cpython-311.pyc").unlink()


def with_pip(tree: Path) -> None:
    write(tree / "bin/pip")


def with_compiler(tree: Path) -> None:
    write(tree / "bin/gcc")


def with_tests(tree: Path) -> None:
    write(tree / SITE / "kit/tests/test_some.py")


def writable(tree: Path) -> None:
    (tree / "bin/python3.11").chmod(0o777)


def set_id(tree: Path) -> None:
    (tree / "bin/python3.11").chmod(0o4755)


def without_bill(tree: Path) -> None:
    (tree / "sbom.cdx.json").unlink()


def short_bill(tree: Path) -> None:
    bill = {"bomFormat": "CycloneDX", "components": [{"name": "one", "version": "1.0"}]}
    (tree / "sbom.cdx.json").write_text(json.dumps(bill))


def other_bill(tree: Path) -> None:
    bill = json.loads((tree / "sbom.cdx.json").read_text()) | {"bomFormat": "SPDX"}
    (tree / "sbom.cdx.json").write_text(json.dumps(bill))


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (another, "pytest is installed and not in the lock"),
        (older, "one is 0.9, the lock says 1.0"),
        (none, "one is not installed"),
        (without_service, "gongji-binding is not installed"),
        (without_migrations, "there is no binding/migrations"),
        (without_topics, "there is no gongji/topics"),
        (without_bytecode, "kit is not compiled"),
        (with_pip, "bin/pip is there"),
        (with_compiler, "bin/gcc is there"),
        (with_tests, "the tests of kit are there"),
        (writable, "bin/python3.11 has the mode -rwxrwxrwx"),
        (set_id, "bin/python3.11 has the mode -rwsr-xr-x"),
        (without_bill, "cannot be read"),
        (short_bill, "does not list what the lock does"),
        (other_bill, "is no CycloneDX document"),
    ],
)
def test_each_thing_that_is_wrong_is_said(tree: Path, harm: Callable[[Path], None], said: str) -> None:
    harm(tree)
    (problem,) = problems(tree, "binding", LOCK)
    assert said in problem


def test_the_tree_of_another_service_is_not_taken_for_this_one_s(tree: Path) -> None:
    assert "gongji-notify is not installed" in problems(tree, "notify", LOCK)
    assert "gongji-binding is installed and not in the lock" in problems(tree, "notify", LOCK)


def test_a_file_that_is_written_made_or_removed_shows(tree: Path) -> None:
    before = snapshot(tree)
    assert snapshot(tree) == before
    write(tree / SITE / "kit/__pycache__/other.pyc")
    assert snapshot(tree) != before


def test_the_size_is_that_of_the_files(tmp_path: Path) -> None:
    write(tmp_path / "a/b", "12345")
    write(tmp_path / "c", "123")
    assert size_bytes(tmp_path) == 8
