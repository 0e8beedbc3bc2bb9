"""InstitutionService."""

from typing import Any
from uuid import UUID

from gongji.identity.v1 import institution_pb2, institution_pb2_grpc
from identity import codec
from identity.domain.institution_change import is_outdated
from identity.service import InstitutionChangeService, InstitutionService
from identity.servicer.calling import operator


class InstitutionServicer(institution_pb2_grpc.InstitutionServiceServicer):
    """Serves `gongji.identity.v1.InstitutionService`."""

    def __init__(self, institutions: InstitutionService, changes: InstitutionChangeService) -> None:
        self._institutions = institutions
        self._changes = changes

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

    async def ListInstitutions(  # noqa: N802 - the contract's name
        self, request: institution_pb2.ListInstitutionsRequest, context: Any
    ) -> institution_pb2.ListInstitutionsResponse:
        """See the contract."""
        del context
        size, after = codec.page_size(request.page_size), codec.place_in(request.page_token, str) or ""
        found = await self._institutions.list(
            request.admdvs_prefix, after, size + 1, suspended_only=request.suspended_only
        )
        institutions, token = codec.page(found, size, lambda one: one.fixmedins_code)
        return institution_pb2.ListInstitutionsResponse(
            institutions=[codec.institution_message(one) for one in institutions], next_page_token=token
        )

    async def ProposeInstitutionChange(  # noqa: N802 - the contract's name
        self, request: institution_pb2.ProposeInstitutionChangeRequest, context: Any
    ) -> institution_pb2.ProposeInstitutionChangeResponse:
        """See the contract."""
        del context
        proposed = codec.institution(request.institution)
        change = await self._changes.propose(proposed, operator(), request.reason)
        return institution_pb2.ProposeInstitutionChangeResponse(change=codec.change_message(change))

    async def ConfirmInstitutionChange(  # noqa: N802 - the contract's name
        self, request: institution_pb2.ConfirmInstitutionChangeRequest, context: Any
    ) -> institution_pb2.ConfirmInstitutionChangeResponse:
        """See the contract."""
        del context
        change = await self._changes.confirm(UUID(request.change_id), operator())
        return institution_pb2.ConfirmInstitutionChangeResponse(change=codec.change_message(change))

    async def RejectInstitutionChange(  # noqa: N802 - the contract's name
        self, request: institution_pb2.RejectInstitutionChangeRequest, context: Any
    ) -> institution_pb2.RejectInstitutionChangeResponse:
        """See the contract."""
        del context
        change = await self._changes.reject(UUID(request.change_id), operator(), request.reason)
        return institution_pb2.RejectInstitutionChangeResponse(change=codec.change_message(change))

    async def ListInstitutionChanges(  # noqa: N802 - the contract's name
        self, request: institution_pb2.ListInstitutionChangesRequest, context: Any
    ) -> institution_pb2.ListInstitutionChangesResponse:
        """See the contract."""
        del context
        size, before = codec.page_size(request.page_size), codec.place_in(request.page_token, UUID)
        state = codec.change_state(request.state)
        found = await self._changes.list(request.fixmedins_code or None, state, before, size + 1)
        listed, token = codec.page(found, size, lambda one: one.change.change_id)
        changes = [
            codec.change_message(one.change, outdated=is_outdated(one.change, one.current_version)) for one in listed
        ]
        return institution_pb2.ListInstitutionChangesResponse(changes=changes, next_page_token=token)
