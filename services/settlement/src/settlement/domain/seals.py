"""The sealed chain of entries (账目封存): each block's hash covers its entries and the hash of the block before it.

Whoever changes, removes or inserts an entry in a sealed block, or a block, has to change every hash after it; and the
heads have been published, so others know them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

FORMAT: Final = 1
"""Which fields of an entry are sealed, and how they are written; see `seal_repository`."""
NOTHING_BEFORE: Final = bytes(32)
"""What the first block has for the hash before it."""

Digest = Callable[[bytes], bytes]
"""A hash of 32 bytes."""


class SealAlgorithm(StrEnum):
    """By what is hashed."""

    SHA_256 = "SHA-256"
    SM3 = "SM3"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a block ends: entries are in the order of the transactions that wrote them, then of their ids."""

    tx: str
    """The transaction's number, an xid8 as text."""
    entry_id: int


BEGINNING: Final = Place("0", 0)


@dataclass(frozen=True, slots=True)
class Content:
    """Entries that follow one another, as they are hashed."""

    entries: int
    text: str
    """A line for each entry."""
    last: Place


@dataclass(frozen=True, slots=True)
class Block:
    """A sealed block."""

    number: int
    """From 1, without a gap."""
    format: int
    algorithm: SealAlgorithm
    entries: int
    last: Place
    previous_hash: bytes
    hash: bytes
    sealed_at: datetime


def preimage(number: int, format_: int, previous_hash: bytes, content: Content) -> bytes:
    """What a block's hash is the hash of. Lines, so that anybody can compute it with the usual tools."""
    head = f"gongji entries\n{format_}\n{number}\n{previous_hash.hex()}\n{content.entries}\n"
    return (head + content.text).encode()


def seal(before: Block | None, content: Content, algorithm: SealAlgorithm, digest: Digest, at: datetime) -> Block:
    """The block that follows `before` with these entries."""
    number = before.number + 1 if before else 1
    previous_hash = before.hash if before else NOTHING_BEFORE
    sealed = digest(preimage(number, FORMAT, previous_hash, content))
    return Block(number, FORMAT, algorithm, content.entries, content.last, previous_hash, sealed, at)


def broken(before: Block | None, block: Block, content: Content, digest: Digest) -> str | None:
    """Why a block is not what was sealed, in words; None if it is. `content` is what is there of its entries now."""
    if block.number != (before.number + 1 if before else 1):
        return f"follows block {before.number if before else 0}"
    if block.previous_hash != (before.hash if before else NOTHING_BEFORE):
        return "does not continue the hash of the block before it"
    if content.entries != block.entries:
        return f"{block.entries} entries were sealed, there are {_many(content.entries, block.entries)}"
    if digest(preimage(block.number, block.format, block.previous_hash, content)) != block.hash:
        return "an entry is not as it was sealed"
    return None


def _many(found: int, sealed: int) -> str:
    return "more" if found > sealed else str(found)
