"""`make images`: builds the four images with whichever of docker and buildah answers.

python -m gongji_images.build --base python:3.13-slim-bookworm@sha256:… --release
"""

import argparse
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from gongji_images.base import require_base
from gongji_images.dockerfile import DOCKERFILE, ROOT
from gongji_images.errors import ImagesError
from gongji_images.tree import SERVICES

_QUESTIONS: Final[Mapping[str, Sequence[str]]] = {
    "docker": ("docker", "info", "--format", "{{.ServerVersion}}"),
    "buildah": ("buildah", "info"),
}
_BUILD: Final[Mapping[str, Sequence[str]]] = {
    "docker": ("docker", "build"),
    "buildah": ("buildah", "build", "--format", "docker", "--ignorefile", f"{DOCKERFILE}.dockerignore"),
}
_ANSWER_SECONDS: Final = 30.0

Ask = Callable[[Sequence[str]], str]
"""Asks a builder whether it is there; why not, or nothing."""


class NoBuilder(ImagesError):
    """Neither docker nor buildah answers."""

    exit_status = 3


@dataclass(frozen=True, slots=True)
class Stamp:
    """What the labels say about where an image comes from."""

    version: str
    revision: str
    created: str


def answering(ask: Ask) -> str:
    """The first builder that answers.

    Raises:
        NoBuilder: says of each why not.
    """
    reasons = {name: ask(question) for name, question in _QUESTIONS.items()}
    for name, why_not in reasons.items():
        if not why_not:
            return name
    said = "; ".join(f"{name}: {why_not}" for name, why_not in reasons.items())
    raise NoBuilder(f"nothing was built: {said}. `make image-check` shows without them what the images would contain")


def asked(question: Sequence[str]) -> str:
    """Why the program does not answer; empty if it does."""
    if shutil.which(question[0]) is None:
        return "not installed"
    try:
        done = subprocess.run(question, check=False, capture_output=True, text=True, timeout=_ANSWER_SECONDS)
    except subprocess.TimeoutExpired:
        return f"no answer in {_ANSWER_SECONDS:.0f} s"
    lines = (done.stderr or done.stdout).strip().splitlines()
    return "" if done.returncode == 0 else (lines[-1] if lines else f"ended with {done.returncode}")


def command(builder: str, service: str, base: str, stamp: Stamp, registry: str) -> list[str]:
    """The command that builds the image of a service."""
    arguments = {
        "BASE": base,
        "VERSION": stamp.version,
        "REVISION": stamp.revision,
        "CREATED": stamp.created,
    }
    return [
        *_BUILD[builder],
        *("--file", str(DOCKERFILE), "--target", service),
        *(word for name, value in arguments.items() for word in ("--build-arg", f"{name}={value}")),
        *("--tag", f"{registry}gongji/{service}:{stamp.version}"),
        str(ROOT),
    ]


def stamp(service: str, *, release: bool) -> Stamp:
    """Where the image of a service comes from.

    Raises:
        ImagesError: a release of what is in no commit.
    """
    stated = tomllib.loads((ROOT / "services" / service / "pyproject.toml").read_text(encoding="utf-8"))
    changed = bool(_git("status", "--porcelain"))
    if changed and release:
        raise ImagesError("this checkout has changes that are in no commit, and a release is made from a commit")
    revision = _git("rev-parse", "HEAD") + ("-changed" if changed else "")
    return Stamp(stated["project"]["version"], revision, _git("log", "-1", "--format=%cI"))


def _git(*arguments: str) -> str:
    program = shutil.which("git") or "git"
    done = subprocess.run([program, *arguments], cwd=ROOT, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise ImagesError(f"git {' '.join(arguments)}: {done.stderr.strip()}; the labels name the commit")
    return done.stdout.strip()


def build_all(base: str, *, release: bool, registry: str) -> None:
    """Builds the four.

    Raises:
        BaseImageRefused: the base image cannot be built on.
        NoBuilder: neither docker nor buildah answers.
        ImagesError: a build failed.
    """
    require_base(base, release=release)
    stamps = {service: stamp(service, release=release) for service in SERVICES}
    builder = answering(asked)
    for service in SERVICES:
        if subprocess.run(command(builder, service, base, stamps[service], registry), check=False).returncode != 0:
            raise ImagesError(f"{builder} could not build {service}; it says above why")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; its exit status."""
    parser = argparse.ArgumentParser(description="Build the images of the four services.")
    parser.add_argument("--base", default="", help="the base image; with its digest if it is a release")
    parser.add_argument("--release", action="store_true", help="refuse a base without digest, and changes in no commit")
    parser.add_argument("--registry", default="", help="goes before the images' names, such as registry.example/")
    given = parser.parse_args(arguments)
    try:
        build_all(given.base, release=given.release, registry=given.registry)
    except ImagesError as error:
        print(f"✗ {error}", file=sys.stderr)
        return error.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main())
