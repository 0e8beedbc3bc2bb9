"""docs/operations/data-inventory.md names every column of every table and every field of every event, in one place."""

import asyncio
import importlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import asyncpg
import pytest
from google.protobuf import descriptor_pool

from kit.topics import catalogue

ROOT: Final = Path(__file__).parent.parent
PAGE: Final = ROOT / "docs" / "operations" / "data-inventory.md"
SERVICES: Final = ("identity", "binding", "settlement", "notify")
PLACES: Final = ("sealed", "keyed hash", "who", "facts in clear", "nothing of a person")
_COLUMNS: Final = """
SELECT relname, attname, format_type(atttypid, atttypmod) AS type
FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped
WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
"""
Placed = dict[str, dict[str, str]]
"""By table or topic: the place of each of its columns or fields."""


def placed(heading: str) -> Placed:
    """What the table under a heading says; fails where a name is in two places."""
    text = PAGE.read_text(encoding="utf-8").split(f"{heading}\n", 1)[1].split("\n#", 1)[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    header, found = rows[0], Placed()
    for row in rows[2:]:
        (name,) = names_in(row[0])
        assert name not in found, f"{name} has two rows"
        found[name] = {}
        for place, cell in zip(header, row, strict=True):
            if place in PLACES:
                for column in names_in(cell):
                    assert found[name].setdefault(column, place) == place, f"{name}.{column} is in two places"
    return found


def names_in(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


@pytest.mark.parametrize(
    "heading", ["### Of the kit, in every service that has them", *(f"### {each}" for each in SERVICES)]
)
def test_no_table_has_two_rows_and_no_column_two_places(heading: str) -> None:
    assert placed(heading)


async def _schema(url: str) -> dict[str, dict[str, str]]:
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch(_COLUMNS)
    finally:
        await connection.close()
    tables: dict[str, dict[str, str]] = {}
    for row in rows:
        tables.setdefault(row["relname"], {})[row["attname"]] = row["type"]
    return tables


@pytest.mark.parametrize("service", SERVICES)
def test_every_column_of_every_table_is_in_one_place(service: str, service_database: Callable[[str], str]) -> None:
    schema = asyncio.run(_schema(service_database(service)))
    common = placed("### Of the kit, in every service that has them")
    stated = placed(f"### {service}") | {name: columns for name, columns in common.items() if name in schema}
    assert {name: sorted(columns) for name, columns in stated.items()} == {
        name: sorted(columns) for name, columns in schema.items()
    }
    for table, columns in schema.items():
        for column, kind in columns.items():
            assert_guarded(f"{table}.{column}", kind, stated[table][column])


def assert_guarded(column: str, kind: str, place: str) -> None:
    """What a name or a type promises of a column holds."""
    if column.endswith("_ct"):
        assert (place, kind) == ("sealed", "bytea"), column
    if column.endswith("_index"):
        assert (place, kind) == ("keyed hash", "bytea"), column
    if column.endswith("psn_no"):
        assert place == "who", column
    if place in {"sealed", "keyed hash"}:
        assert kind == "bytea", f"{column} is not sealed: it is {kind}"


def test_no_table_is_told_of_that_no_service_has(service_database: Callable[[str], str]) -> None:
    schemas = {service: asyncio.run(_schema(service_database(service))) for service in SERVICES}
    for name in placed("### Of the kit, in every service that has them"):
        assert any(name in tables for tables in schemas.values()), name


@pytest.mark.parametrize("topic", sorted(catalogue().topics))
def test_every_field_of_every_event_is_in_one_place(topic: str) -> None:
    fields = {field for name in catalogue().topics[topic].schema for field in leaves(descriptor_of(name))}
    stated = placed("## Topics")[topic]
    assert set(stated) == fields
    assert {field for field in fields if field.endswith("psn_no")} <= {
        field for field, place in stated.items() if place == "who"
    }
    assert {field for field, place in stated.items() if place == "sealed"} <= {"sealed"}


def test_every_topic_is_told_of() -> None:
    assert set(placed("## Topics")) == set(catalogue().topics)


def descriptor_of(name: str) -> Any:
    """The descriptor of an event, whichever module defines it."""
    package = name.rpartition(".")[0].replace(".", "/")
    for module in (ROOT / "protos" / "gen" / package).glob("*_pb2.py"):
        importlib.import_module(f"{package.replace('/', '.')}.{module.stem}")
    return descriptor_pool.Default().FindMessageTypeByName(name)


def leaves(descriptor: Any) -> Iterator[str]:
    """The names of the fields that hold something, those of messages within included."""
    for field in descriptor.fields:
        if field.message_type and field.message_type.full_name.startswith("gongji."):
            yield from leaves(field.message_type)
        else:
            yield field.name
