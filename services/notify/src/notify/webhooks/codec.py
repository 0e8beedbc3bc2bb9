"""From the contract's messages to webhooks and back."""

import base64
import binascii
from typing import Final
from uuid import UUID

from gongji.notify.v1 import webhook_pb2 as pb
from kit.errors import FieldViolation, InvalidFields
from kit.ids import uuid_of
from notify.domain.webhooks import DeliveryState, OffReason, Result, State, Webhook
from notify.webhooks.repository import ListedAttempt

STATES: Final = {
    State.ACTIVE: pb.WEBHOOK_STATE_ACTIVE,
    State.PAUSED: pb.WEBHOOK_STATE_PAUSED,
    State.OFF: pb.WEBHOOK_STATE_OFF,
}
OFF_REASONS: Final = {
    OffReason.LASTING_FAILURE: pb.WEBHOOK_OFF_REASON_LASTING_FAILURE,
    OffReason.GONE: pb.WEBHOOK_OFF_REASON_GONE,
}
_WISHED: Final = {pb.WEBHOOK_STATE_ACTIVE: State.ACTIVE, pb.WEBHOOK_STATE_PAUSED: State.PAUSED}
_OUTCOMES: Final = {
    Result.DELIVERED: pb.ATTEMPT_OUTCOME_DELIVERED,
    Result.REFUSED: pb.ATTEMPT_OUTCOME_REFUSED,
    Result.TIMED_OUT: pb.ATTEMPT_OUTCOME_TIMED_OUT,
    Result.UNREACHABLE: pb.ATTEMPT_OUTCOME_UNREACHABLE,
    Result.UNTRUSTED: pb.ATTEMPT_OUTCOME_UNTRUSTED,
    Result.ADDRESS_REFUSED: pb.ATTEMPT_OUTCOME_ADDRESS_REFUSED,
    Result.NOT_HTTP: pb.ATTEMPT_OUTCOME_NOT_HTTP,
    Result.UNEXPECTED: pb.ATTEMPT_OUTCOME_UNEXPECTED,
}
_DELIVERY_STATES: Final = {
    DeliveryState.QUEUED: pb.WEBHOOK_DELIVERY_STATE_QUEUED,
    DeliveryState.DELIVERED: pb.WEBHOOK_DELIVERY_STATE_DELIVERED,
    DeliveryState.GIVEN_UP: pb.WEBHOOK_DELIVERY_STATE_GIVEN_UP,
}


def wished_state(state: pb.WebhookState.ValueType) -> State:
    """What the owner wants; the contract lets nothing else through."""
    return _WISHED[state]


def webhook_message(webhook: Webhook) -> pb.Webhook:
    """A webhook as its owner sees it."""
    message = pb.Webhook(
        webhook_id=str(webhook.webhook_id),
        owner=webhook.owner,
        url=webhook.url,
        event_types=sorted(webhook.event_types),
        description=webhook.description,
        state=STATES[webhook.state],
    )
    if webhook.off_reason is not None:
        message.off_reason = OFF_REASONS[webhook.off_reason]
    message.created_at.FromDatetime(webhook.created_at)
    if webhook.health.failing_since is not None:
        message.failing_since.FromDatetime(webhook.health.failing_since)
    if webhook.last_delivered_at is not None:
        message.last_delivered_at.FromDatetime(webhook.last_delivered_at)
    if webhook.secrets.previous_until is not None:
        message.previous_secret_until.FromDatetime(webhook.secrets.previous_until)
    return message


def attempt_message(listed: ListedAttempt) -> pb.Attempt:
    """An attempt as its owner sees it."""
    made = listed.attempt
    message = pb.Attempt(
        event_id=str(made.event_id),
        event_type=listed.event_type,
        outcome=_OUTCOMES[made.outcome.result],
        status=made.outcome.status or 0,
        duration_ms=made.duration_ms,
        state=_DELIVERY_STATES[listed.state],
    )
    message.attempted_at.FromDatetime(made.attempted_at)
    if listed.next_attempt_at is not None:
        message.next_attempt_at.FromDatetime(listed.next_attempt_at)
    return message


def page_token(place: UUID | None) -> str:
    """A place in a list, opaque; empty at the end."""
    return base64.urlsafe_b64encode(place.bytes).decode() if place is not None else ""


def place_of(token: str) -> UUID | None:
    """The place that a token stands for; None for an empty one.

    Raises:
        InvalidFields: it was not given out.
    """
    if not token:
        return None
    try:
        return uuid_of(base64.b64decode(token, altchars=b"-_", validate=True).hex())
    except (binascii.Error, ValueError):
        raise InvalidFields([FieldViolation("page_token", "is not one that was given out")]) from None
