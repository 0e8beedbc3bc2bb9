"""Envelope encryption of personal data, and keyed hashes to find it by.

Each record has a random data key of its own, which the ring's active key wraps; the texts of one record may share it,
each under a nonce of its own and with the key wrapped beside it. A ciphertext names its format, algorithm and ring key,
so keys can be replaced while old records stay readable, and `reencrypt` moves them over:

    version 1 | algorithm 1 | length of key id 1 | key id | nonce 12 | wrapped data key n+16 | nonce 12 | text+16

The caller's context (what the record is and whose) is authenticated with it: a ciphertext copied to another row or
column does not decrypt there.
"""

import base64
import binascii
import hashlib
import hmac
import io
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Any, Protocol, cast

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import SM4
from cryptography.hazmat.primitives.ciphers.modes import GCM

from kit.failures import OperatorError

FORMAT_VERSION = 1
NONCE_BYTES = 12
TAG_BYTES = 16
BLIND_INDEX_KEY_BYTES = 32
MAX_KEY_ID_BYTES = 64
MAX_PLAINTEXT_BYTES = 64 * 1024 * 1024


class CryptoError(Exception):
    """Encryption or decryption failed. Never holds keys, plaintext or context."""


class KeyRingError(CryptoError, OperatorError):
    """The key ring file cannot be used; the text names what is wrong."""


class UnknownKeyError(CryptoError):
    """The ciphertext names a ring key that this process does not have: add it to the ring."""


class DecryptionError(CryptoError):
    """The ciphertext was changed, cut short, or belongs to another context."""


class Aead(Protocol):
    """An authenticated cipher with its key; text and tag are one string of bytes."""

    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes:
        """Text and tag."""
        ...

    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes:
        """The plaintext; raises InvalidTag."""
        ...


class _Sm4Gcm:
    """What the library has ready-made for AES only."""

    def __init__(self, key: bytes) -> None:
        self._cipher = SM4(key)

    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes:
        """See `Aead`."""
        encryptor = Cipher(self._cipher, GCM(nonce)).encryptor()
        encryptor.authenticate_additional_data(associated_data or b"")
        return encryptor.update(data) + encryptor.finalize() + encryptor.tag

    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes:
        """See `Aead`."""
        text, tag = data[:-TAG_BYTES], data[-TAG_BYTES:]
        decryptor = Cipher(self._cipher, GCM(nonce, tag)).decryptor()
        decryptor.authenticate_additional_data(associated_data or b"")
        return decryptor.update(text) + decryptor.finalize()


class Algorithm(IntEnum):
    """The authenticated ciphers; the number is what a ciphertext carries."""

    AES_256_GCM = 1
    SM4_GCM = 2

    @property
    def label(self) -> str:
        """The name in the key ring file."""
        return self.name.replace("_", "-")

    @property
    def key_bytes(self) -> int:
        """How long its keys are."""
        return 32 if self is Algorithm.AES_256_GCM else 16

    @property
    def cipher(self) -> Callable[[bytes], Aead]:
        """Makes the cipher of a key. `AESGCM` takes a tenth of the time of the general `Cipher`."""
        return AESGCM if self is Algorithm.AES_256_GCM else _Sm4Gcm


_BY_LABEL = {algorithm.label: algorithm for algorithm in Algorithm}


@dataclass(frozen=True, slots=True)
class RingKey:
    """One key of the ring."""

    id: str
    algorithm: Algorithm
    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Parts:
    """A ciphertext taken apart."""

    algorithm: Algorithm
    key_id: str
    wrapping_nonce: bytes
    wrapped_key: bytes
    sealed: bytes
    """Nonce, text and tag."""


