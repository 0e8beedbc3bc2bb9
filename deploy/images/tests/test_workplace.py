"""Where the check lays things out, and what it translates between there and a container."""

import os
from pathlib import Path

import pytest

from gongji_images import workplace
from gongji_images.errors import ImagesError
from gongji_images.workplace import Workplace, build, make_read_only, make_removable, new_root, placed


def test_paths_of_the_container_are_found_in_the_folder(tmp_path: Path) -> None:
    places = Workplace(tmp_path).places("notify")
    assert placed("/opt/gongji/bin:/usr/bin:/bin", places) == f"{tmp_path}/built/notify/bin:/usr/bin:/bin"
    assert placed("/tmp", places) == f"{tmp_path}/tmp/notify"  # noqa: S108 - the container's
    assert placed("/src", places) == f"{tmp_path}/src"
    assert placed("/srcs/x", places) == "/srcs/x"
    assert placed("C.UTF-8", places) == "C.UTF-8"


def test_what_is_read_only_has_no_permission_to_write_and_can_be_removed_again(tmp_path: Path) -> None:
    file = tmp_path / "a/b/c"
    file.parent.mkdir(parents=True)
    file.write_text("x", encoding="utf-8")
    (tmp_path / "a/link").symlink_to("/etc/hosts")
    make_read_only(tmp_path / "a")
    assert not [each for each in (tmp_path / "a").rglob("*") if not each.is_symlink() and each.stat().st_mode & 0o222]
    make_removable(tmp_path / "a")
    assert file.parent.stat().st_mode & 0o200


def test_a_step_that_is_no_python_is_not_guessed_at(tmp_path: Path) -> None:
    with pytest.raises(ImagesError, match="runs apt-get"):
        build(("apt-get", "install", "gcc"), Workplace(tmp_path), "notify")


def test_memory_in_which_no_program_may_lie_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workplace, "quick_folder", lambda: tmp_path)
    within = new_root()
    assert within.parent == tmp_path
    flags = os.statvfs(tmp_path).f_flag
    monkeypatch.setattr(os, "statvfs", lambda _path: type("Flags", (), {"f_flag": flags | os.ST_NOEXEC}))
    elsewhere = new_root()
    assert elsewhere.parent != tmp_path
    elsewhere.rmdir()
