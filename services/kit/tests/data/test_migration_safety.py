"""Migrations run while the version before them serves: no lock that a call would wait for, nothing that it misses."""

from pathlib import Path

import pytest
from support.migration_rules import FILL, INDEX, OF_ACTIONS, OF_STATEMENTS, SAME_STEP, findings, of_file

SERVICES = Path(__file__).parents[3]
FILES = sorted(SERVICES.glob("*/migrations/versions/*.py"))
ALLOWED = {
    "binding/0005": 4,
    "binding/0006": 1,
    "binding/0007": 4,
    "binding/0008": 1,
    "binding/0009": 2,
    "binding/0011": 5,
    "identity/0004": 7,
    "identity/0006": 1,
    "identity/0007": 1,
    "notify/0009": 1,
    "settlement/0002": 5,
    "settlement/0003": 3,
    "settlement/0004": 2,
    "settlement/0005": 2,
    "settlement/0006": 2,
    "settlement/0009": 1,
}
"""How much each does that it should not. All are older than the first version whose upgrades are rolling; a migration
is never changed, so nothing is to be added here: write it otherwise."""


def name_of(file: Path) -> str:
    return f"{file.parts[-4]}/{file.name[:4]}"


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_a_migration_keeps_nobody_waiting_and_takes_nothing_away(file: Path) -> None:
    found = sorted(of_file(file))
    told = "\n".join(f"{each.table}: {each.what}" for each in found)
    assert len(found) == ALLOWED.get(name_of(file), 0), f"{name_of(file)}\n{told}"


def test_what_is_allowed_is_there() -> None:
    assert set(ALLOWED) <= {name_of(file) for file in FILES}


def wrong(sql: str) -> list[tuple[str, str]]:
    source = f'"""what it does"""\nSQL = """{sql}"""\ndef upgrade() -> None:\n    """Do it."""\n    run_script(SQL)\n'
    return [(each.table, each.what) for each in sorted(findings(source))]