class _KeyedHash:
    """HMAC-SHA-256 (RFC 2104) from the two states that the key leads to: half the time of `hmac` for a name."""

    __slots__ = ("_inner", "_outer")

    def __init__(self, key: bytes) -> None:
        block = key.ljust(hashlib.sha256().block_size, b"\0")
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block))
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in block))

    def digest(self, message: bytes) -> bytes:
        """The keyed hash of a message."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(message)
        outer.update(inner.digest())
        return outer.digest()


class KeyRing:
    """The keys of one service: `active` encrypts, every key decrypts, one more makes blind indexes."""

    def __init__(self, active: str, keys: Mapping[str, RingKey], blind_index_key: bytes) -> None:
        if active not in keys:
            raise KeyRingError(f"the active key {active!r} is not in the ring")
        for key in keys.values():
            _check(key)
        if len(blind_index_key) != BLIND_INDEX_KEY_BYTES:
            raise KeyRingError(f"blind_index_key must have {BLIND_INDEX_KEY_BYTES} bytes")
        self._active = keys[active]
        self._active_cipher = self._active.algorithm.cipher(self._active.key)
        self._new_cipher = self._active.algorithm.cipher
        self._header = _header(self._active)
        self._text_aad = _text_aad(self._active.algorithm, b"")
        self._wrapping_aad = _wrapping_aad(self._active.algorithm, active, b"")
        self._keys = dict(keys)
        self._ciphers = {key_id: key.algorithm.cipher(key.key) for key_id, key in keys.items()}
        self._blind_index_key = blind_index_key
        self._keyed_hashes: dict[str, _KeyedHash] = {}  # by purpose, of which the code has few

    def __repr__(self) -> str:
        return f"KeyRing(active={self._active.id!r}, keys={sorted(self._keys)})"

    @classmethod
    def load(cls, path: Path) -> "KeyRing":
        """Read a key ring file.

        Raises:
            KeyRingError: it cannot be read or used; the text says what is wrong with it.
        """
        try:
            stated = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise KeyRingError(f"the key ring {path} cannot be read: {type(error).__name__}") from error
        return cls.from_json(stated)

    @classmethod
    def from_json(cls, stated: object) -> "KeyRing":
        """The ring that a parsed file states.

        Raises:
            KeyRingError: it cannot be used.
        """
        try:
            ring = cast("dict[str, Any]", stated)
            keys = {key_id: _ring_key(key_id, key) for key_id, key in ring["keys"].items()}
            return cls(ring["active"], keys, _decoded(ring["blind_index_key"], "blind_index_key"))
        except (KeyError, TypeError, AttributeError) as error:
            raise KeyRingError(
                f"the key ring lacks or misspells something ({type(error).__name__}: {error})"
            ) from error

    @property
    def active_key_id(self) -> str:
        """The id of the key that encrypts."""
        return self._active.id

    @property
    def key_ids(self) -> frozenset[str]:
        """The ids of the keys that decrypt."""
        return frozenset(self._keys)

    def encrypt(self, plaintext: bytes, context: bytes) -> bytes:
        """A ciphertext that opens only with the same context."""
        return self.encrypt_records([[(plaintext, context)]])[0][0]

    def encrypt_records(self, records: Sequence[Sequence[tuple[bytes, bytes]]]) -> list[list[bytes]]:
        """The ciphertexts of records of some plaintexts each, every one of which opens only with the context beside it.

        The texts of a record share its data key: making the cipher of a new key takes longer than all else together.
        """
        if any(len(plaintext) > MAX_PLAINTEXT_BYTES for texts in records for plaintext, _ in texts):
            raise CryptoError(f"at most {MAX_PLAINTEXT_BYTES} bytes can be encrypted at once")
        # Drawn at once: a system call costs as much as encrypting a name.
        key_bytes = self._active.algorithm.key_bytes
        drawn = io.BytesIO(os.urandom(sum(key_bytes + 2 * NONCE_BYTES * len(texts) for texts in records)))
        return [self._encrypt_record(texts, drawn.read(key_bytes), drawn.read) for texts in records]

    def _encrypt_record(
        self, texts: Sequence[tuple[bytes, bytes]], data_key: bytes, draw: Callable[[int], bytes]
    ) -> list[bytes]:
        encrypt, wrap = self._new_cipher(data_key).encrypt, self._active_cipher.encrypt
        sealed = []
        for plaintext, context in texts:
            wrapping_nonce, nonce = draw(NONCE_BYTES), draw(NONCE_BYTES)
            wrapped = wrap(wrapping_nonce, data_key, self._wrapping_aad + context)
            text = encrypt(nonce, plaintext, self._text_aad + context)
            sealed.append(b"".join((self._header, wrapping_nonce, wrapped, nonce, text)))
        return sealed

    def decrypt(self, ciphertext: bytes, context: bytes) -> bytes:
        """The plaintext.

        Raises:
            UnknownKeyError: the ring does not have the key that it names.
            DecryptionError: it was tampered with, or the context is another.
        """
        parts = _parts(ciphertext)
        data_key = self._unwrap(parts, context)
        return _open(parts.algorithm.cipher(data_key), parts.sealed, _text_aad(parts.algorithm, context))

    def reencrypt(self, ciphertext: bytes, context: bytes) -> bytes:
        """The same under the active key; unchanged if it already is.

        The data key is wrapped anew; if the active key has another algorithm, the text is encrypted anew as well.
        Raises what `decrypt` raises: what cannot be opened is never rewritten.
        """
        plaintext = self.decrypt(ciphertext, context)
        parts = _parts(ciphertext)
        if parts.key_id == self._active.id:
            return ciphertext
        if parts.algorithm is not self._active.algorithm:
            return self.encrypt(plaintext, context)
        return self._wrap(self._unwrap(parts, context), os.urandom(NONCE_BYTES), context) + parts.sealed

    def blind_index(self, value: str, purpose: str) -> bytes:
        """32 bytes to find an encrypted value by: equal for equal values of one purpose, unrelated between purposes.

        The caller brings the value into its one form first (letter case, spaces).
        """
        keyed = self._keyed_hashes.get(purpose)
        if keyed is None:
            purpose_key = hmac.digest(self._blind_index_key, purpose.encode(), hashlib.sha256)
            keyed = self._keyed_hashes.setdefault(purpose, _KeyedHash(purpose_key))
        return keyed.digest(value.encode())

    def _wrap(self, data_key: bytes, nonce: bytes, context: bytes) -> bytes:
        wrapped = self._active_cipher.encrypt(nonce, data_key, self._wrapping_aad + context)
        return b"".join((self._header, nonce, wrapped))

    def _unwrap(self, parts: _Parts, context: bytes) -> bytes:
        key = self._keys.get(parts.key_id)
        if key is None:
            raise UnknownKeyError(f"the ring has no key {parts.key_id!r}")
        if key.algorithm is not parts.algorithm:
            raise DecryptionError(f"key {key.id!r} is not for {parts.algorithm.label}")
        aad = _wrapping_aad(parts.algorithm, parts.key_id, context)
        return _open(self._ciphers[key.id], parts.wrapping_nonce + parts.wrapped_key, aad)


def key_id_of(ciphertext: bytes) -> str:
    """The id of the ring key that a ciphertext needs.

    Raises:
        DecryptionError: it is no ciphertext of ours.
    """
    return _parts(ciphertext).key_id


def _wrapping_aad(algorithm: Algorithm, key_id: str, context: bytes) -> bytes:
    return b"gongji wrap\0" + bytes((FORMAT_VERSION, algorithm)) + key_id.encode() + b"\0" + context


def _text_aad(algorithm: Algorithm, context: bytes) -> bytes:
    # Without the ring key's id: wrapping anew must not touch the text.
    return b"gongji text\0" + bytes((FORMAT_VERSION, algorithm)) + context


def _header(key: RingKey) -> bytes:
    key_id = key.id.encode()
    return bytes((FORMAT_VERSION, key.algorithm, len(key_id))) + key_id


def _open(cipher: Aead, sealed: bytes, aad: bytes) -> bytes:
    try:
        return cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], aad)
    except InvalidTag:
        raise DecryptionError("the ciphertext was changed or belongs to another context") from None


def _parts(ciphertext: bytes) -> _Parts:
    try:
        version, number, id_length = ciphertext[:3]
        algorithm = Algorithm(number)
        key_id = ciphertext[3 : 3 + id_length].decode()
    except ValueError:  # too short, unknown algorithm, or no text
        raise DecryptionError("this is no ciphertext of ours") from None
    wrapping_end = 3 + id_length + NONCE_BYTES
    key_end = wrapping_end + algorithm.key_bytes + TAG_BYTES
    if version != FORMAT_VERSION or len(ciphertext) < key_end + NONCE_BYTES + TAG_BYTES:
        raise DecryptionError("the ciphertext has an unknown format or was cut short")
    wrapping_nonce = ciphertext[wrapping_end - NONCE_BYTES : wrapping_end]
    return _Parts(algorithm, key_id, wrapping_nonce, ciphertext[wrapping_end:key_end], ciphertext[key_end:])


def _ring_key(key_id: str, stated: Mapping[str, str]) -> RingKey:
    algorithm = _BY_LABEL.get(stated["algorithm"])
    if algorithm is None:
        raise KeyRingError(f"key {key_id!r}: the algorithm must be one of {', '.join(sorted(_BY_LABEL))}")
    return RingKey(key_id, algorithm, _decoded(stated["key"], f"key {key_id!r}"))


def _check(key: RingKey) -> None:
    if not 1 <= len(key.id.encode()) <= MAX_KEY_ID_BYTES:
        raise KeyRingError(f"a key's id has 1 to {MAX_KEY_ID_BYTES} bytes")
    if len(key.key) != key.algorithm.key_bytes:
        raise KeyRingError(f"key {key.id!r}: {key.algorithm.label} takes {key.algorithm.key_bytes} bytes")


def _decoded(value: str, name: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise KeyRingError(f"{name} is not base64") from None
