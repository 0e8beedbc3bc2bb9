"""Whether files with keys are closed to other users of the computer."""

import stat
from collections.abc import Iterator

from kit.checking import Finding
from kit.config import DatabaseSettings, variable

_SECRET_FILES = ("key_file", "keyring_file", "token_file")
"""How the names of settings end that name such files."""


def secrecy(settings: DatabaseSettings) -> Iterator[Finding]:
    """A line for each file with keys that everybody on this computer may read; its group may, as in a pod."""
    for name in type(settings).model_fields:
        path = getattr(settings, name, None)
        if path is None or not name.endswith(_SECRET_FILES):
            continue
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & stat.S_IRWXO:
            yield Finding(
                variable(name), fault=f"{path} is open to every user of this computer (mode {mode:04o}); chmod o= it"
            )
