"""Which code a replica runs: this checkout's, or an earlier commit's with the schema of then."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MIGRATIONS: Final = "services/*/migrations/versions/*"
MEMBERS: Final = (
    "protos/gen",
    "services/kit/src",
    "services/identity/src",
    "services/binding/src",
    "services/settlement/src",
    "services/notify/src",
)
ROLLS: Final = ("services/kit/src/kit/grpc_client.py", "healthCheckConfig")
"""A file, and what is in it from the first code on whose replicas can be replaced without a failed call: clients that
watch whether a server still serves, over a list of addresses. What is older would fail whatever a migration did."""
HOT_TABLES: Final = {"identity": "voucher", "binding": "relation", "settlement": "settlement", "notify": "message"}
"""What every service reads and writes all the time."""

_MADE_UP: Final = '''"""A step that nothing needs: what an expanding one does to the busiest table."""
from alembic import op

revision = "{number:04d}"
down_revision = "{last:04d}"


def upgrade() -> None:
    op.execute("ALTER TABLE {table} ADD COLUMN made_up text NOT NULL DEFAULT ''")
    op.execute("ALTER TABLE {table} ADD CONSTRAINT made_up CHECK (length(made_up) < 9) NOT VALID")
    with op.get_context().autocommit_block():
        op.execute("ALTER TABLE {table} VALIDATE CONSTRAINT made_up")
        op.execute("CREATE INDEX CONCURRENTLY made_up ON {table} (made_up)")
'''


class SourceError(Exception):
    """There is no earlier code to run; says why and what to do."""


@dataclass(frozen=True, slots=True)
class Source:
    """Code that a service can be run from."""

    title: str
    """Such as `this checkout` or a commit's abbreviated hash."""
    tree: Path | None = None
    """Its root; None for what is installed."""

    @property
    def environ(self) -> Mapping[str, str]:
        """What a process is told so that it runs this code; what is installed comes after it."""
        if self.tree is None:
            return {}
        return {"PYTHONPATH": os.pathsep.join(str(self.tree / member) for member in MEMBERS)}


THIS: Final = Source("this checkout")


def earlier(root: Path, wanted: str, folder: Path) -> Source:
    """The code of `wanted`, a commit or a folder with sources; by default the newest that has other migrations.

    Args:
        root: the checkout.
        wanted: what was asked for, or nothing.
        folder: where the code of a commit is put.

    Raises:
        SourceError: this clone does not have it, or it is older than rolling upgrades are.
    """
    if wanted and Path(wanted).is_dir():
        return _that_rolls(Source(wanted, Path(wanted).resolve()), Path(wanted))
    commit = _commit(root, wanted or before_newest_migration(root))
    # By an index of its own: that of the checkout stays as it is.
    folder.mkdir(parents=True, exist_ok=True)
    index = {"GIT_INDEX_FILE": str(folder / ".index")}
    _git(root, "read-tree", commit, environ=index)
    _git(root, "checkout-index", "--all", f"--prefix={folder}/", environ=index)
    return _that_rolls(Source(_git(root, "rev-parse", "--short", commit).decode().strip(), folder), folder)


def _that_rolls(source: Source, tree: Path) -> Source:
    file, needed = ROLLS
    if not (tree / file).is_file() or needed not in (tree / file).read_text(encoding="utf-8"):
        raise SourceError(
            f"{source.title} is older than rolling upgrades: its clients do not watch whether a server still serves, "
            "nor take a list of addresses, so calls fail without any migration. Name a later one: FROM=commit"
        )
    return source


def before_newest_migration(root: Path) -> str:
    """The newest commit whose migrations are not those of the checkout.

    Raises:
        SourceError: there is none in this clone.
    """
    if _git(root, "status", "--porcelain", "--", MIGRATIONS).strip():
        return "HEAD"
    newest = _git(root, "log", "-1", "--format=%H", "--", MIGRATIONS).decode().strip()
    if not newest:
        raise SourceError("no commit of this clone has migrations. Name a folder with earlier sources: FROM=folder")
    return f"{newest}^"


def _commit(root: Path, name: str) -> str:
    try:
        return _git(root, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}").decode().strip()
    except SourceError:
        is_shallow = _git(root, "rev-parse", "--is-shallow-repository").decode().strip() == "true"
        then = "This clone is shallow: `git fetch --unshallow`, or" if is_shallow else "Name another commit, or"
        raise SourceError(
            f"this clone has no commit {name}. {then} name a folder with earlier sources: FROM=folder"
        ) from None


def _git(root: Path, *arguments: str, environ: Mapping[str, str] | None = None) -> bytes:
    program = shutil.which("git")
    if program is None or not (root / ".git").exists():
        raise SourceError("this is no clone of the repository. Name a folder with earlier sources: FROM=folder")
    done = subprocess.run(  # noqa: S603 - git
        [program, *arguments], cwd=root, env=os.environ | (environ or {}), capture_output=True, check=False
    )
    if done.returncode != 0:
        raise SourceError(f"git {' '.join(arguments)}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout


def with_made_up_step(root: Path, service: str, folder: Path) -> Path:
    """The service's migrations and one more, in a folder of their own."""
    versions = folder / service / "versions"
    shutil.copytree(root / "services" / service / "migrations" / "versions", versions)
    last = max(int(file.name[:4]) for file in versions.glob("[0-9]*.py"))
    step = _MADE_UP.format(number=last + 1, last=last, table=HOT_TABLES[service])
    (versions / f"{last + 1:04d}_made_up.py").write_text(step, encoding="utf-8")
    return versions.parent
