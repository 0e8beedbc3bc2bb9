"""From VerificationCodeIssued to the code in it; only identity and notify have the keys."""

from datetime import UTC
from typing import Final
from uuid import UUID

from google.protobuf.message import DecodeError

from gongji.identity.events.v1 import events_pb2, sealed_pb2
from kit.crypto import CryptoError, KeyRing
from notify.codec import IncompleteEventError
from notify.domain.codes import IssuedCode, Purpose

_PURPOSES: Final = {events_pb2.VERIFICATION_PURPOSE_REGISTRATION: Purpose.REGISTRATION}


class CodeOpener:
    """Opens what identity sealed."""

    def __init__(self, ring: KeyRing) -> None:
        self._ring = ring

    def __call__(self, event: events_pb2.VerificationCodeIssued) -> IssuedCode:
        """The code with its telephone.

        Raises:
            IncompleteEventError: it cannot be opened, or is not what the contract says; tells nothing of the content.
        """
        try:
            sealed = self._ring.decrypt(event.sealed, _context(event))
            content = sealed_pb2.SealedVerificationCode.FromString(sealed)
            verification_id = UUID(event.verification_id)
        except (CryptoError, DecodeError, ValueError) as error:
            raise IncompleteEventError(f"sealed cannot be read ({type(error).__name__})") from None
        return IssuedCode(
            verification_id,
            event.psn_no,
            _PURPOSES.get(event.purpose, Purpose.OTHER),
            event.expires_at.ToDatetime(tzinfo=UTC),
            content.tel,
            content.code,
        )


def _context(event: events_pb2.VerificationCodeIssued) -> bytes:
    facts = (event.verification_id, event.psn_no, str(int(event.purpose)), str(event.expires_at.seconds))
    return " ".join((event.DESCRIPTOR.full_name, *facts)).encode()
