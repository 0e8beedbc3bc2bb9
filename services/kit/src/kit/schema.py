"""Whether the database has the schema that this version needs, asked in one statement: Alembic takes long to load."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import asyncpg

from kit.db import Transaction
from kit.failures import OperatorError

VERSION_TABLE: Final = "schema_version"
"""What Alembic is told to note the revision in."""


class SchemaMissing(OperatorError):
    """Migrations of this version have not been applied yet."""


class SchemaOfAnother(OperatorError):
    """The database has a revision that is not of this service."""


def revisions(migrations_dir: Path) -> Sequence[str]:
    """The revisions of this version, oldest first, by the names of their files (`NNNN_noun.py`)."""
    return sorted(path.name.split("_")[0] for path in (migrations_dir / "versions").glob("[0-9]*_*.py"))


def judge(current: str | None, known: Sequence[str]) -> bool:
    """Whether a later version has migrated the database, beside which this one may run; False if it is this one's.

    Raises:
        SchemaMissing: it is older.
        SchemaOfAnother: it is none of this service's.
    """
    if current is not None and current > known[-1]:
        return True
    if current is not None and current not in known:
        raise SchemaOfAnother(
            f"the database has the revision {current}, which is none of this service's. Correct GONGJI_DATABASE_URL."
        )
    missing = [each for each in known if current is None or each > current]
    if missing:
        raise SchemaMissing(
            f"the database's schema is older than this version: {', '.join(missing)} missing."
            " Run the command `migrate`."
        )
    return False


async def current_revision(transaction: Transaction) -> str | None:
    """The revision that the database has; None before the first migration."""
    try:
        found: str | None = await transaction.raw.fetchval(f"SELECT version_num FROM {VERSION_TABLE}")  # noqa: S608 - a constant
    except asyncpg.UndefinedTableError:
        return None
    return found
