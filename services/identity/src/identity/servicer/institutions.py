"""InstitutionService."""

from typing import Any

from gongji.identity.v1 import institution_pb2, institution_pb2_grpc
from identity import codec
from identity.service import InstitutionService


class InstitutionServicer(institution_pb2_grpc.InstitutionServiceServicer):
    """Serves `gongji.identity.v1.InstitutionService`."""

    def __init__(self, institutions: InstitutionService) -> None:
        self._institutions = institutions

    async def RegisterInstitution(  # noqa: N802 - the contract's name
        self, request: institution_pb2.RegisterInstitutionRequest, context: Any
    ) -> institution_pb2.RegisterInstitutionResponse:
        """See the contract."""
        del context
        changed = await self._institutions.register(codec.institution(request.institution))
        return institution_pb2.RegisterInstitutionResponse(changed=changed)

    async def GetInstitution(  # noqa: N802 - the contract's name
        self, request: institution_pb2.GetInstitutionRequest, context: Any
    ) -> institution_pb2.GetInstitutionResponse:
        """See the contract."""
        del context
        known = await self._institutions.get(request.fixmedins_code)
        return institution_pb2.GetInstitutionResponse(institution=codec.institution_message(known))
