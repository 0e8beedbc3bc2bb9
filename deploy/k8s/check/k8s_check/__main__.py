"""`python -m k8s_check overlays|rollout`: what `make k8s-check` and `make k8s-rollout` run."""

import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Annotated, Final

import typer

from k8s_check.applying import verdicts
from k8s_check.binaries import HERE, KUBERNETES
from k8s_check.errors import CheckError
from k8s_check.rollout import play
from k8s_check.topics import documents
from kit.clock import Elapsed
from kit.topics import catalogue

EXIT_WRONG: Final = 1
EXIT_NOT_CHECKED: Final = 2
K8S: Final = HERE.parent

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def overlays(
    folders: Annotated[list[Path] | None, typer.Argument(help="Only these; by default every overlay.")] = None,
    *,
    bad: Annotated[bool, typer.Option(help="Also the wrong manifests.")] = True,
) -> None:
    """Apply each overlay for real, and let each wrong manifest be refused."""
    elapsed = Elapsed()
    right = wrong = 0
    print(f"Kubernetes {KUBERNETES}: applied for real, strictly; warnings are errors", flush=True)
    for verdict in verdicts(folders or _overlays(), _folders("bad") if bad else [], HERE / "control", os.environ):
        print(verdict.line(), flush=True)
        right, wrong = right + verdict.right, wrong + (not verdict.right)
    print(f"{right} as they must be, {wrong} wrong; {elapsed.seconds:.0f} s")
    if wrong:
        raise typer.Exit(EXIT_WRONG)


@app.command()
def rollout() -> None:
    """Roll out dev, prod over it, an upgrade, a broken image, a drain."""
    elapsed = Elapsed()
    print(f"Kubernetes {KUBERNETES}: real control plane, six pretended nodes in three zones", flush=True)
    if not play(K8S, os.environ, lambda line: print(line, flush=True)):
        raise typer.Exit(EXIT_WRONG)
    print(f"rolled out, upgraded, stopped, undone and drained as it must be; {elapsed.seconds:.0f} s")


@app.command()
def topics() -> None:
    """Write Strimzi's topics and users from `protos/topics`."""
    for name, text in documents(catalogue()).items():
        (K8S / "components/strimzi" / name).write_text(text, encoding="utf-8")


def _overlays() -> list[Path]:
    return [*_folders("overlays"), *_folders("installations")]


def _folders(name: str) -> list[Path]:
    found = sorted(each.parent for each in (K8S / name).glob("*/kustomization.yaml"))
    if not found:
        raise CheckError(f"there is nothing to build in {K8S / name}, so nothing would be checked")
    return found


def _end(number: int, frame: FrameType | None) -> None:
    # As an exception, so that every server that was started is ended on the way out.
    del frame
    sys.exit(128 + number)


def main() -> None:
    """Run, and say in one sentence why it could not."""
    signal.signal(signal.SIGTERM, _end)
    try:
        app()
    except CheckError as error:
        print(f"not checked: {error}", file=sys.stderr)
        sys.exit(EXIT_NOT_CHECKED)


if __name__ == "__main__":
    main()
