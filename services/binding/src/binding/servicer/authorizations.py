"""AuthorizationService."""

from binding import codec
from binding.service.authorizations import Authorizations
from binding.servicer.calling import Context
from gongji.binding.v1 import authorization_pb2, authorization_pb2_grpc


class AuthorizationServicer(authorization_pb2_grpc.AuthorizationServiceServicer):
    """What settlement asks while a bill is being settled."""

    def __init__(self, authorizations: Authorizations) -> None:
        self._authorizations = authorizations

    async def Authorize(  # noqa: N802 - the contract's name
        self, request: authorization_pb2.AuthorizeRequest, _context: Context
    ) -> authorization_pb2.AuthorizeResponse:
        """Hold for each request what its payers may give."""
        answers = await self._authorizations.authorize([codec.request_of(one) for one in request.requests])
        return authorization_pb2.AuthorizeResponse(results=map(codec.answer_message, answers))

    async def PreviewAuthorization(  # noqa: N802
        self, request: authorization_pb2.PreviewAuthorizationRequest, _context: Context
    ) -> authorization_pb2.PreviewAuthorizationResponse:
        """The same answers, holding nothing."""
        answers = await self._authorizations.preview([codec.request_of(one) for one in request.requests])
        return authorization_pb2.PreviewAuthorizationResponse(results=map(codec.answer_message, answers))
