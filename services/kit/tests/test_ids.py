"""Identifiers sort by the time they were made, and are as good as the standard library's."""

import copy
import pickle
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.ids import uuid7, uuid_of


def test_ids_are_version_7_unique_and_in_order() -> None:
    made = [uuid7() for _ in range(1000)]
    assert {identifier.version for identifier in made} == {7}
    assert len(set(made)) == 1000
    assert sorted(made) == made


@given(st.uuids())
def test_an_id_equals_the_standard_library_s_of_the_same_text(standard: uuid.UUID) -> None:
    read = uuid_of(str(standard))
    assert isinstance(read, uuid.UUID)
    assert (read, str(read), hash(read), read.bytes) == (standard, str(standard), hash(standard), standard.bytes)
    assert {standard: 1}[read] == 1
    assert (copy.deepcopy(read), pickle.loads(pickle.dumps(read))) == (standard, standard)  # noqa: S301 - our own


@pytest.mark.parametrize(
    "text", ["", "1", "0199a1b2-0000-7000-8000-00000000000g", "0199a1b2-0000-7000-8000-0000000000000"]
)
def test_what_spells_no_id_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="UUID"):
        uuid_of(text)
