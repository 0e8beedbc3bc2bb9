"""InboxService: from requests to the service."""

from typing import Any, Final

from gongji.notify.v1 import inbox_pb2, inbox_pb2_grpc
from kit.auth import Assertion, require_assertion
from kit.errors import Refusal
from kit.observability import get_logger
from notify.codec import cursor_of, message_to_proto, page_token
from notify.service import MessageService

DEFAULT_PAGE_SIZE: Final = 50
AUDITOR: Final = "auditor"


class InboxServicer(inbox_pb2_grpc.InboxServiceServicer):
    """Reads messages for the person themself, or for an auditor."""

    def __init__(self, service: MessageService) -> None:
        self._service = service
        self._log = get_logger()

    async def ListMessages(  # noqa: N802 - the contract's name
        self, request: inbox_pb2.ListMessagesRequest, context: Any
    ) -> inbox_pb2.ListMessagesResponse:
        """A person's messages, newest first."""
        del context
        reader = require_assertion()
        _require_reader(reader, request.psn_no)
        before = cursor_of(request.page_token)
        page = await self._service.read(request.psn_no, request.page_size or DEFAULT_PAGE_SIZE, before)
        if reader.psn_no != request.psn_no:
            # Who looks into somebody else's messages leaves a trace.
            self._log.info("messages read by an auditor", subject=reader.subject, psn_no=request.psn_no)
        return inbox_pb2.ListMessagesResponse(
            messages=[message_to_proto(message) for message in page.messages],
            next_page_token=page_token(page.next),
        )


def _require_reader(reader: Assertion, psn_no: str) -> None:
    if reader.psn_no != psn_no and AUDITOR not in reader.roles:
        raise Refusal("FORBIDDEN", "messages are read by their addressee, or by an auditor")
