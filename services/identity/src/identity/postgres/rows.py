"""What the repositories of the nouns share."""

from collections.abc import Sequence

from identity.vault import Vault
from kit.db import Transaction


class Rows:
    """Rows of one noun in a transaction, with what identifies persons sealed by the vault."""

    def __init__(self, transaction: Transaction, vault: Vault) -> None:
        self._raw = transaction.raw
        self._vault = vault


def columns(rows: Sequence[Sequence[object]], width: int) -> list[list[object]]:
    """Rows as the arrays that `unnest` takes; `width` empty ones for no rows."""
    return [[row[column] for row in rows] for column in range(width)]
