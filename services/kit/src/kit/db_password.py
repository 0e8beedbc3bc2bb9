"""A database's password that may be replaced, in a file that the URL names.

`passwordfile` in the URL names it, as `sslrootcert` does another; the URL itself then holds nothing secret. A role
has one password at a time, and files reach processes minutes before or after the role is changed. So a second one may
lie beside it, named `<file>.other`: whichever of the two the server takes.
"""

from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from kit.failures import OperatorError

PARAMETER: Final = "passwordfile"
OTHER: Final = ".other"


class PasswordUnreadable(OperatorError, ConnectionError):
    """The file with the database's password cannot be read or is empty; names it. No connection comes about."""


def password_file(url: str) -> Path | None:
    """The file that a URL names."""
    named = dict(parse_qsl(urlsplit(url).query)).get(PARAMETER)
    return Path(named) if named else None


def without_file(url: str) -> str:
    """The URL as PostgreSQL's clients know it."""
    parts = urlsplit(url)
    query = [(name, value) for name, value in parse_qsl(parts.query) if name != PARAMETER]
    return urlunsplit(parts._replace(query=urlencode(query, safe="/")))


def passwords(file: Path) -> list[str]:
    """What the file says, and the other one if there is any; at least one.

    Raises:
        PasswordUnreadable: see there.
    """
    other = file.with_name(file.name + OTHER)
    try:
        found = [each.read_text(encoding="utf-8").strip() for each in (file, other) if each is file or each.is_file()]
    except (OSError, UnicodeDecodeError) as error:
        raise PasswordUnreadable(f"the database's password in {file} cannot be read: {type(error).__name__}") from error
    if not found[0]:
        raise PasswordUnreadable(f"{file} has no password in it")
    return [password for password in dict.fromkeys(found) if password]
