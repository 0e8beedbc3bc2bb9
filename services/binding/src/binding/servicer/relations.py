"""RelationService."""

from uuid import UUID

from binding import codec
from binding import codec_history as history
from binding.repository import Place
from binding.service.relations import Relations, Seen
from binding.servicer.calling import Context, caller
from gongji.binding.v1 import relation_pb2, relation_pb2_grpc


class RelationServicer(relation_pb2_grpc.RelationServiceServicer):
    """Relations between payers and beneficiaries."""

    def __init__(self, relations: Relations) -> None:
        self._relations = relations

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
        seen = await self._relations.resume(caller(), UUID(request.relation_id))
        return relation_pb2.ResumeRelationResponse(relation=_one(seen))


def _one(seen: Seen) -> relation_pb2.Relation:
    return codec.relation_message(seen.relations[0], seen.day, seen.uses)
