"""What the repository of every noun needs of a transaction."""

from kit.crypto import KeyRing
from kit.db import Transaction


class Rows:
    """One transaction, and the keys that personal data is sealed with."""

    def __init__(self, transaction: Transaction, keyring: KeyRing) -> None:
        self._raw = transaction.raw
        self._keyring = keyring
