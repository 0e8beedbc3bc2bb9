"""`make test` leaves no test out: its parts have every file of tests, and none of them twice."""

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).parent.parent
FOLDERS = re.compile(r"^part-([a-z]+): FOLDERS := (.+)$", re.MULTILINE)
PARTS = re.compile(r"^PARTS := (.+)$", re.MULTILINE)


def parts() -> Mapping[str, list[str]]:
    """The folders of each part."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    folders = {name: folders.split() for name, folders in FOLDERS.findall(makefile)}
    listed = PARTS.findall(makefile)[0].split()
    assert sorted(listed) == sorted(folders)
    return folders


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
    folders = [PurePosixPath(folder) for each in parts().values() for folder in each]
    shares = {file: sum(file.is_relative_to(folder) for folder in folders) for file in files}
    assert {file: count for file, count in shares.items() if count != 1} == {}
