"""Runs a program as a container would: as a user without a name, on a file system of which it may write one folder.

    python3 confine.py --user 10001 --secrets /tmp/s --writable /tmp/x --set LANG=C.UTF-8 -- /opt/gongji/bin/python -V

The kernel refuses every other write (Landlock, Linux 6.2 or later), also to root and to what the program starts. Of
the variables only GONGJI_… pass, and what is given. The process id stays the same. Standard library only.
"""

import argparse
import ctypes
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION_FLAG: Final = 1
_PATH_BENEATH: Final = 1
_NO_NEW_PRIVILEGES: Final = 38
LEAST_VERSION: Final = 3  # the first that refuses to truncate
_FILE_WRITES: Final = 1 << 1 | 1 << 14  # write, truncate
_FOLDER_WRITES: Final = sum(1 << bit for bit in range(4, 14))  # remove, make of every kind, move elsewhere
_WRITES: Final = _FILE_WRITES | _FOLDER_WRITES
_DEVICES: Final = (Path("/dev/null"),)


class _Ruleset(ctypes.Structure):
    _fields_ = (("handled_access_fs", ctypes.c_uint64),)


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


class CannotConfine(Exception):
    """This kernel cannot hold a program to one folder."""


def landlock_version() -> int:
    """How much this kernel can refuse; 0 where it has no Landlock."""
    version: int = _libc().syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION_FLAG))
    return max(0, version)


def write_only_in(folders: Sequence[Path]) -> None:
    """From here on this process, and what it starts, writes in these folders and nowhere else.

    Raises:
        CannotConfine: the kernel is too old, or has it switched off.
    """
    if landlock_version() < LEAST_VERSION:
        raise CannotConfine("this kernel cannot refuse writes: Landlock of Linux 6.2 or later is needed")
    libc = _libc()
    ruleset = _checked(libc.syscall(_CREATE_RULESET, ctypes.byref(_Ruleset(_WRITES)), ctypes.c_size_t(8), 0))
    for path in (*folders, *_DEVICES):
        _allow(libc, ruleset, path)
    _checked(libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0))
    _checked(libc.syscall(_RESTRICT_SELF, ruleset, ctypes.c_uint32(0)))
    os.close(ruleset)


def _allow(libc: ctypes.CDLL, ruleset: int, path: Path) -> None:
    descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    rule = _PathBeneath(_WRITES if path.is_dir() else _FILE_WRITES, descriptor)
    _checked(libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.byref(rule), ctypes.c_uint32(0)))
    os.close(descriptor)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _checked(result: int) -> int:
    if result < 0:
        raise CannotConfine(f"the kernel refused to hold the program to its folder: {os.strerror(ctypes.get_errno())}")
    return result


def handed_over(settings: Mapping[str, str], folder: Path, user: int) -> dict[str, str]:
    """The settings, with the files that they name copied to where `user` may read them, as a Secret is mounted."""
    told = dict(settings)
    for name, value in settings.items():
        if name.endswith("_FILE") and Path(value).is_file():
            copy = folder / f"{name}-{Path(value).name}"
            copy.unlink(missing_ok=True)
            shutil.copyfile(value, copy)
            copy.chmod(0o400)
            os.chown(copy, user, user)
            told[name] = str(copy)
    return told


def _become(user: int) -> None:
    os.setgroups([])
    os.setgid(user)
    os.setuid(user)


def main() -> None:
    """The command line; does not return."""
    parser = argparse.ArgumentParser(description="Run a program that may write one folder only.")
    parser.add_argument("--user", type=int, help="the user's and the group's number; only root may name one")
    parser.add_argument("--writable", type=Path, action="append", required=True, help="a folder; may be repeated")
    parser.add_argument("--secrets", type=Path, required=True, help="where files that settings name are copied to")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a variable; may be repeated")
    parser.add_argument("program", nargs="+")
    given = parser.parse_args()
    settings = {name: value for name, value in os.environ.items() if name.startswith("GONGJI_")}
    if given.user is not None:
        settings = handed_over(settings, given.secrets, given.user)
        _become(given.user)
    try:
        write_only_in(given.writable)
    except CannotConfine as error:
        sys.exit(f"✗ {error}")
    environ = settings | dict(pair.split("=", 1) for pair in given.set)
    os.execve(given.program[0], given.program, environ)  # noqa: S606 - the program is what this is given to run


if __name__ == "__main__":
    main()
