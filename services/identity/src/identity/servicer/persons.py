"""PersonService: one person, seen and corrected."""

from typing import Any

from gongji.identity.v1 import person_pb2
from identity import codec
from identity.disclosure import disclosed_to
from identity.servicer.calling import viewer
from identity.servicer.services import PersonMethods
from kit import auth


class SinglePersonMethods(PersonMethods):
    """See the contract."""

    async def GetPerson(  # noqa: N802 - the contract's name
        self, request: person_pb2.GetPersonRequest, context: Any
    ) -> person_pb2.GetPersonResponse:
        """See the contract."""
        del context
        person, today = await self._services.persons.view(request.psn_no, viewer())
        return codec.person_message(person, today, disclosed_to(auth.current().principal))

    async def RecordDeath(  # noqa: N802 - the contract's name
        self, request: person_pb2.RecordDeathRequest, context: Any
    ) -> person_pb2.RecordDeathResponse:
        """See the contract."""
        del context
        changed = await self._services.persons.record_death(
            request.psn_no, codec.stated_day(request.died_on, "died_on")
        )
        return person_pb2.RecordDeathResponse(changed=changed)

    async def FindPersonByCertificate(  # noqa: N802 - the contract's name
        self, request: person_pb2.FindPersonByCertificateRequest, context: Any
    ) -> person_pb2.FindPersonByCertificateResponse:
        """See the contract."""
        del context
        certificate = codec.certificate(request.certificate)
        person = await self._services.persons.find(certificate, viewer(), request.reason)
        return codec.found_message(person, disclosed_to(auth.current().principal))

    async def CorrectPerson(  # noqa: N802 - the contract's name
        self, request: person_pb2.CorrectPersonRequest, context: Any
    ) -> person_pb2.CorrectPersonResponse:
        """See the contract."""
        del context
        correction = codec.correction(request)
        changed = await self._services.persons.correct(request.psn_no, correction, viewer(), request.reason)
        return person_pb2.CorrectPersonResponse(changed=changed)

    async def AddCertificate(  # noqa: N802 - the contract's name
        self, request: person_pb2.AddCertificateRequest, context: Any
    ) -> person_pb2.AddCertificateResponse:
        """See the contract."""
        del context
        certificate = codec.certificate(request.certificate)
        changed = await self._services.persons.add_certificate(request.psn_no, certificate, viewer())
        return person_pb2.AddCertificateResponse(changed=changed)
