"""Telephone and code, sealed for notify alone: what the event says of it is in the contract."""

from gongji.identity.events.v1 import sealed_pb2
from identity.domain.verification import Verification
from identity.events import PURPOSES
from kit.crypto import KeyRing


class CodeSealer:
    """Seals under the key ring that identity and notify share."""

    def __init__(self, ring: KeyRing) -> None:
        self._ring = ring

    def __call__(self, verification: Verification, tel: str, code: str) -> bytes:
        """See `identity.service.verifications.Sealer`."""
        message = sealed_pb2.SealedVerificationCode(tel=tel, code=code)
        return self._ring.encrypt(message.SerializeToString(), _context(verification))


def _context(verification: Verification) -> bytes:
    # Bound to its own event: copied into another, or with a later end, it does not open.
    purpose, expires_at = int(PURPOSES[verification.purpose]), int(verification.expires_at.timestamp())
    return (
        f"gongji.identity.events.v1.VerificationCodeIssued {verification.verification_id} {verification.psn_no} "
        f"{purpose} {expires_at}"
    ).encode()
