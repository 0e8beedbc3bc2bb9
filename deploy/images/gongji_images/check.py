"""`make image-check`: what the images would contain, proved where no Docker runs.

Lints the Dockerfile, does its COPY and RUN instructions in a folder (as another user, from a source that nobody can
write), looks at the four trees, and runs the services out of them as their containers would.
"""

import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from rich.console import Console

from gongji_images import tree
from gongji_images.assemble import REQUIREMENTS
from gongji_images.confine import LEAST_VERSION, landlock_version
from gongji_images.dockerfile import DOCKERFILE, ROOT, Stage, stages
from gongji_images.errors import ImagesError
from gongji_images.running import run_all, unchanged
from gongji_images.tree import SERVICES
from gongji_images.workplace import (
    Workplace,
    build,
    go_on_from,
    is_root,
    lay_out,
    make_read_only,
    make_removable,
    new_root,
)
from gongji_local.console import ConsoleProgress
from gongji_local.parallel import in_parallel
from gongji_local.progress import Progress, told

MEBIBYTE: Final = 1024 * 1024


def lint(dockerfile: Path) -> list[str]:
    """What hadolint says about the Dockerfile, at its strictest."""
    with TemporaryDirectory() as place:
        install = ["--target", place, "--require-hashes", "--requirement", str(ROOT / REQUIREMENTS / "lint.txt")]
        _run(sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", sys.executable, *install)
        program = str(Path(place) / "bin" / "hadolint")
        command = [program, "--no-color", "--failure-threshold", "style", str(dockerfile)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
    said = (done.stdout + done.stderr).splitlines()
    return said or ([] if done.returncode == 0 else [f"hadolint ended with {done.returncode}"])


def check(workplace: Workplace, progress: Progress) -> None:
    """The whole check.

    Raises:
        ImagesError: says everything that is wrong.
    """
    plan = stages(DOCKERFILE.read_text(encoding="utf-8"))
    with told(progress, "hadolint"):
        _require_none("the Dockerfile", lint(DOCKERFILE))
    with told(progress, "Source", "what the Dockerfile copies, read-only"):
        lay_out(workplace, SERVICES, plan)
    with told(progress, "Tools", "uv, setuptools, cyclonedx-bom"):
        _build(workplace, plan["tools"], "")
    with told(progress, "Shared", "what all four services have"):
        _build(workplace, plan["members"], "members")
    in_parallel(lambda service: _tree(workplace, plan, service, progress), SERVICES)
    trees = {service: workplace.tree(service) for service in SERVICES}
    written = unchanged(trees, lambda: run_all(workplace, plan, progress))
    _require_none("the trees", written)


def _tree(workplace: Workplace, plan: Mapping[str, Stage], service: str, progress: Progress) -> None:
    place = workplace.tree(service)
    with told(progress, f"Tree of {service}") as step:
        stage = plan[f"build-{service}"]
        go_on_from(workplace, stage.parent, service)
        _build(workplace, stage, service)
        lock = tree.locked((ROOT / REQUIREMENTS / f"{service}.txt").read_text(encoding="utf-8"))
        _require_none(f"the tree of {service}", tree.problems(place, service, lock))
        make_read_only(place)
        step.detail = f"{tree.size_bytes(place) / MEBIBYTE:.0f} MiB, {len(tree.installed(place))} distributions"


def _build(workplace: Workplace, stage: Stage, service: str) -> None:
    for instruction in stage.all("RUN"):
        build(instruction.argv, workplace, service)


def _require_none(where: str, problems: list[str]) -> None:
    if problems:
        raise ImagesError(f"{where}:\n  " + "\n  ".join(problems))


def _run(*command: str) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise ImagesError(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")


def _require_landlock() -> None:
    if landlock_version() < LEAST_VERSION:
        raise ImagesError(
            "this kernel cannot hold a service to a read-only root: Landlock (Linux 6.2 or later) is needed, "
            "or build the images with Docker and run them with --read-only"
        )


def main() -> int:
    """The command; its exit status."""
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(1))  # so that nothing that runs is left behind
    console = Console(highlight=False)
    progress = ConsoleProgress(console)
    workplace = Workplace(new_root())
    try:
        _require_landlock()
        check(workplace, progress)
    except ImagesError as error:
        progress.close()
        Console(stderr=True, highlight=False).print(f"✗ {error}", markup=False, soft_wrap=True)
        return 1
    finally:
        make_removable(workplace.root)
        shutil.rmtree(workplace.root)
    acting = "built as nobody, run as 10001" if is_root() else "built and run as this user; root would be two others"
    console.print(
        f"The four trees are complete, {acting}; nothing was written but under /tmp.", markup=False, soft_wrap=True
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
