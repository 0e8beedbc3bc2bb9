"""Kubernetes' own programs, built once from Go modules and kept in a cache that all checkouts of this user share."""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from k8s_check.errors import CheckError

KUBERNETES: Final = "1.36.3"
FOR_APPLYING: Final = ("etcd", "kube-apiserver", "kubectl")
FOR_ROLLING_OUT: Final = (*FOR_APPLYING, "kube-controller-manager", "kube-scheduler", "kwok")
HERE: Final = Path(__file__).parent.parent
BUILD_SECONDS: Final = 1_800
_PACKAGES: Final = {
    "etcd": "go.etcd.io/etcd/server/v3",
    "kwok": "sigs.k8s.io/kwok/cmd/kwok",
    "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
    "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
    "kube-scheduler": "k8s.io/kubernetes/cmd/kube-scheduler",
    "kubectl": "k8s.io/kubernetes/cmd/kubectl",
}
_VERSION: Final = "k8s.io/component-base/version"


def cache(environ: Mapping[str, str], name: str) -> Path:
    """The folder `name` of the cache, made when it is not there."""
    base = environ.get("XDG_CACHE_HOME") or f"{Path.home()}/.cache"
    folder = Path(base) / "gongji" / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def ensure(names: Sequence[str], environ: Mapping[str, str]) -> Path:
    """The folder with at least these programs; what is missing is built, which takes a minute or a few each.

    Raises:
        CheckError: Go is missing, or a program does not build.
    """
    folder = cache(environ, f"k8s-{KUBERNETES}")
    with locked(folder):
        for name in names:
            if not os.access(folder / name, os.X_OK):
                _build(name, folder, environ)
    return folder


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Alone in the folder: another check that builds the same waits, and finds it built."""
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def go(arguments: Sequence[str], module: Path, environ: Mapping[str, str]) -> str:
    """Run Go's command in a module's folder; what it printed.

    Raises:
        CheckError: Go is missing, or says no.
    """
    program = shutil.which("go", path=environ.get("PATH"))
    if program is None:
        raise CheckError("The checks of manifests need Go 1.26 or later in PATH; there is no go.")
    fixed = {"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOTOOLCHAIN": "local", "GOWORK": "off"}
    finished = subprocess.run(
        [program, *arguments],
        cwd=module,
        env={**environ, **fixed},
        capture_output=True,
        text=True,
        check=False,
        timeout=BUILD_SECONDS,
    )
    if finished.returncode:
        raise CheckError(f"`go {' '.join(arguments[:2])}` failed in {module}:\n{finished.stderr[-2_000:]}")
    return finished.stdout


def _build(name: str, folder: Path, environ: Mapping[str, str]) -> None:
    print(f"building {name} of Kubernetes {KUBERNETES} into {folder} (once; up to four minutes)", flush=True)
    # A build that is interrupted must leave nothing that looks like the program.
    draft = folder / f".{name}.part"
    try:
        go(["build", "-trimpath", "-ldflags", _flags(), "-o", str(draft), _PACKAGES[name]], HERE / "tools", environ)
        draft.replace(folder / name)
    finally:
        draft.unlink(missing_ok=True)


def _flags() -> str:
    # Without these the API server calls itself v0.0.0, and features by version are not those of a release.
    major, minor, _ = KUBERNETES.split(".")
    stamps = {
        "gitVersion": f"v{KUBERNETES}",
        "gitMajor": major,
        "gitMinor": minor,
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
    }
    return " ".join(["-s", "-w", *(f"-X {_VERSION}.{key}={value}" for key, value in stamps.items())])
