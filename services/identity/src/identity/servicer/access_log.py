"""AccessLogService."""

from typing import Any

from gongji.identity.v1 import access_log_pb2, access_log_pb2_grpc
from identity import codec
from identity.service import AccessLogService
from identity.servicer.calling import viewer


class AccessLogServicer(access_log_pb2_grpc.AccessLogServiceServicer):
    """Serves `gongji.identity.v1.AccessLogService`."""

    def __init__(self, access_log: AccessLogService) -> None:
        self._access_log = access_log

    async def ListAccess(  # noqa: N802 - the contract's name
        self, request: access_log_pb2.ListAccessRequest, context: Any
    ) -> access_log_pb2.ListAccessResponse:
        """See the contract."""
        del context
        size, before = codec.page_size(request.page_size), codec.place_in(request.page_token, codec.position)
        found = await self._access_log.list(codec.access_filter(request), viewer(), before, size + 1)
        lines, token = codec.page(found, size, lambda one: one.line_id)
        return access_log_pb2.ListAccessResponse(
            lines=[codec.access_message(one) for one in lines], next_page_token=token
        )
