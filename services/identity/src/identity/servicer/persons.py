"""PersonService: one person, seen and corrected."""

from typing import Any

from gongji.identity.v1 import person_pb2
from identity import codec
from identity.servicer.calling import viewer
from identity.servicer.services import PersonMethods


class SinglePersonMethods(PersonMethods):
    """See the contract."""

    async def GetPerson(  # noqa: N802 - the contract's name
        self, request: person_pb2.GetPersonRequest, context: Any
    ) -> person_pb2.GetPersonResponse:
        """See the contract."""
        del context
        person, today = await self._services.persons.view(request.psn_no, viewer())
        return codec.person_message(person, today)

    async def RecordDeath(  # noqa: N802 - the contract's name
        self, request: person_pb2.RecordDeathRequest, context: Any
    ) -> person_pb2.RecordDeathResponse:
        """See the contract."""
        del context
        changed = await self._services.persons.record_death(request.psn_no, codec.day(request.died_on, "died_on"))
        return person_pb2.RecordDeathResponse(changed=changed)
