"""Migrations that turn a table into one of months, beside the version before.

The old table stays as it is, and becomes the partition of all that is older than a bound. So that attaching it reads
nothing, a CHECK says beforehand that it holds nothing younger, which is validated beside those who write.
"""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from alembic import op
from sqlalchemy.util import await_only

from kit.backoff import backoff_seconds
from kit.clock import Elapsed
from kit.db_errors import CHECK_VIOLATION, LOCK_NOT_AVAILABLE, sqlstate_of
from kit.kept import Kept
from kit.migrate import RETRY_SECONDS, MigrationError, run_script
from kit.month_sql import MONTHS_AHEAD, bound_of, make_sql
from kit.months import Month, month_of, month_of_partition

SCHEMA: Final = """
-- What `purge` dropped: an audit must know from when on a table is whole.
CREATE TABLE purged_month (
    purge_id       bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    table_name     text        NOT NULL,
    partition_name text        NOT NULL,
    until          timestamptz NOT NULL,
    kept_days      integer     NOT NULL CHECK (kept_days > 0),
    about_rows     bigint      NOT NULL CHECK (about_rows >= 0),
    bytes          bigint      NOT NULL CHECK (bytes >= 0),
    purged_at      timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON COLUMN purged_month.until IS 'everything that was dropped is older';
CREATE FUNCTION keep_purged_month() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'purged_month is append-only' USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER purged_month_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON purged_month
    FOR EACH STATEMENT EXECUTE FUNCTION keep_purged_month();
"""
"""For a migration of a service with such tables; frozen. A later change is a new constant and a new migration."""

LEAST_NOTICE: Final = timedelta(days=31)
"""So long the CHECK of a migration that was given up harms nobody: what is written later would be refused."""

_IS_TURNED: Final = "SELECT to_regclass('{before}') IS NOT NULL"
_IS_EMPTY: Final = "SELECT NOT EXISTS (SELECT FROM {table})"
_NOW: Final = "SELECT clock_timestamp()"
_BOUNDS: Final = """
SELECT conname FROM pg_constraint
WHERE conrelid = '{table}'::regclass AND contype = 'c' AND conname ~ '^{before}_[0-9]{{4}}_[0-9]{{2}}$'
"""
_BIND: Final = "ALTER TABLE {table} ADD CONSTRAINT {name} CHECK ({column} < '{bound}'::{type}) NOT VALID"
# Beside all others, so it may take as long as reading all of the table does.
_VALIDATE: Final = "SET LOCAL statement_timeout = 0; ALTER TABLE {table} VALIDATE CONSTRAINT {name}"
_UNBIND: Final = "ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {name}"
_SWAP: Final = """
LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE;
{first}
ALTER TABLE {table} RENAME TO {before};
{renames}
CREATE TABLE {table} (LIKE {before} INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING GENERATED INCLUDING COMMENTS
                      INCLUDING STORAGE) PARTITION BY RANGE ({column});
ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {name};
{keys}
CREATE TABLE {rest} PARTITION OF {table} DEFAULT;
{rest_key}
{pattern}
ALTER TABLE {table} ATTACH PARTITION {before} FOR VALUES FROM (MINVALUE) TO ('{bound}');
ALTER TABLE {before} DROP CONSTRAINT IF EXISTS {name};
{months}
{last}
"""


@dataclass(frozen=True, slots=True)
class Turned:
    """How a table becomes one of months."""

    kept: Kept
    keys: str = ""
    """Statements that give the new table its keys and indexes: those of the old one, which ATTACH then takes over."""
    renames: str = ""
    """Statements that free their names, such as `ALTER INDEX inbox_pkey RENAME TO inbox_before_pkey`."""
    partition_key: str = ""
    """What each partition has by itself, where the table has no key: `PRIMARY KEY (id)`."""
    pattern: str = ""
    """Statements on the rest, after whose likeness months are made: further indexes of each, triggers of statements."""
    first: str = ""
    """Statements under the lock, before all others: what cannot be carried along."""
    last: str = ""
    """Statements at the end: triggers, foreign keys, owned sequences."""


