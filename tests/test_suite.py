"""`make test` leaves no test out: its parts have every file of tests, and none of them twice."""

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).parent.parent
FOLDERS = re.compile(r"^part-([a-z]+): FOLDERS := (.+)$", re.MULTILINE)
BUT = re.compile(r"^part-([a-z]+): BUT := (.+)$", re.MULTILINE)
PARTS = re.compile(r"^PARTS := (.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Part:
    """What one session of pytest runs."""

    folders: tuple[PurePosixPath, ...]
    but: tuple[PurePosixPath, ...]
    """Folders within these that are another part's."""

    def has(self, file: PurePosixPath) -> bool:
        """Whether it runs this file."""
        is_within, is_left_out = (any(file.is_relative_to(one) for one in some) for some in (self.folders, self.but))
        return is_within and not is_left_out


def parts() -> Sequence[Part]:
    """Every part that `make test` runs."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    folders, but = dict(FOLDERS.findall(makefile)), dict(BUT.findall(makefile))
    listed = PARTS.findall(makefile)[0].split()
    assert sorted(listed) == sorted(folders)
    assert but.keys() <= folders.keys()
    return [Part(paths(folders[name]), paths(but.get(name, ""))) for name in listed]


def paths(stated: str) -> tuple[PurePosixPath, ...]:
    return tuple(PurePosixPath(name) for name in stated.split())


def test_every_file_of_tests_is_in_one_part() -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "-z", "--", ":(glob)**/test_*.py"],  # noqa: S607 - whichever git the checkout was made with
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    files = [PurePosixPath(name) for name in tracked.stdout.split("\0") if name]
    assert len(files) > 200
    shares = {file: sum(part.has(file) for part in parts()) for file in files}
    assert {file: count for file, count in shares.items() if count != 1} == {}
