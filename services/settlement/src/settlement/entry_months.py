"""The ledger by months of posting: what is kept, and how the one table became many. Frozen: a migration runs it.

No key spans the months, because PostgreSQL wants the month in each. An entry's id comes from one sequence for all of
them. That no account has a version twice is held by each month's own index, and across months by the statement that
posts (`account_repository`); the audit looks at all of them.
"""

from typing import Final

from kit.kept import Cut, Kept
from kit.month_tables import Turned

ENTRY: Final = Kept(
    "entry",
    "posted_at",
    Cut.TIME,
    None,
    "The ledger is the books: a balance is the sum of all its entries, and the chain of seals begins with the first.",
)

_GUARDS: Final = """
CREATE TRIGGER entry_is_forever BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}
    FOR EACH STATEMENT EXECUTE FUNCTION entry_is_forever();
CREATE TRIGGER posting_sums_to_zero AFTER INSERT ON {table} REFERENCING NEW TABLE AS written
    FOR EACH STATEMENT EXECUTE FUNCTION posting_sums_to_zero();
"""

ENTRY_MONTHS: Final = Turned(
    kept=ENTRY,
    first="ALTER TABLE entry ALTER COLUMN id DROP IDENTITY;",
    renames="""
ALTER INDEX entry_pkey RENAME TO entry_before_pkey;
ALTER INDEX entry_of_account RENAME TO entry_before_of_account;
ALTER INDEX entry_sealing RENAME TO entry_before_sealing;
ALTER INDEX entry_of_settlement RENAME TO entry_before_of_settlement;
""",
    keys="""
ALTER TABLE entry ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY;
CREATE INDEX entry_sealing ON entry (tx, id);
CREATE INDEX entry_of_settlement ON entry (settlement_id) WHERE settlement_id IS NOT NULL;
""",
    partition_key="PRIMARY KEY (id)",
    pattern=f"""
CREATE UNIQUE INDEX entry_rest_of_account ON entry_rest (account_key, version) WHERE account_kind = 'PERSONAL';
{_GUARDS.format(table="entry_rest")}
""",
    last=f"""
{_GUARDS.format(table="entry")}
SELECT setval(pg_get_serial_sequence('entry', 'id'), coalesce(max(id), 0) + 1, false) FROM entry_before;
""",  # noqa: S608 - constants of this file
)
