"""PersonService: registration."""

from typing import Any

from gongji.identity.v1 import person_pb2
from identity import codec
from identity.servicer.calling import registrant
from identity.servicer.services import PersonMethods


class RegistrationMethods(PersonMethods):
    """See the contract."""

    async def RegisterPerson(  # noqa: N802 - the contract's name
        self, request: person_pb2.RegisterPersonRequest, context: Any
    ) -> person_pb2.RegisterPersonResponse:
        """See the contract."""
        del context
        certificate, shown = codec.certificate(request.certificate), codec.shown_code(request)
        person = await self._services.registrations.register(request.psn_name, certificate, shown, registrant())
        verified_at = codec.timestamp(person.registration.verified_at) if person.registration else None
        return person_pb2.RegisterPersonResponse(psn_no=person.psn_no, verified_at=verified_at)
