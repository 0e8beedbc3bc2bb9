"""The folder of a backup: base backups with what is known of each, and the WAL that the server archives."""

import json
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Self

from gongji_local.errors import StackError, from_os_error
from gongji_local.files import PRIVATE_FOLDER
from gongji_local.processes import Account

STAMP: Final = "%Y%m%dT%H%M%S.%fZ"


@dataclass(frozen=True, slots=True)
class Base:
    """A base backup."""

    stamp: str
    """Also the name of its folder."""
    ended_at: datetime
    """By the server's clock: what is restored from it is of a later point."""
    key_ids: Mapping[str, Sequence[str]]
    """By file, the keys without which what is encrypted in it cannot be read; the keys are not in the backup."""

    def text(self) -> str:
        """JSON."""
        return json.dumps({**asdict(self), "ended_at": self.ended_at.isoformat()}, indent=2) + "\n"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads what `text` wrote."""
        loaded = json.loads(text)
        return cls(loaded["stamp"], datetime.fromisoformat(loaded["ended_at"]), loaded["key_ids"])


@dataclass(frozen=True, slots=True)
class Archive:
    """Where things lie in a backup's folder."""

    root: Path

    @property
    def wal(self) -> Path:
        """Segments of the WAL, as the server archives them."""
        return self.root / "wal"

    @property
    def bases(self) -> Path:
        """A folder for each base backup, and beside it a file of what is known of it."""
        return self.root / "base"

    def base_folder(self, base: Base) -> Path:
        """The data folder that was copied."""
        return self.bases / base.stamp

    @property
    def archive_command(self) -> str:
        """Copies a segment, which is never seen half-written; one that is there with other content is an error."""
        name, draft = shlex.quote(str(self.wal)) + "/%f", shlex.quote(str(self.wal)) + "/%f.part"
        copied = f'cp "%p" {draft} && sync {draft} && mv {draft} {name}'
        return f'if test -f {name}; then cmp -s "%p" {name}; else {copied}; fi'

    @property
    def restore_command(self) -> str:
        """Brings a segment back."""
        return f'cp {shlex.quote(str(self.wal))}/%f "%p"'

    def create(self, account: Account | None) -> None:
        """Makes the folders for the account that the server runs as."""
        try:
            self.root.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
            for folder in (self.root, self.wal, self.bases):
                folder.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
                if account:
                    os.chown(folder, account.uid, account.gid)
        except OSError as error:
            raise from_os_error(error, self.root) from error

    def put(self, base: Base) -> None:
        """Remembers a base backup that is complete."""
        (self.bases / f"{base.stamp}.json").write_text(base.text())

    def all(self) -> list[Base]:
        """All base backups, oldest first."""
        found = [Base.parse(file.read_text()) for file in self.bases.glob("*.json")]
        return sorted(found, key=lambda base: base.ended_at)

    def base_for(self, point: datetime | None) -> Base:
        """The youngest base backup that ended before a point; None is everything that is archived."""
        fit = [base for base in self.all() if point is None or base.ended_at < point]
        if not fit:
            when = f" that ended before {point.astimezone(UTC).isoformat()}" if point else ""
            raise StackError(
                f"There is no base backup in {self.root}{when}.",
                "Name a later point, or another folder; `gongji-local backup FOLDER` makes one.",
            )
        return fit[-1]


def key_ids(secrets: Path) -> dict[str, list[str]]:
    """The ids of the keys in each key ring of a state folder."""
    rings = {file.name: json.loads(file.read_text()) for file in sorted(secrets.glob("*keyring*.json"))}
    return {name: sorted(ring["keys"]) for name, ring in rings.items()}


def missing_keys(needed: Mapping[str, Sequence[str]], there: Mapping[str, Sequence[str]]) -> list[str]:
    """What a backup needs and a state folder does not have, as `file: key`."""
    return [f"{name}: {key}" for name, keys in needed.items() for key in keys if key not in there.get(name, ())]
