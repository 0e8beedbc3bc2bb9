"""Random passwords of the throw-away servers, kept in one private file."""

import json
import secrets
import threading
from typing import Final

from gongji_local.files import write_private
from gongji_local.state import StateFolder

_mutex: Final = threading.Lock()


def password_of(folder: StateFolder, role: str) -> str:
    """The role's password; made on first use."""
    path = folder.secrets / "passwords.json"
    with _mutex:
        known: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
        if role not in known:
            known[role] = secrets.token_urlsafe(24)
            write_private(path, json.dumps(known, indent=2, sort_keys=True) + "\n")
        return known[role]
