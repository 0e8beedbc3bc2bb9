"""InboxService: from requests to the service."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Final
from uuid import UUID

from gongji.notify.v1 import inbox_pb2, inbox_pb2_grpc
from kit.auth import Assertion, require_assertion
from kit.clock import Clock
from kit.errors import Refusal
from kit.observability import get_logger
from notify.codec import cursor_of, message_to_proto, page_token, resume_token, resumed_from
from notify.service import MessageService
from notify.watching import News, Watchers

DEFAULT_PAGE_SIZE: Final = 50
AUDITOR: Final = "auditor"


class InboxServicer(inbox_pb2_grpc.InboxServiceServicer):
    """Messages for the person themself; an auditor may list them."""

    def __init__(self, service: MessageService, watchers: Watchers, clock: Clock) -> None:
        self._service = service
        self._watchers = watchers
        self._clock = clock
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
            messages=[message_to_proto(stored) for stored in page.messages],
            next_page_token=page_token(page.next),
        )

    async def MarkRead(  # noqa: N802 - the contract's name
        self, request: inbox_pb2.MarkReadRequest, context: Any
    ) -> inbox_pb2.MarkReadResponse:
        """Notes that messages were read."""
        del context
        _require_addressee(request.psn_no)
        message_ids = {UUID(message_id) for message_id in request.message_ids}
        unread = await self._service.mark_read(request.psn_no, message_ids, self._clock.now())
        return inbox_pb2.MarkReadResponse(unread=unread)

    async def UnreadCount(  # noqa: N802 - the contract's name
        self, request: inbox_pb2.UnreadCountRequest, context: Any
    ) -> inbox_pb2.UnreadCountResponse:
        """How many messages are unread."""
        del context
        _require_addressee(request.psn_no)
        return inbox_pb2.UnreadCountResponse(unread=await self._service.unread(request.psn_no))

    async def WatchMessages(  # noqa: N802 - the contract's name
        self, request: inbox_pb2.WatchMessagesRequest, context: Any
    ) -> AsyncGenerator[inbox_pb2.WatchMessagesResponse, None]:
        """Messages as they arrive, for as long as the assertion is good."""
        del context
        _require_addressee(request.psn_no)
        resume_from = resumed_from(request.resume_token)
        good_for = require_assertion().expires_at - self._clock.now()
        async with aclosing(self._watchers.watch(request.psn_no, resume_from, good_for.total_seconds())) as news:
            async for one in news:
                yield _news_to_proto(one)


def _news_to_proto(news: News) -> inbox_pb2.WatchMessagesResponse:
    return inbox_pb2.WatchMessagesResponse(
        message=message_to_proto(news.stored) if news.stored else None, resume_token=resume_token(news.resume_from)
    )


def _require_reader(reader: Assertion, psn_no: str) -> None:
    if reader.psn_no != psn_no and AUDITOR not in reader.roles:
        raise Refusal("FORBIDDEN", "messages are read by their addressee, or by an auditor")


def _require_addressee(psn_no: str) -> None:
    if require_assertion().psn_no != psn_no:
        raise Refusal("FORBIDDEN", "only their addressee watches messages and says which were read")
