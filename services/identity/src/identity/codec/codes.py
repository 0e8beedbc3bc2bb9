"""Code tables of contract and domain, the other way round."""

from collections.abc import Mapping
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


def inverted(table: Mapping[K, V]) -> dict[V, K]:
    """From the domain's value to the contract's number."""
    return {value: key for key, value in table.items()}
