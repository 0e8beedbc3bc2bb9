"""Identifiers sort by the time they were made."""

from kit.ids import uuid7


def test_ids_are_version_7_unique_and_in_order() -> None:
    made = [uuid7() for _ in range(1000)]
    assert {identifier.version for identifier in made} == {7}
    assert len(set(made)) == 1000
    assert sorted(made) == made
