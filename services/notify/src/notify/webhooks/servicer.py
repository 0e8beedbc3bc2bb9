"""WebhookService: from requests to the use cases."""

from datetime import UTC
from typing import Any, Final
from uuid import UUID

from gongji.notify.v1 import webhook_pb2 as pb
from gongji.notify.v1 import webhook_pb2_grpc
from kit import auth
from kit.errors import FieldViolation, InvalidFields, Refusal
from kit.ids import uuid_of
from notify.domain.webhooks import institution, system
from notify.webhooks.codec import attempt_message, page_token, place_of, webhook_message, wished_state
from notify.webhooks.management import Caller, Webhooks, Wishes

Identified = (
    pb.UpdateWebhookRequest
    | pb.DeleteWebhookRequest
    | pb.RotateSecretRequest
    | pb.TestWebhookRequest
    | pb.ReplayEventsRequest
    | pb.ListAttemptsRequest
)
DEFAULT_PAGE_SIZE: Final = 50
OPERATOR: Final = "operator"


def caller() -> Caller:
    """Who makes the call that is being served; the access table has let them in."""
    call = auth.current()
    if call.principal.kind == "institution":
        return Caller(institution(call.principal.name))
    if call.assertion is not None and OPERATOR not in call.assertion.roles:
        return Caller(None, reads_only=True)
    return Caller(None, oversees=True)


class WebhookServicer(webhook_pb2_grpc.WebhookServiceServicer):
    """See the contract for what each method promises."""

    def __init__(self, webhooks: Webhooks) -> None:
        self._webhooks = webhooks

    async def CreateWebhook(self, request: pb.CreateWebhookRequest, context: Any) -> pb.CreateWebhookResponse:  # noqa: N802 - the contract's name
        """See the contract."""
        del context
        webhook = await self._webhooks.create(_owner(caller(), request.system), _wishes(request))
        return pb.CreateWebhookResponse(webhook=webhook_message(webhook), secret=webhook.secrets.current)

    async def ListWebhooks(self, request: pb.ListWebhooksRequest, context: Any) -> pb.ListWebhooksResponse:  # noqa: N802
        """See the contract."""
        del context
        size = request.page_size or DEFAULT_PAGE_SIZE
        after = place_of(request.page_token)
        found = await self._webhooks.page(caller(), request.owner or None, size + 1, after)
        return pb.ListWebhooksResponse(
            webhooks=[webhook_message(webhook) for webhook in found[:size]],
            next_page_token=page_token(found[size - 1].webhook_id if len(found) > size else None),
        )

    async def UpdateWebhook(self, request: pb.UpdateWebhookRequest, context: Any) -> pb.UpdateWebhookResponse:  # noqa: N802
        """See the contract."""
        del context
        state = wished_state(request.state)
        webhook = await self._webhooks.update(caller(), _id(request), _wishes(request), state)
        return pb.UpdateWebhookResponse(webhook=webhook_message(webhook))

    async def DeleteWebhook(self, request: pb.DeleteWebhookRequest, context: Any) -> pb.DeleteWebhookResponse:  # noqa: N802
        """See the contract."""
        del context
        await self._webhooks.delete(caller(), _id(request))
        return pb.DeleteWebhookResponse()

    async def RotateSecret(self, request: pb.RotateSecretRequest, context: Any) -> pb.RotateSecretResponse:  # noqa: N802
        """See the contract."""
        del context
        secrets = await self._webhooks.rotate(caller(), _id(request))
        answer = pb.RotateSecretResponse(secret=secrets.current)
        if secrets.previous_until is not None:
            answer.previous_secret_until.FromDatetime(secrets.previous_until)
        return answer

    async def TestWebhook(self, request: pb.TestWebhookRequest, context: Any) -> pb.TestWebhookResponse:  # noqa: N802
        """See the contract."""
        del context
        return pb.TestWebhookResponse(event_id=str(await self._webhooks.test(caller(), _id(request))))

    async def ReplayEvents(self, request: pb.ReplayEventsRequest, context: Any) -> pb.ReplayEventsResponse:  # noqa: N802
        """See the contract."""
        del context
        requeued = await self._webhooks.replay(
            caller(),
            _id(request),
            request.occurred_from.ToDatetime(tzinfo=UTC),
            request.occurred_before.ToDatetime(tzinfo=UTC),
            with_delivered=request.with_delivered,
        )
        answer = pb.ReplayEventsResponse(events=requeued.events)
        if requeued.rest_from is not None:
            answer.rest_from.FromDatetime(requeued.rest_from)
        return answer

    async def ListAttempts(self, request: pb.ListAttemptsRequest, context: Any) -> pb.ListAttemptsResponse:  # noqa: N802
        """See the contract."""
        del context
        size = request.page_size or DEFAULT_PAGE_SIZE
        found = await self._webhooks.attempts(
            caller(),
            _id(request),
            size + 1,
            event_id=uuid_of(request.event_id) if request.event_id else None,
            failed_only=request.failed_only,
            before=place_of(request.page_token),
        )
        return pb.ListAttemptsResponse(
            attempts=[attempt_message(listed) for listed in found[:size]],
            next_page_token=page_token(found[size - 1].attempt.attempt_id if len(found) > size else None),
        )


def _owner(by: Caller, named: str) -> str:
    """Whose a new webhook is: an institution's its own, an operator's the system's that it names."""
    if by.institution is not None:
        if named:
            raise Refusal("FORBIDDEN", "an institution makes webhooks of its own only")
        return by.institution
    if not named:
        raise InvalidFields([FieldViolation("system", "is missing: name the system that the webhook is for")])
    return system(named)


def _wishes(request: pb.CreateWebhookRequest | pb.UpdateWebhookRequest) -> Wishes:
    return Wishes(request.url, frozenset(request.event_types), request.description)


def _id(request: Identified) -> UUID:
    return uuid_of(request.webhook_id)
