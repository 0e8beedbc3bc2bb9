"""The folder in which the check lays out what a container would see, and the users that it acts as there."""

import os
import pwd
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gongji_images.dockerfile import ROOT, Stage, copies
from gongji_images.errors import ImagesError
from gongji_images.interpreter import python_for_others
from gongji_local.sessions import quick_folder

BUILDER: Final = "nobody"
RUNS_AS: Final = 10001
_NOT_SENT: Final = shutil.ignore_patterns("__pycache__", "*.egg-info", "build", "tests")
# What says by which way packages are fetched here; nothing else of this shell reaches the build.
_PASSED_PREFIXES: Final = ("PIP_", "UV_", "SSL_CERT_", "REQUESTS_CA_", "HTTP", "ALL_PROXY", "NO_PROXY")


@dataclass(frozen=True, slots=True)
class Workplace:
    """Where things lie."""

    root: Path

    @property
    def source(self) -> Path:
        """What the Dockerfile copies of the checkout; nobody may write it."""
        return self.root / "src"

    @property
    def built(self) -> Path:
        """What the builder makes."""
        return self.root / "built"

    @property
    def state(self) -> Path:
        """The embedded stack's state."""
        return self.root / "state"

    def tree(self, service: str) -> Path:
        """What the service's image would have as /opt/gongji."""
        return self.built / service

    def tmp(self, service: str) -> Path:
        """What the service's container would have as /tmp."""
        return self.root / "tmp" / service

    def secrets(self, service: str) -> Path:
        """Where what would be mounted as Secrets is."""
        return self.root / "secrets" / service

    def places(self, service: str) -> dict[str, str]:
        """Where the paths of the service's stages are found here."""
        return {
            "/src": str(self.source),
            "/opt/tools": str(self.built / "tools"),
            "/opt/gongji": str(self.tree(service)),
            "/tmp": str(self.tmp(service)),  # noqa: S108 - the container's
        }


def new_root() -> Path:
    """A fresh folder: in memory where there is plenty and programs may lie there, since the trees are 60,000 files."""
    quick = quick_folder()
    runs_programs = not os.statvfs(quick).f_flag & os.ST_NOEXEC
    return Path(tempfile.mkdtemp(prefix="gongji-images-", dir=quick if runs_programs else None))


def is_root() -> bool:
    """Whether there are other users to act as."""
    return os.geteuid() == 0


def lay_out(workplace: Workplace, services: Sequence[str], stages: Mapping[str, Stage]) -> None:
    """Copies what the Dockerfile copies, without write permission, and makes the folders that are written."""
    workplace.root.chmod(0o755)
    for stage in stages.values():
        for source, target in copies(stage):
            _copy(ROOT / source, workplace.source / Path(target).relative_to("/src"), into=target.endswith("/"))
    make_read_only(workplace.source)
    _folder(workplace.built, pwd.getpwnam(BUILDER).pw_uid if is_root() else None)
    for service in services:
        _folder(workplace.tmp(service), RUNS_AS if is_root() else None)
        _folder(workplace.secrets(service), None)


def build(argv: Sequence[str], workplace: Workplace, service: str) -> None:
    """Does a RUN of the Dockerfile, as the builder.

    Raises:
        ImagesError: it failed; has what it said.
    """
    program, *arguments = argv
    if program != "python3":
        raise ImagesError(f"the Dockerfile runs {program}; the check knows how to run python3")
    done = subprocess.run(
        [str(python_for_others()), *(placed(each, workplace.places(service)) for each in arguments)],
        cwd="/",
        env=_build_environment(workplace),
        check=False,
        capture_output=True,
        text=True,
        **_as_builder(),
    )
    if done.returncode != 0:
        raise ImagesError(f"{' '.join(argv)} failed:\n{done.stdout}{done.stderr}")


def go_on_from(workplace: Workplace, stage: str, service: str) -> None:
    """Begins the tree of a service with that of the stage before, as FROM does."""
    copied = ["cp", "--archive", str(workplace.tree(stage)), str(workplace.tree(service))]
    subprocess.run(copied, check=True, **_as_builder())


def _build_environment(workplace: Workplace) -> dict[str, str]:
    passed = {name: value for name, value in os.environ.items() if name.upper().startswith(_PASSED_PREFIXES)}
    return passed | {
        "HOME": str(workplace.built),
        "TMPDIR": str(workplace.built),
        "PATH": "/usr/local/bin:/usr/bin:/bin",
    }


def _as_builder() -> dict[str, Any]:
    if not is_root():
        return {}
    account = pwd.getpwnam(BUILDER)
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def placed(text: str, places: Mapping[str, str]) -> str:
    """A path of the container, or several with colons between, as they are found here."""
    return ":".join(_placed(part, places) for part in text.split(":"))


def _placed(path: str, places: Mapping[str, str]) -> str:
    for there, here in places.items():
        if path == there or path.startswith(f"{there}/"):
            return here + path.removeprefix(there)
    return path


def make_read_only(folder: Path) -> None:
    """Takes everybody's permission to write; as root the folder becomes root's, too."""
    for path in (folder, *folder.rglob("*")):
        if is_root():
            os.chown(path, 0, 0, follow_symlinks=False)
        if not path.is_symlink():
            path.chmod(stat.S_IMODE(path.stat().st_mode) & 0o555)


def make_removable(folder: Path) -> None:
    """Gives the owner back what `make_read_only` took, so that the folders can be deleted."""
    for path in (folder, *folder.rglob("*")):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)


def _folder(path: Path, user: int | None) -> None:
    path.mkdir(parents=True, mode=0o755)
    if user is not None:
        os.chown(path, user, user)


def _copy(source: Path, target: Path, *, into: bool) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=_NOT_SENT, symlinks=True)
    else:
        place = target / source.name if into else target
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, place)
        place.chmod(0o644)
