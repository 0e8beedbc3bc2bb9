"""The sealed chain as a rule: what was sealed is told from anything else."""

import hashlib
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement.domain.seals import NOTHING_BEFORE, Block, Content, Place, SealAlgorithm, broken, preimage, seal
from settlement.seal_hash import digest

NOON = datetime(2025, 3, 10, 4, tzinfo=UTC)
SHA = partial(digest, SealAlgorithm.SHA_256)


def content(*lines: str) -> Content:
    return Content(len(lines), "\n".join(lines), Place("7", len(lines)))


def sealed(*contents: Content) -> list[Block]:
    blocks: list[Block] = []
    for each in contents:
        blocks.append(seal(blocks[-1] if blocks else None, each, SealAlgorithm.SHA_256, SHA, NOON))
    return blocks


def test_a_hash_is_what_the_usual_tools_compute() -> None:
    (block,) = sealed(content("(1,a)", "(2,b)"))
    text = f"gongji entries\n1\n1\n{'00' * 32}\n2\n(1,a)\n(2,b)"
    assert block.hash == hashlib.sha256(text.encode()).digest()


def test_sm3_is_the_national_standard_hash() -> None:
    expected = "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"  # GB/T 32905-2016, example 1
    assert digest(SealAlgorithm.SM3, b"abc").hex() == expected
    assert digest(SealAlgorithm.SHA_256, b"abc") == hashlib.sha256(b"abc").digest()


def test_blocks_are_numbered_and_each_continues_the_one_before() -> None:
    first, second = sealed(content("(1)"), content("(2)"))
    assert (first.number, first.previous_hash) == (1, NOTHING_BEFORE)
    assert (second.number, second.previous_hash) == (2, first.hash)
    assert broken(None, first, content("(1)"), SHA) is None
    assert broken(first, second, content("(2)"), SHA) is None


def test_each_way_to_break_the_chain_is_told() -> None:
    first, second, third = sealed(content("(1)"), content("(2)"), content("(3)", "(4)"))
    assert broken(first, third, content("(3)", "(4)"), SHA) == "follows block 1"
    assert broken(None, second, content("(2)"), SHA) == "follows block 0"
    forged = replace(first, hash=bytes(32))
    assert broken(forged, second, content("(2)"), SHA) == "does not continue the hash of the block before it"
    assert broken(second, third, content("(3)"), SHA) == "2 entries were sealed, there are 1"
    assert broken(second, third, content("(3)", "(4)", "(5)"), SHA) == "2 entries were sealed, there are more"
    assert broken(second, third, content("(3)", "(5)"), SHA) == "an entry is not as it was sealed"
    assert broken(second, third, content("(4)", "(3)"), SHA) == "an entry is not as it was sealed"


LINES = st.lists(st.text('(),"abc0', min_size=1, max_size=6), min_size=1, max_size=5)


@given(LINES, LINES)
def test_only_the_same_entries_have_the_same_block(written: list[str], found: list[str]) -> None:
    (block,) = sealed(content(*written))
    assert (broken(None, block, content(*found), SHA) is None) == (written == found)


@given(st.lists(LINES, min_size=2, max_size=4), st.integers(0, 3))
def test_a_change_in_any_block_changes_every_later_hash(parts: list[list[str]], place: int) -> None:
    changed = place % len(parts)
    others = [[*part, "(more)"] if at == changed else part for at, part in enumerate(parts)]
    before, after = (sealed(*(content(*part) for part in each)) for each in (parts, others))
    differing = [at for at, (one, other) in enumerate(zip(before, after, strict=True)) if one.hash != other.hash]
    assert differing == list(range(changed, len(parts)))


@pytest.mark.parametrize("number", [1, 2, 11])
def test_number_and_count_cannot_be_taken_for_one_another(number: int) -> None:
    others = {preimage(other, 1, NOTHING_BEFORE, content("(1)")) for other in (1, 2, 11) if other != number}
    assert preimage(number, 1, NOTHING_BEFORE, content("(1)")) not in others
