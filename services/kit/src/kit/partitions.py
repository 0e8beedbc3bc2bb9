"""Which partition a key belongs to: what Java's clients and aiokafka say, at half of the price for each event."""

import struct
from collections.abc import Sequence
from typing import Final

_SEED: Final = 0x9747B28C
_FACTOR: Final = 0x5BD1E995
_32_BITS: Final = 0xFFFFFFFF
_POSITIVE: Final = 0x7FFFFFFF


def partition_of(key: bytes, partitions: Sequence[int]) -> int:
    """The partition, of all that the topic has in their order."""
    return partitions[(_murmur2(key) & _POSITIVE) % len(partitions)]


def _murmur2(data: bytes) -> int:
    words, rest = divmod(len(data), 4)
    mixed = _SEED ^ len(data)
    for word in struct.unpack_from(f"<{words}I", data):
        scaled = word * _FACTOR & _32_BITS
        mixed = (mixed * _FACTOR ^ (scaled ^ scaled >> 24) * _FACTOR) & _32_BITS
    if rest:
        mixed = (mixed ^ int.from_bytes(data[-rest:], "little")) * _FACTOR & _32_BITS
    mixed = (mixed ^ mixed >> 13) * _FACTOR & _32_BITS
    return mixed ^ mixed >> 15
