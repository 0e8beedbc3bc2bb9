"""`config --check` on real servers: a schema of another version, a role that may not, topics that are not there."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from kit import migrate
from kit.checking import Finding
from kit.checking_database import database
from kit.checking_kafka import kafka
from kit.config import ConsumerSettings, DatabaseSettings
from kit.demands import Surroundings
from kit.testing_events import SampleTopic
from kit.topic_admin import ensure_topics

STEP = """
from collections.abc import Sequence
revision: str = "{number}"
down_revision: str | None = {before}
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None
def upgrade() -> None:
    pass
"""


def migrations(folder: Path, *numbers: str) -> Path:
    """A service's migrations with these steps, which do nothing."""
    versions = folder / "-".join(numbers) / "versions"
    versions.mkdir(parents=True)
    for before, number in zip((None, *numbers), numbers, strict=False):
        (versions / f"{number}_step.py").write_text(STEP.format(number=number, before=repr(before)))
    return versions.parent


def settings(url: str, environment: str = "local", connections: int = 8) -> DatabaseSettings:
    return DatabaseSettings.model_construct(database_url=url, environment=environment, database_pool_size=connections)


async def told(url: str, folder: Path, **changes: str | int) -> Mapping[str, Finding]:
    return {each.subject: each for each in await database(settings(url, **changes), folder)}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("applied", "this_version", "said"),
    [
        (("0001", "0002"), ("0001", "0002"), "✓ schema: up to date"),
        (("0001",), ("0001", "0002", "0003"), "✗ schema: 0002, 0003 are missing; run `migrate`"),
        ((), ("0001",), "✗ schema: 0001 are missing; run `migrate`"),
        (("0001", "0002"), ("0001",), "✓ schema: of a later version than this one, which may run beside it"),
        (("0001",), ("0002", "0003"), "✗ schema: the database has the revision 0001, which is none of this service's"),
    ],
)
async def test_the_schema_is_this_versions(
    empty_database_url: str, tmp_path: Path, applied: tuple[str, ...], this_version: tuple[str, ...], said: str
) -> None:
    if applied:
        await migrate.apply(empty_database_url, migrations(tmp_path / "applied", *applied))
    found = await told(empty_database_url, migrations(tmp_path / "ours", *this_version))
    assert str(found["schema"]) == said
    assert found["PostgreSQL"].note.startswith("version ")
    assert found["clock"].fault == ""


async def test_a_pool_that_the_server_cannot_fill_is_told(empty_database_url: str, tmp_path: Path) -> None:
    found = await told(empty_database_url, migrations(tmp_path, "0001"), connections=10_000)
    assert "GONGJI_DATABASE_POOL_SIZE is 10000" in found["PostgreSQL"].fault


async def test_a_server_that_may_lose_what_was_acknowledged_is_told_where_people_are_real(
    empty_database_url: str, tmp_path: Path
) -> None:
    folder = migrations(tmp_path, "0001")  # the tests' own server does not wait for the disk
    assert "fsync is off" in (await told(empty_database_url, folder, environment="production"))["durability"].fault
    assert "durability" not in await told(empty_database_url, folder)


async def test_a_role_and_a_database_that_are_not_there_are_told(empty_database_url: str, tmp_path: Path) -> None:
    folder = migrations(tmp_path, "0001")
    nobody = re.sub(r"://[^@]+@", "://nobody:wr0ng@", empty_database_url)
    (refused,) = (await told(nobody, folder)).values()
    assert "refuses the password of the role nobody" in refused.fault
    (missing,) = (await told(empty_database_url + "_gone", folder)).values()
    assert "has no database" in missing.fault


async def test_topics_are_told_to_be_there_or_not_and_a_group_that_nobody_joined_is_right(kafka_bootstrap: str) -> None:
    topic = SampleTopic(partitions=3)
    around = Surroundings("kit", Path("migrations"), {"never-joined": [topic.name]})
    asked = ConsumerSettings.model_construct(kafka_bootstrap=kafka_bootstrap, environment="test")

    async def said() -> set[str]:
        return {str(each) for each in await kafka(asked, around, topic.catalogue)}

    before = await said()
    assert {f"✓ Kafka: {kafka_bootstrap}, plain text", "✓ group never-joined: READ"} <= before
    assert f"✗ topic {topic.name}: is not there; python -m kit topics create" in before
    await ensure_topics(kafka_bootstrap, 1, topic.catalogue)
    assert [line for line in await said() if not line.startswith("✓")] == []
