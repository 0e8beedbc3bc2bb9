"""Messages of the review to domain objects and back."""

import base64
import binascii
from datetime import date, datetime
from typing import Final
from uuid import UUID

from google.protobuf.timestamp_pb2 import Timestamp

from binding.codec import bad_token
from binding.codec_reasons import PREFIX, decision_reason_value
from binding.domain.applications import Step
from binding.domain.decision_reasons import CATALOGUE, DecisionReason, Verdict
from binding.domain.reviews import QueueState
from binding.repository import QueueCount, QueuePlace
from gongji.binding.v1 import decision_reason_pb2, review_pb2

_DECISIONS: Final = {
    review_pb2.DECISION_APPROVE: Step.APPROVE,
    review_pb2.DECISION_REJECT: Step.REJECT,
    review_pb2.DECISION_RETURN: Step.RETURN,
}
_STATES: Final = {
    review_pb2.QUEUE_STATE_WAITING: QueueState.WAITING,
    review_pb2.QUEUE_STATE_CLAIMED: QueueState.CLAIMED,
    review_pb2.QUEUE_STATE_HANDLED: QueueState.HANDLED,
}


def queue_state_of(value: review_pb2.QueueState.ValueType) -> QueueState | None:
    """A state to filter by; None for all."""
    return _STATES.get(value)


def verdict_of(
    decision: review_pb2.Decision.ValueType, code: decision_reason_pb2.DecisionReason.ValueType, words: str
) -> Verdict:
    """A verdict from the contract, which has refused the unknown values."""
    name = decision_reason_pb2.DecisionReason.Name(code).removeprefix(PREFIX)
    return Verdict(_DECISIONS[decision], DecisionReason(name) if code else None, words)


def catalogue_messages(wanted: review_pb2.Decision.ValueType) -> list[review_pb2.CatalogueReason]:
    """The reasons for a decision; unspecified is any."""
    step = _DECISIONS.get(wanted)
    return [
        review_pb2.CatalogueReason(
            code=decision_reason_value(reason),
            text=entry.text,
            decisions=[value for value, decision in _DECISIONS.items() if decision in entry.decisions],
            needs_words=entry.needs_words,
        )
        for reason, entry in CATALOGUE.items()
        if step is None or step in entry.decisions
    ]


def count_message(count: QueueCount, at: datetime) -> review_pb2.QueueCount:
    """The queue of a region in figures; `at` is the moment that its age is counted to."""
    oldest = Timestamp()
    oldest.FromDatetime(count.oldest_submitted_at)
    return review_pb2.QueueCount(
        region=count.region,
        waiting=count.waiting,
        claimed=count.claimed,
        handled=count.handled,
        overdue=count.overdue,
        oldest_submitted_at=oldest,
        oldest_age_seconds=max(0, int((at - count.oldest_submitted_at).total_seconds())),
    )


def queue_token(place: QueuePlace) -> str:
    """An opaque token for where a page of the queue ended."""
    return base64.urlsafe_b64encode(" ".join((*map(_text, place[:2]), str(place[2]))).encode()).decode()


def _text(at: date) -> str:
    return at.isoformat()


def queue_place_of(token: str) -> QueuePlace | None:
    """Where the page before ended; None from the beginning. Raises InvalidFields for a token that is none of ours."""
    if not token:
        return None
    try:
        parts = base64.b64decode(token, altchars=b"-_", validate=True).decode("ascii").split(" ")
        due_on, submitted_at, application_id = parts
        place = QueuePlace(date.fromisoformat(due_on), datetime.fromisoformat(submitted_at), UUID(application_id))
    except (binascii.Error, ValueError):
        raise bad_token() from None
    if place.submitted_at.tzinfo is None:
        raise bad_token()
    return place
