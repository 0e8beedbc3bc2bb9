"""Which databases are known to be at the newest schema, so that nothing is run to find out.

The mark changes with every file that decides about a schema and with the database itself: one that was dropped and
made again, or restored on another server, is not taken for the one that was migrated.
"""

from hashlib import sha256
from pathlib import Path

from gongji_local.state import repository_root


def schema_mark(service: str, database_identity: str) -> str:
    """Stands for the service's migrations applied to that very database."""
    digest = sha256(database_identity.encode())
    for file in _files(service):
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def _files(service: str) -> list[Path]:
    root = repository_root()
    versions = sorted((root / "services" / service / "migrations").rglob("*.py"))
    # kit's tables are created by text that the migrations import
    return [*versions, *sorted((root / "services/kit/src/kit").glob("*.py"))]
