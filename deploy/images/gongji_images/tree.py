"""Looks at a finished tree: is everything in it that the lock names, is nothing else, can nobody change it."""

import json
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Final

from gongji_images.assemble import SBOM

SERVICES: Final = ("identity", "binding", "settlement", "notify")
_LOCKED: Final = re.compile(r"^(?P<name>[a-z0-9-]+)==(?P<version>[^ ;]+)(?: ; (?P<marker>.+?))? \\$", re.MULTILINE)
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH
_SET_ID: Final = stat.S_ISUID | stat.S_ISGID


@dataclass(frozen=True, slots=True)
class Locked:
    """One line of a lock: a version, and where it is not installed everywhere, where it is."""

    version: str
    marker: str


def locked(text: str) -> dict[str, Locked]:
    """The distributions of a lock by name."""
    return {match["name"]: Locked(match["version"], match["marker"] or "") for match in _LOCKED.finditer(text)}


def installed(tree: Path) -> dict[str, str]:
    """The distributions of a tree, with their versions."""
    found = metadata.distributions(path=[str(site_packages(tree))])
    return {_normal(each.metadata["Name"]): each.version for each in found}


def problems(tree: Path, service: str, lock: Mapping[str, Locked]) -> list[str]:
    """What is wrong with the tree of a service, a sentence each."""
    return [
        *_wrong_distributions(installed(tree), service, lock),
        *_missing_files(tree, service),
        *_wrong_programs(tree),
        *_wrong_modes(tree),
        *_wrong_sbom(tree, lock),
    ]


def size_bytes(tree: Path) -> int:
    """What the files of the tree come to."""
    return sum(path.lstat().st_size for path in tree.rglob("*") if not path.is_dir())


def snapshot(tree: Path) -> dict[str, tuple[int, int, int]]:
    """Every path of the tree with what would show that it was written: its size, its time, its mode."""
    stats = {str(path.relative_to(tree)): path.lstat() for path in tree.rglob("*")}
    return {name: (found.st_size, found.st_mtime_ns, found.st_mode) for name, found in stats.items()}


def site_packages(tree: Path) -> Path:
    """Where the tree's Python finds what is installed."""
    (found,) = tree.glob("lib/python3.*/site-packages")
    return found


def _wrong_distributions(found: Mapping[str, str], service: str, lock: Mapping[str, Locked]) -> Iterator[str]:
    ours = {"gongji-protos", "gongji-kit", f"gongji-{service}"}
    for name in sorted(found.keys() - lock.keys() - ours):
        yield f"{name} is installed and not in the lock"
    for name in sorted((lock.keys() | ours) - found.keys()):
        if name not in lock or not lock[name].marker:
            yield f"{name} is not installed"
    for name, stated in sorted(lock.items()):
        if found.get(name, stated.version) != stated.version:
            yield f"{name} is {found[name]}, the lock says {stated.version}"


def _missing_files(tree: Path, service: str) -> Iterator[str]:
    for wanted in (f"{service}/migrations/versions/0001_*.py", "gongji/topics/*.yaml", f"gongji/{service}/v1/*_pb2.py"):
        if not any(site_packages(tree).glob(wanted)):
            yield f"there is no {wanted}"
    for member in (service, "kit", "gongji"):
        if not any((site_packages(tree) / member).rglob("__pycache__/*.pyc")):
            yield f"{member} is not compiled, and where it runs nothing can be written"


def _wrong_programs(tree: Path) -> Iterator[str]:
    for path in sorted((tree / "bin").iterdir()):
        if not re.fullmatch(r"python(3(\.\d+)?)?", path.name):
            yield f"bin/{path.name} is there, and only Python is run"
    for member in ("gongji", "kit", *SERVICES):
        if (site_packages(tree) / member / "tests").exists():
            yield f"the tests of {member} are there"


def _wrong_modes(tree: Path) -> Iterator[str]:
    for path in sorted(tree.rglob("*")):
        mode = path.lstat().st_mode
        if not stat.S_ISLNK(mode) and mode & (_OTHERS_WRITE | _SET_ID):
            yield f"{path.relative_to(tree)} has the mode {stat.filemode(mode)}"


def _wrong_sbom(tree: Path, lock: Mapping[str, Locked]) -> Iterator[str]:
    try:
        bill = json.loads((tree / SBOM).read_text(encoding="utf-8"))
        listed = {_normal(each["name"]): each["version"] for each in bill["components"]}
    except (OSError, ValueError, KeyError) as error:
        yield f"{SBOM} cannot be read: {error!r}"
        return
    if bill.get("bomFormat") != "CycloneDX":
        yield f"{SBOM} is no CycloneDX document"
    if listed != {name: stated.version for name, stated in lock.items()}:
        yield f"{SBOM} does not list what the lock does"


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
