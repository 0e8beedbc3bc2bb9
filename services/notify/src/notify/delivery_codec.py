"""Deliveries as the contract has them: rows of a list, and the event that tells that one has ended."""

import base64
import binascii
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from gongji.notify.events.v1 import delivery_events_pb2 as events
from gongji.notify.v1 import delivery_pb2, notice_pb2
from kit.errors import FieldViolation, InvalidFields
from kit.events import Event
from kit.timestamps import timestamp
from notify.domain.channels import Channel
from notify.domain.deliveries import Delivery, State
from notify.domain.kinds import Kind
from notify.repository.deliveries import DeliveryFilter, DeliveryPlace

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class UnendedError(Exception):
    """A delivery that has not ended was to be told as one that has; a fault in the code."""


def channel_to_proto(channel: Channel) -> notice_pb2.Channel.ValueType:
    """The contract's word for a channel."""
    return notice_pb2.Channel.Value(f"CHANNEL_{channel.value}")


def kind_to_proto(kind: Kind) -> notice_pb2.NoticeKind.ValueType:
    """The contract's word for a kind."""
    return notice_pb2.NoticeKind.Value(f"NOTICE_KIND_{kind.value}")


def state_to_proto(state: State) -> delivery_pb2.DeliveryState.ValueType:
    """The contract's word for a state."""
    return delivery_pb2.DeliveryState.Value(f"DELIVERY_STATE_{state.value}")


def ended_event(delivery: Delivery) -> Event:
    """Tells what became of a delivery."""
    if delivery.ended_at is None:
        raise UnendedError(str(delivery.delivery_id))
    message = events.DeliveryEnded(
        delivery_id=str(delivery.delivery_id),
        event_id=str(delivery.event_id),
        psn_no=delivery.psn_no,
        channel=channel_to_proto(delivery.channel),
        kind=kind_to_proto(delivery.kind),
        state=state_to_proto(delivery.state),
        attempts=delivery.attempts,
        why="" if delivery.state in {State.SENT, State.DELIVERED} else delivery.last_error or "",
        created_at=timestamp(delivery.created_at),
        ended_at=timestamp(delivery.ended_at),
    )
    return Event(message, delivery.psn_no, delivery.ended_at)


def delivery_to_proto(delivery: Delivery) -> delivery_pb2.Delivery:
    """As operators see it."""
    return delivery_pb2.Delivery(
        delivery_id=str(delivery.delivery_id),
        event_id=str(delivery.event_id),
        psn_no=delivery.psn_no,
        channel=channel_to_proto(delivery.channel),
        kind=kind_to_proto(delivery.kind),
        state=state_to_proto(delivery.state),
        attempts=delivery.attempts,
        next_attempt_at=timestamp(delivery.next_attempt_at) if delivery.state is State.QUEUED else None,
        last_error=delivery.last_error or "",
        provider_id=delivery.provider_id or "",
        created_at=timestamp(delivery.created_at),
        sent_at=timestamp(delivery.sent_at) if delivery.sent_at else None,
        ended_at=timestamp(delivery.ended_at) if delivery.ended_at else None,
    )


def filter_of(request: delivery_pb2.ListDeliveriesRequest) -> DeliveryFilter:
    """What a request asks for."""
    channel = Channel(_word(notice_pb2.Channel.Name(request.channel), "CHANNEL_")) if request.channel else None
    state = State(_word(delivery_pb2.DeliveryState.Name(request.state), "DELIVERY_STATE_")) if request.state else None
    return DeliveryFilter(
        psn_no=request.psn_no or None,
        channel=channel,
        state=state,
        event_id=UUID(request.event_id) if request.event_id else None,
    )


def delivery_token(place: DeliveryPlace | None) -> str:
    """The opaque form of a place; empty for none."""
    if place is None:
        return ""
    microseconds = (place.created_at - _EPOCH) // timedelta(microseconds=1)
    return base64.urlsafe_b64encode(f"{microseconds}:{place.delivery_id}".encode()).decode().rstrip("=")


def place_of(token: str) -> DeliveryPlace | None:
    """The place that a page token stands for; None for the empty one.

    Raises:
        InvalidFields: `page_token` is not one that was given out.
    """
    if not token:
        return None
    try:
        text = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True).decode("ascii")
        microseconds, delivery_id = text.split(":")
        place = DeliveryPlace(_EPOCH + timedelta(microseconds=int(microseconds)), UUID(delivery_id))
    except (binascii.Error, ValueError, OverflowError):
        raise _bad_token() from None
    if delivery_token(place) != token:
        raise _bad_token()
    return place


def _bad_token() -> InvalidFields:
    return InvalidFields([FieldViolation("page_token", "must be a next_page_token of an earlier answer")])


def _word(name: str, prefix: str) -> str:
    return name.removeprefix(prefix)
