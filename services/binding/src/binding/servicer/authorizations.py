"""AuthorizationService."""

from uuid import UUID

from binding import codec, codec_holds
from binding.service.authorizations import Authorizations
from binding.service.holds import Holds
from binding.servicer.calling import Context
from gongji.binding.v1 import authorization_pb2, authorization_pb2_grpc
from kit.failpoints import Boundary, Failpoints


class AuthorizationServicer(authorization_pb2_grpc.AuthorizationServiceServicer):
    """What settlement asks while a bill is being settled.

    Args:
        authorizations: who holds.
        holds: who tells what is held.
        failpoints: where tests let this process die.
    """

    def __init__(self, authorizations: Authorizations, holds: Holds, failpoints: Failpoints) -> None:
        self._authorizations = authorizations
        self._holds = holds
        self._failpoints = failpoints

    async def Authorize(  # noqa: N802 - the contract's name
        self, request: authorization_pb2.AuthorizeRequest, _context: Context
    ) -> authorization_pb2.AuthorizeResponse:
        """Hold for each request what its payers may give."""
        answers = await self._authorizations.authorize([codec.request_of(one) for one in request.requests])
        await self._failpoints.reach(Boundary.AFTER_HOLD)
        return authorization_pb2.AuthorizeResponse(results=map(codec.answer_message, answers))

    async def PreviewAuthorization(  # noqa: N802
        self, request: authorization_pb2.PreviewAuthorizationRequest, _context: Context
    ) -> authorization_pb2.PreviewAuthorizationResponse:
        """The same answers, holding nothing."""
        answers = await self._authorizations.preview([codec.request_of(one) for one in request.requests])
        return authorization_pb2.PreviewAuthorizationResponse(results=map(codec.answer_message, answers))

    async def ListHeld(  # noqa: N802
        self, request: authorization_pb2.ListHeldRequest, _context: Context
    ) -> authorization_pb2.ListHeldResponse:
        """What is held, in pages."""
        after, size = codec.place_of(request.page_token), request.page_size
        found = await self._holds.held(request.min_age_seconds, after, size + 1)
        return authorization_pb2.ListHeldResponse(
            authorizations=map(codec_holds.record_message, found[:size]),
            next_page_token=codec_holds.next_token(found[size - 1]) if len(found) > size else "",
        )

    async def ListCaptured(  # noqa: N802
        self, request: authorization_pb2.ListCapturedRequest, _context: Context
    ) -> authorization_pb2.ListCapturedResponse:
        """What is captured, in pages."""
        size = request.page_size
        found = await self._holds.captured(UUID(request.from_authorization_id), size + 1)
        return authorization_pb2.ListCapturedResponse(
            authorizations=map(codec_holds.record_message, found[:size]),
            next_authorization_id=str(found[size].authorization.authorization_id) if len(found) > size else "",
        )

    async def GetAuthorizations(  # noqa: N802
        self, request: authorization_pb2.GetAuthorizationsRequest, _context: Context
    ) -> authorization_pb2.GetAuthorizationsResponse:
        """Authorizations by id."""
        found = await self._holds.by_ids([UUID(one) for one in request.authorization_ids])
        return authorization_pb2.GetAuthorizationsResponse(authorizations=map(codec_holds.record_message, found))
