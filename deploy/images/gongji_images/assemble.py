"""Makes the tree of files that is a service's image: `/opt/gongji`, an environment of Python with nothing else in it.

The Dockerfile runs this file in its build stages, and `make image-check` runs it as another user: there is one way to
make a tree, so that the check says something about the images. It has nothing but the standard library to go by.

    python3 assemble.py tools  --source /src --tools /opt/tools
    python3 assemble.py shared --source /src --tools /opt/tools --tree /opt/gongji
    python3 assemble.py tree   --source /src --tools /opt/tools --tree /opt/gongji --service binding

What all services have (`shared`) is installed and compiled once; each service's tree goes on from that.
"""

import argparse
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Sequence
from importlib.util import cache_from_source
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

REQUIREMENTS: Final = Path("deploy/images/requirements")
SBOM: Final = "sbom.cdx.json"
"""Where in the tree the bill of materials lies."""
SHARED: Final = "kit"
"""Whose lock every service's has in it, because each needs the kit."""
SHARED_MEMBERS: Final = ("protos", "services/kit")
_BUILD: Final = "import sys; from setuptools import build_meta; print(build_meta.build_wheel(sys.argv[1]))"
_NOT_PACKED: Final = shutil.ignore_patterns("*.egg-info", "build", "__pycache__", "tests")


def members(service: str) -> tuple[str, ...]:
    """The folders of the workspace that a service's image is made of."""
    return (*SHARED_MEMBERS, f"services/{service}")


def make_tools(source: Path, tools: Path) -> None:
    """The environment that builds: uv, setuptools and what writes the bill of materials, by their hashes."""
    venv.create(tools, with_pip=True, symlinks=True)
    run(tools, "-m", "pip", "install", "--quiet", "--no-cache-dir", "--disable-pip-version-check",
        "--only-binary", ":all:", "--require-hashes", "--requirement", source / REQUIREMENTS / "tools.txt")  # fmt: skip


def make_shared(source: Path, tools: Path, tree: Path) -> None:
    """An environment with what every service has: the kit, the contracts, and what they need.

    Only wheels are installed: nothing is compiled, neither here nor where it runs. There is no pip in the tree.
    """
    venv.create(tree, with_pip=False, symlinks=True)
    _add(source, tools, tree, SHARED, SHARED_MEMBERS)


def make_tree(source: Path, tools: Path, service: str, tree: Path) -> None:
    """Of such an environment the service's: the rest of its pinned wheels, its own, and the bill of materials."""
    _add(source, tools, tree, service, members(service)[len(SHARED_MEMBERS) :])
    _write_sbom(source, tools, service, tree)


def _add(source: Path, tools: Path, tree: Path, lock: str, own: Sequence[str]) -> None:
    locked = source / REQUIREMENTS / f"{lock}.txt"
    _install(tools, tree, "--require-hashes", "--no-build", "--requirement", locked)
    with TemporaryDirectory() as scratch:
        wheels = [_wheel(source / member, tools, Path(scratch) / member) for member in own]
        _install(tools, tree, "--no-deps", "--no-index", "--offline", *wheels)
        _drop_what_nobody_runs(tree)
        _compile(tree, Path(scratch) / "uncompiled")


def run(environment: Path, *arguments: str | Path, cwd: Path | None = None) -> str:
    """Runs the environment's Python; what it printed. Ends this program when that fails, with all that it said."""
    command = [str(environment / "bin" / "python"), *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"✗ {' '.join(command)}\n{done.stdout}{done.stderr}")
    return done.stdout


def _install(tools: Path, tree: Path, *what: str | Path) -> None:
    python = tree / "bin" / "python"
    # Copied, not linked: a tree must not change with what is in a cache.
    run(tools, "-m", "uv", "pip", "install", "--quiet", "--link-mode", "copy", "--python", python, *what)


def _wheel(member: Path, tools: Path, scratch: Path) -> Path:
    # setuptools writes beside what it builds, and the source is read-only.
    shutil.copytree(member, scratch, ignore=_NOT_PACKED, copy_function=shutil.copyfile)
    for folder in (scratch, *(path for path in scratch.rglob("*") if path.is_dir())):
        folder.chmod(0o755)
    built = run(tools, "-c", _BUILD, scratch / "dist", cwd=scratch).splitlines()[-1]
    return scratch / "dist" / built


def _drop_what_nobody_runs(tree: Path) -> None:
    (tree / ".lock").unlink(missing_ok=True)  # uv's own, which everybody may write
    shutil.rmtree(tree / "include", ignore_errors=True)
    shutil.rmtree(tree / "share", ignore_errors=True)
    for script in (tree / "bin").iterdir():
        if not script.name.startswith("python"):
            script.unlink()


def _compile(tree: Path, listing: Path) -> None:
    # The tree is read-only where it runs. By hash and unchecked: what a layer does to the files' times says nothing.
    # Of a file that is compiled by hash compileall does not see that it is, so it is told which are not.
    files = [path for path in (tree / "lib").rglob("*.py") if not Path(cache_from_source(str(path))).exists()]
    listing.write_text("".join(f"{path}\n" for path in files), encoding="utf-8")
    run(tree, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", "-i", listing, cwd=tree)


def _write_sbom(source: Path, tools: Path, service: str, tree: Path) -> None:
    run(tools, "-m", "cyclonedx_py", "requirements", "--output-reproducible", "--output-format", "JSON",
        "--pyproject", source / "services" / service / "pyproject.toml", "--mc-type", "application",
        "--output-file", tree / SBOM, source / REQUIREMENTS / f"{service}.txt")  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Make the tree of a service's image.")
    parser.add_argument("what", choices=("tools", "shared", "tree"))
    parser.add_argument("--source", type=Path, required=True, help="the checkout, or what the Dockerfile copies of it")
    parser.add_argument("--tools", type=Path, required=True, help="the environment that builds")
    parser.add_argument("--service", help="whose tree it is")
    parser.add_argument("--tree", type=Path, help="where the tree is made")
    given = parser.parse_args(arguments)
    os.umask(0o022)  # whoever builds, another user reads
    if given.what == "tools":
        make_tools(given.source, given.tools)
    elif given.tree is None:
        parser.error(f"{given.what} needs --tree")
    elif given.what == "shared":
        make_shared(given.source, given.tools, given.tree)
    elif given.service is None:
        parser.error("tree needs --service")
    else:
        make_tree(given.source, given.tools, given.service, given.tree)


if __name__ == "__main__":
    main()
