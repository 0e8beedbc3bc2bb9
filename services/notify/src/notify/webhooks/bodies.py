"""What a request says: the event as JSON, with the attributes that its envelope had."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from google.protobuf import json_format

from gongji.notify.events.v1.webhook_events_pb2 import WebhookSwitchedOff
from kit.events import Envelope
from notify.domain.webhooks import TEST, institution

SOURCE: Final = "/gongji/notify"


def body_of(envelope: Envelope) -> bytes:
    """CloudEvents in JSON, with the `timestamp` that Standard Webhooks names.

    Fields have the contract's names and are all there; numbers of 64 bits are texts, as the JSON of protobuf has them.
    """
    data = json_format.MessageToDict(
        envelope.message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    about = {"type": envelope.type, "source": envelope.source, "subject": envelope.subject}
    about["epoch"] = str(envelope.epoch)
    if envelope.sequence is not None:
        about["sequence"] = str(envelope.sequence)
    return _body(envelope.id, about, envelope.time, data)


def trial_body(event_id: UUID, webhook_id: UUID, at: datetime) -> bytes:
    """What a test sends."""
    about = {"type": TEST, "source": SOURCE, "subject": str(webhook_id)}
    return _body(event_id, about, at, {"webhook_id": str(webhook_id)})


def _body(event_id: UUID, about: Mapping[str, str], at: datetime, data: Mapping[str, Any]) -> bytes:
    time = at.astimezone(UTC).isoformat().replace("+00:00", "Z")
    event = {
        "specversion": "1.0",
        "id": str(event_id),
        **about,
        "time": time,
        "timestamp": time,
        "datacontenttype": "application/json",
        "data": data,
    }
    return json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()


def owner_of(message: Any) -> str:
    """Whom an event concerns of those who may have webhooks; empty if it names none."""
    if isinstance(message, WebhookSwitchedOff):
        return message.owner
    code = _fixmedins_code(message)
    return institution(code) if code else ""


def _fixmedins_code(message: Any) -> str:
    fields = message.DESCRIPTOR.fields_by_name
    for inner in ("settlement", "institution"):
        if inner in fields:
            return str(getattr(message, inner).fixmedins_code)
    return str(message.fixmedins_code) if "fixmedins_code" in fields else ""
