"""PersonService: one-time codes."""

from typing import Any

from gongji.identity.v1 import person_pb2
from identity import codec
from identity.servicer.calling import registrant
from identity.servicer.services import PersonMethods


class VerificationMethods(PersonMethods):
    """See the contract."""

    async def StartVerification(  # noqa: N802 - the contract's name
        self, request: person_pb2.StartVerificationRequest, context: Any
    ) -> person_pb2.StartVerificationResponse:
        """See the contract."""
        del context
        certificate = codec.certificate(request.certificate)
        started = await self._services.verifications.start(request.psn_name, certificate, registrant())
        return person_pb2.StartVerificationResponse(
            verification_id=str(started.verification.verification_id),
            masked_tel=started.masked_tel,
            expires_at=codec.timestamp(started.verification.expires_at),
        )
