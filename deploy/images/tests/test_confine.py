"""A confined program writes one folder, keeps its settings and nothing else, and is another user where it can be."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gongji_images import confine
from gongji_images.interpreter import python_for_others
from gongji_images.workplace import is_root

TRY = """
import os, sys
for path in sys.argv[1:]:
    try:
        with open(path, "a"):
            print("written")
    except OSError as error:
        print(type(error).__name__)
print(sorted(os.environ.keys() - {"LC_CTYPE"}))
"""


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    for name in ("writable", "secrets", "elsewhere"):
        (tmp_path / name).mkdir()
        (tmp_path / name).chmod(0o777)
    for folder in (tmp_path, *list(tmp_path.parents)[:3]):
        if folder.owner() != "root" or is_root():
            folder.chmod(0o755)
    return tmp_path


def confined(
    folders: Path, *program: str, user: int | None = None, **environ: str
) -> "subprocess.CompletedProcess[str]":
    options = ("--writable", str(folders / "writable"), "--secrets", str(folders / "secrets"), "--set", "LANG=C.UTF-8")
    acting = ("--user", str(user)) if user is not None else ()
    python = str(python_for_others())
    command = [python, str(Path(confine.__file__)), *options, *acting, "--", python, *program]
    return subprocess.run(command, check=False, capture_output=True, text=True, env=environ, cwd="/")


def test_it_writes_where_it_may_and_nowhere_else(folders: Path) -> None:
    places = [str(folders / name / "file") for name in ("writable", "elsewhere")]
    done = confined(folders, "-c", TRY, *places, "/dev/null", HOME="/root", GONGJI_LOG_LEVEL="INFO")
    assert done.stdout.splitlines() == [
        "written",
        "PermissionError",
        "written",
        "['GONGJI_LOG_LEVEL', 'LANG']",
    ]
    assert (folders / "writable/file").exists()
    assert not (folders / "elsewhere/file").exists()


def test_what_it_starts_is_held_to_the_same(folders: Path) -> None:
    start = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1], sys.argv[2]])"
    done = confined(folders, "-c", start, TRY, str(folders / "elsewhere/file"))
    assert done.stdout.splitlines()[0] == "PermissionError"


def test_a_file_is_neither_emptied_nor_removed(folders: Path) -> None:
    kept = folders / "elsewhere/kept"
    kept.write_text("kept", encoding="utf-8")
    kept.chmod(0o666)
    done = confined(folders, "-c", "import os, sys; os.truncate(sys.argv[1], 0)", str(kept))
    assert "PermissionError" in done.stderr
    done = confined(folders, "-c", "import os, sys; os.unlink(sys.argv[1])", str(kept))
    assert "PermissionError" in done.stderr
    assert kept.read_text(encoding="utf-8") == "kept"


def test_files_of_settings_are_handed_over_to_the_user_alone(folders: Path) -> None:
    secret = folders / "keyring.json"
    secret.write_text("{}", encoding="utf-8")
    secret.chmod(0o600)
    told = confine.handed_over({"GONGJI_KEYRING_FILE": str(secret), "GONGJI_X": "y"}, folders / "secrets", os.geteuid())
    copy = Path(told["GONGJI_KEYRING_FILE"])
    assert told["GONGJI_X"] == "y"
    assert copy.read_text(encoding="utf-8") == "{}"
    assert copy.stat().st_mode & 0o777 == 0o400
    assert copy.parent == folders / "secrets"


def test_a_file_that_is_not_there_yet_is_left_to_the_service(folders: Path) -> None:
    settings = {"GONGJI_CLOCK_OFFSET_FILE": str(folders / "clock-offset")}
    assert confine.handed_over(settings, folders / "secrets", os.geteuid()) == settings


@pytest.mark.parametrize("version", [0, 2])
def test_an_old_kernel_is_told_instead_of_believed(version: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confine, "landlock_version", lambda: version)
    with pytest.raises(confine.CannotConfine, match=r"Linux 6\.2"):
        confine.write_only_in([Path(sys.prefix)])