def rule(table: str, begin: str) -> list[tuple[str, str]]:
    (found,) = [each for each in (*OF_ACTIONS, *OF_STATEMENTS, INDEX, FILL, SAME_STEP) if each.startswith(begin)]
    return [(table, found)]


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("CREATE INDEX of_day ON entry (day)", rule("entry", "keeps all writers")),
        ("CREATE UNIQUE INDEX IF NOT EXISTS of_day ON ONLY Entry (day)", rule("entry", "keeps all writers")),
        ("DROP INDEX of_day", rule("of_day", "keeps everybody waiting: DROP")),
        ("ALTER TABLE entry ALTER COLUMN day SET NOT NULL", rule("entry", "SET NOT NULL")),
        ("ALTER TABLE entry ALTER COLUMN day TYPE bigint", rule("entry", "another type")),
        ("ALTER TABLE entry ADD COLUMN a int, ALTER day SET DATA TYPE text", rule("entry", "another type")),
        ("ALTER TABLE entry ADD CONSTRAINT c CHECK (a IN (1, 2))", rule("entry", "a constraint without NOT VALID")),
        ("ALTER TABLE entry ADD CHECK (a > 0)", rule("entry", "a constraint without NOT VALID")),
        ("ALTER TABLE a ADD CONSTRAINT c FOREIGN KEY (x) REFERENCES b", rule("a", "a constraint without NOT VALID")),
        ("ALTER TABLE a ADD CONSTRAINT c UNIQUE (x)", rule("a", "a constraint without NOT VALID")),
        ("ALTER TABLE a ADD CONSTRAINT c PRIMARY KEY (x)", rule("a", "a constraint without NOT VALID")),
        ("ALTER TABLE entry DROP COLUMN day", rule("entry", "the version before still reads")),
        ("ALTER TABLE entry RENAME COLUMN day TO date", rule("entry", "the version before knows")),
        ("ALTER TABLE entry RENAME TO line", rule("entry", "the version before knows")),
        ("ALTER TABLE entry ADD COLUMN a int NOT NULL", rule("entry", "a column that must be given")),
        ("ALTER TABLE a ADD COLUMN b uuid DEFAULT gen_random_uuid()", rule("a", "a default that differs")),
        ("ALTER TABLE a ADD COLUMN b int GENERATED ALWAYS AS (c) STORED", rule("a", "a stored column")),
        ("ALTER TABLE a ADD COLUMN b int CHECK (b > 0)", rule("a", "a column with a constraint")),
        ("ALTER TABLE a ADD COLUMN b int REFERENCES c", rule("a", "a column with a constraint")),
        ("UPDATE entry SET a = 1", rule("entry", "fills a table")),
        ("DELETE FROM entry", rule("entry", "fills a table")),
        ("INSERT INTO line (a) SELECT a FROM entry", rule("entry", "fills a table")),
        ("DROP TABLE entry", rule("entry", "the version before still uses")),
        ("LOCK TABLE entry", [("entry", "keeps everybody waiting")]),
        ("TRUNCATE entry", [("entry", "keeps everybody waiting")]),
        ("REINDEX TABLE entry", [("entry", "keeps everybody waiting")]),
        ("CREATE INDEX ON entry (day)", rule("entry", "keeps all writers")),
        (
            "ALTER TABLE a ADD CONSTRAINT c CHECK (x > 0) NOT VALID; ALTER TABLE a VALIDATE CONSTRAINT c",
            rule("a", "validates in the step"),
        ),
    ],
)
def test_what_keeps_others_waiting_or_is_missed_by_them_is_found(sql: str, expected: list[tuple[str, str]]) -> None:
    assert wrong(sql) == expected


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE INDEX CONCURRENTLY of_day ON entry (day)",
        "DROP INDEX CONCURRENTLY IF EXISTS of_day",
        "ALTER TABLE entry ADD COLUMN a text NOT NULL DEFAULT ''",
        "ALTER TABLE entry ADD COLUMN a timestamptz, ALTER COLUMN a SET DEFAULT clock_timestamp()",
        "ALTER TABLE entry ADD CONSTRAINT c CHECK (a IN (1, 2)) NOT VALID",
        "ALTER TABLE entry VALIDATE CONSTRAINT added_earlier",
        "ALTER TABLE entry ADD CONSTRAINT entry_pkey PRIMARY KEY USING INDEX of_id",
        "ALTER TABLE entry ALTER COLUMN a DROP NOT NULL, DROP CONSTRAINT c",
        "CREATE TABLE new (a int NOT NULL CHECK (a > 0)); CREATE INDEX i ON new (a); ALTER TABLE new ADD CHECK (a < 9)",
        "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN DELETE FROM entry; END $$",
        "-- DROP TABLE entry;\nSELECT 1",
    ],
)
def test_what_keeps_nobody_waiting_passes(sql: str) -> None:
    assert wrong(sql) == []


def test_what_is_validated_in_a_transaction_of_its_own_passes() -> None:
    added = 'op.execute("ALTER TABLE a ADD CONSTRAINT c CHECK (x > 0) NOT VALID")'
    validated = 'op.execute("ALTER TABLE a VALIDATE CONSTRAINT c")'
    apart = f"{added}\nwith op.get_context().autocommit_block():\n    {validated}\n"
    assert findings(apart) == set()
    assert [each.what for each in findings(f"{added}\n{validated}\n")] == [SAME_STEP]


def test_names_that_are_filled_in_and_strings_in_pieces_are_read() -> None:
    source = 'def upgrade() -> None:\n    op.execute(f"CREATE INDEX {name} ON entry (a)")\n'
    assert [each.what for each in findings(source)] == [INDEX]
    assert findings(source.replace("INDEX", "INDEX CONCURRENTLY")) == set()
    assert [each.what for each in findings('op.execute("CREATE INDEX i "\n    "ON entry (a)")')] == [INDEX]
