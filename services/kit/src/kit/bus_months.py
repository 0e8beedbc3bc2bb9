"""How outbox and inbox become tables of months; for a migration of a service, frozen as a schema is."""

from typing import Final

from kit.kept import INBOX, OUTBOX
from kit.month_tables import Turned

_NEW_OUTBOX_IS_FLAT: Final = """
-- The sequence would go with the first months otherwise.
ALTER SEQUENCE outbox_event_id OWNED BY outbox_event.id;
-- What was cut by ids holds nothing in a new database, and one plain table does.
DO $$
DECLARE bound text;
BEGIN
    IF NOT EXISTS (SELECT FROM outbox_event_before) THEN
        SELECT pg_get_expr(relpartbound, oid) INTO bound FROM pg_class WHERE oid = 'outbox_event_before'::regclass;
        DROP TABLE outbox_event_before;
        CREATE TABLE outbox_event_before (LIKE outbox_event_rest INCLUDING ALL);
        EXECUTE 'ALTER TABLE outbox_event ATTACH PARTITION outbox_event_before ' || bound;
    END IF;
END $$;
"""

OUTBOX_MONTHS: Final = Turned(
    OUTBOX,
    renames="""
        ALTER INDEX outbox_event_pkey RENAME TO outbox_event_before_pkey;
        ALTER TABLE outbox_event_rest RENAME TO outbox_event_before_rest;
        ALTER INDEX outbox_event_rest_pkey RENAME TO outbox_event_before_rest_pkey;
    """,
    # The ids come from one sequence, so each partition's own key is enough; one of all would hold the time as well.
    partition_key="PRIMARY KEY (id)",
    last=_NEW_OUTBOX_IS_FLAT,
)
INBOX_MONTHS: Final = Turned(
    INBOX,
    # The same key as ever: all that `ON CONFLICT` has to look at is in the one month that the id says.
    renames="ALTER INDEX inbox_pkey RENAME TO inbox_before_pkey;",
    keys="ALTER TABLE inbox ADD PRIMARY KEY (consumer, event_id);",
)
