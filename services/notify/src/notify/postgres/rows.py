"""What the repository of every noun needs of a transaction."""

from kit.crypto import CryptoError, KeyRing, UnknownKeyError
from kit.db import Transaction
from notify.repository.opening import Unopened


class Rows:
    """One transaction, and the keys that personal data is sealed with."""

    def __init__(self, transaction: Transaction, keyring: KeyRing) -> None:
        self._raw = transaction.raw
        self._keyring = keyring

    def _open(self, sealed: bytes, context: bytes) -> bytes | Unopened:
        """What was sealed, or why it does not open; for many rows at once, of which one may be broken."""
        try:
            return self._keyring.decrypt(sealed, context)
        except UnknownKeyError:
            return Unopened.NO_KEY
        except CryptoError:
            return Unopened.BROKEN