def turn(turned: Turned) -> None:
    """Turn the table into months, in a migration; safe to run again.

    The version before goes on writing: it is kept waiting for one moment, a second at most for each try.

    Raises:
        MigrationError: the table is cut by ids, and some of them are no UUIDv7 of the past.
    """
    with op.get_context().autocommit_block():
        if _asked(_IS_TURNED.format(before=turned.kept.before)) or _turned_empty(turned):
            return
        bound = _bound(turned.kept, _asked(_NOW))
        name = bound.partition_of(turned.kept.before)
        try:
            _validate(turned.kept, name)
            _patiently(swap_sql(turned, bound, bound))
        except BaseException:
            _patiently(_UNBIND.format(table=turned.kept.table, name=name))
            raise


def _turned_empty(turned: Turned) -> bool:
    """Turn a table that is empty, as in a new database: its months begin with the one under way."""
    if not _asked(_IS_EMPTY.format(table=turned.kept.table)):
        return False
    month = month_of(_asked(_NOW))
    try:
        _patiently(swap_sql(turned, month, month))
    except Exception as error:
        if sqlstate_of(error) != CHECK_VIOLATION:  # somebody wrote meanwhile, so it goes as with a full one
            raise
        return False
    return True


def swap_sql(turned: Turned, bound: Month, first: Month) -> str:
    """The one transaction that makes the table one of months, under its lock.

    Args:
        turned: see there.
        bound: with it begins what the old table no longer takes.
        first: the first month to be made, with `MONTHS_AHEAD` more.
    """
    kept = turned.kept
    return _SWAP.format(
        table=kept.table,
        column=kept.column,
        before=kept.before,
        rest=kept.rest,
        name=bound.partition_of(kept.before),
        bound=bound_of(bound, kept.cut),
        first=turned.first,
        renames=turned.renames,
        keys=turned.keys,
        rest_key=f"ALTER TABLE {kept.rest} ADD {turned.partition_key};" if turned.partition_key else "",
        pattern=turned.pattern,
        months="".join(make_sql(kept, first.later(ahead)) for ahead in range(MONTHS_AHEAD + 1)),
        last=turned.last,
    )


def _bound(kept: Kept, now: datetime) -> Month:
    """With which month the old table ends, and the CHECK that says so; that of a run before, if there is time left."""
    for name in _names(_BOUNDS.format(table=kept.table, before=kept.before)):
        month = month_of_partition(name)
        if month is not None and month.begins_at - now >= LEAST_NOTICE:
            return month
        _patiently(_UNBIND.format(table=kept.table, name=name))
    month = month_of(now + LEAST_NOTICE).next
    name, bound = month.partition_of(kept.before), bound_of(month, kept.cut)
    _patiently(_BIND.format(table=kept.table, name=name, column=kept.column, bound=bound, type=kept.cut.value))
    return month


def _validate(kept: Kept, name: str) -> None:
    try:
        _patiently(_VALIDATE.format(table=kept.table, name=name))
    except Exception as error:
        if sqlstate_of(error) == CHECK_VIOLATION:
            raise MigrationError(
                f"{kept.table} holds rows whose {kept.column} is of the future, or no UUIDv7; remove them first"
            ) from error
        raise


def _patiently(script: str) -> None:
    """Run statements as one transaction, again for a while if somebody is in their way."""
    elapsed, failures = Elapsed(), 0
    while True:
        try:
            run_script(script)
        except Exception as error:
            if sqlstate_of(error) != LOCK_NOT_AVAILABLE or elapsed.seconds > RETRY_SECONDS:
                raise
            failures += 1
            await_only(asyncio.sleep(backoff_seconds(failures)))
        else:
            return


def _asked(question: str) -> Any:
    return op.get_bind().exec_driver_sql(question).scalar_one()


def _names(question: str) -> list[str]:
    return [row[0] for row in op.get_bind().exec_driver_sql(question)]
