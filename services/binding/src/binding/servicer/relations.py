"""RelationService."""

from uuid import UUID

from binding import codec
from binding import codec_history as history
from binding import codec_relations as relations_codec
from binding.repository import Place
from binding.service.overviews import Overseeing
from binding.service.payers import Payers
from binding.service.relations import Relations, Seen
from binding.servicer.calling import Context, caller
from gongji.binding.v1 import relation_pb2, relation_pb2_grpc
from kit.days import stated_day


class RelationServicer(relation_pb2_grpc.RelationServiceServicer):
    """Relations between payers and beneficiaries."""

    def __init__(self, relations: Relations, payers: Payers, overseeing: Overseeing) -> None:
        self._relations = relations
        self._payers = payers
        self._overseeing = overseeing

    async def GetRelation(  # noqa: N802 - the contract's name
        self, request: relation_pb2.GetRelationRequest, _context: Context
    ) -> relation_pb2.GetRelationResponse:
        """One relation with its use today."""
        seen = await self._relations.get(caller(), UUID(request.relation_id))
        return relation_pb2.GetRelationResponse(relation=_one(seen))

    async def ListRelations(  # noqa: N802
        self, request: relation_pb2.ListRelationsRequest, _context: Context
    ) -> relation_pb2.ListRelationsResponse:
        """A person's relations, newest first."""
        size = codec.page_size_of(request.page_size)
        after = codec.place_of(request.page_token)
        seen = await self._relations.list(caller(), request.psn_no, after, size + 1)
        page = seen.relations[:size]
        answer = relation_pb2.ListRelationsResponse(
            relations=[codec.relation_message(relation, seen.day, seen.uses) for relation in page]
        )
        if len(seen.relations) > size:
            answer.next_page_token = codec.page_token(Place(page[-1].approved_at, page[-1].relation_id))
        return answer

    async def ListHistory(  # noqa: N802
        self, request: relation_pb2.RelationServiceListHistoryRequest, _context: Context
    ) -> relation_pb2.RelationServiceListHistoryResponse:
        """What was done with it, oldest first."""
        size, after = codec.page_size_of(request.page_size), history.position_of(request.page_token)
        found = await self._relations.history(caller(), UUID(request.relation_id), after, size + 1)
        page = history.page_of(found, size)
        return relation_pb2.RelationServiceListHistoryResponse(
            entries=page.entries, next_page_token=page.next_page_token
        )

    async def ChangeLimits(  # noqa: N802
        self, request: relation_pb2.ChangeLimitsRequest, _context: Context
    ) -> relation_pb2.ChangeLimitsResponse:
        """Replace the limits."""
        limits = codec.limits_of(request.limits)
        seen = await self._relations.change_limits(caller(), UUID(request.relation_id), limits)
        return relation_pb2.ChangeLimitsResponse(relation=_one(seen))

    async def ExtendValidity(  # noqa: N802
        self, request: relation_pb2.ExtendValidityRequest, _context: Context
    ) -> relation_pb2.ExtendValidityResponse:
        """Set a later last day."""
        valid_to = stated_day(request.valid_to, "valid_to")
        seen = await self._relations.extend(caller(), UUID(request.relation_id), valid_to)
        return relation_pb2.ExtendValidityResponse(relation=_one(seen))

    async def ListPayers(  # noqa: N802
        self, request: relation_pb2.ListPayersRequest, _context: Context
    ) -> relation_pb2.ListPayersResponse:
        """The payers of a beneficiary in their order."""
        found = await self._payers.list(caller(), request.beneficiary_psn_no)
        return relation_pb2.ListPayersResponse(payers=relations_codec.places(found))

    async def OrderPayers(  # noqa: N802
        self, request: relation_pb2.OrderPayersRequest, _context: Context
    ) -> relation_pb2.OrderPayersResponse:
        """Set their order."""
        placed = await self._payers.order(caller(), request.beneficiary_psn_no, request.payer_psn_nos)
        return relation_pb2.OrderPayersResponse(payers=relations_codec.places(placed))

    async def GetOverview(  # noqa: N802
        self, request: relation_pb2.GetOverviewRequest, _context: Context
    ) -> relation_pb2.GetOverviewResponse:
        """What there is and what is left today."""
        side = relations_codec.side_of(request.side)
        return relations_codec.overview_message(await self._overseeing.overview(caller(), request.psn_no, side))

    async def UnbindRelation(  # noqa: N802
        self, request: relation_pb2.UnbindRelationRequest, _context: Context
    ) -> relation_pb2.UnbindRelationResponse:
        """Unbind at once."""
        seen = await self._relations.unbind(
            caller(), UUID(request.relation_id), codec.text_of(request.reason, "reason")
        )
        return relation_pb2.UnbindRelationResponse(relation=_one(seen))

    async def SuspendRelation(  # noqa: N802
        self, request: relation_pb2.SuspendRelationRequest, _context: Context
    ) -> relation_pb2.SuspendRelationResponse:
        """Suspend until resumed."""
        seen = await self._relations.suspend(
            caller(), UUID(request.relation_id), codec.text_of(request.reason, "reason")
        )
        return relation_pb2.SuspendRelationResponse(relation=_one(seen))

    async def ResumeRelation(  # noqa: N802
        self, request: relation_pb2.ResumeRelationRequest, _context: Context
    ) -> relation_pb2.ResumeRelationResponse:
        """Let it pay again."""
        reason = codec.text_of(request.reason, "reason")
        seen = await self._relations.resume(caller(), UUID(request.relation_id), reason)
        return relation_pb2.ResumeRelationResponse(relation=_one(seen))


def _one(seen: Seen) -> relation_pb2.Relation:
    return codec.relation_message(seen.relations[0], seen.day, seen.uses)
