"""The access log by months: for how long it is kept, and how the one table became many. Frozen: a migration runs it.

No key spans the months. A line's id comes from one sequence for all of them, so pages that go on below an id go on in
whatever month that is.
"""

from typing import Final

from kit.kept import Cut, Kept
from kit.month_tables import Turned

ACCESS_LOG: Final = Kept(
    "access_log",
    "occurred_at",
    Cut.TIME,
    "access_log_kept_days",
    "Who handled personal data is on record for three years at least (PIPL, article 56); people ask later than that.",
)

_GUARD: Final = """
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
"""
# What was dropped is told where auditors look: in the log itself, in the transaction that dropped it.
_TELL: Final = """
CREATE FUNCTION log_purge() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO access_log (occurred_at, caller, operation, means, outcome, request_id, stated_reason)
    VALUES (NEW.purged_at, 'database/' || session_user, 'PURGE', 'POLICY', 'RECOGNISED', 'purge-' || NEW.purge_id,
            format('%s：约 %s 条，均早于 %s，保存期 %s 天', NEW.partition_name, NEW.about_rows,
                   to_char(NEW.until AT TIME ZONE 'Asia/Shanghai', 'YYYY-MM-DD'), NEW.kept_days));
    RETURN NULL;
END $$;
CREATE TRIGGER log_purge AFTER INSERT ON purged_month
    FOR EACH ROW WHEN (NEW.table_name = 'access_log') EXECUTE FUNCTION log_purge();
"""

ACCESS_LOG_MONTHS: Final = Turned(
    kept=ACCESS_LOG,
    first="ALTER TABLE access_log ALTER COLUMN id DROP IDENTITY;",
    renames="""
ALTER INDEX access_log_pkey RENAME TO access_log_before_pkey;
ALTER INDEX access_log_of_person RENAME TO access_log_before_of_person;
ALTER INDEX access_log_of_caller RENAME TO access_log_before_of_caller;
""",
    keys="""
ALTER TABLE access_log ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY;
CREATE INDEX access_log_of_person ON access_log (psn_no, id) WHERE psn_no IS NOT NULL;
CREATE INDEX access_log_of_caller ON access_log (caller, id);
""",
    partition_key="PRIMARY KEY (id)",
    pattern=_GUARD.format(table="access_log_rest"),
    last=f"""
{_GUARD.format(table="access_log")}
{_TELL}
SELECT setval(pg_get_serial_sequence('access_log', 'id'), coalesce(max(id), 0) + 1, false) FROM access_log_before;
""",  # noqa: S608 - constants of this file
)
