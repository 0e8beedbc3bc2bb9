"""The hashes that blocks may be sealed with."""

from collections.abc import Mapping
from typing import Final

from cryptography.hazmat.primitives import hashes

from settlement.domain.seals import SealAlgorithm

_HASHES: Final[Mapping[SealAlgorithm, type[hashes.HashAlgorithm]]] = {
    SealAlgorithm.SHA_256: hashes.SHA256,
    SealAlgorithm.SM3: hashes.SM3,
}


def digest(algorithm: SealAlgorithm, data: bytes) -> bytes:
    """The hash of the data.

    Raises:
        cryptography.exceptions.UnsupportedAlgorithm: this build of OpenSSL does not have it.
    """
    made = hashes.Hash(_HASHES[algorithm]())
    made.update(data)
    return made.finalize()
