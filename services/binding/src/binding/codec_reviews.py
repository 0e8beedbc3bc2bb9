"""Messages of the review to domain objects and back."""

import base64
import binascii
from datetime import date, datetime
from typing import Final
from uuid import UUID

from google.protobuf.timestamp_pb2 import Timestamp

from binding.codec import application_message, bad_token, reason_value
from binding.codec_reasons import PREFIX, decision_reason_value
from binding.domain.applications import Step
from binding.domain.decision_reasons import CATALOGUE, DecisionReason, Verdict
from binding.domain.review_statistics import MAX_DAYS, ClerkDay, Figures
from binding.domain.reviews import QueueState
from binding.repository import Period, QueueCount, QueuePlace
from binding.service.decisions import Item, Result
from binding.service.reviews import Statistics
from gongji.binding.v1 import decision_reason_pb2, review_pb2
from kit.days import stated_day
from kit.errors import FieldViolation, InvalidFields

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


def item_of(message: review_pb2.BatchDecideItem) -> Item:
    """A decision of a batch."""
    verdict = verdict_of(message.decision, message.reason_code, message.reason)
    return Item(UUID(message.request_id), UUID(message.application_id), verdict)


def result_message(result: Result) -> review_pb2.BatchDecideResult:
    """What came of it."""
    refusal = result.refusal
    return review_pb2.BatchDecideResult(
        request_id=str(result.item.request_id),
        application_id=str(result.item.application_id),
        application=application_message(result.application, for_staff=True) if result.application else None,
        refusal=reason_value(refusal.reason if refusal else None),
        explanation=str(refusal) if refusal else "",
    )


def period_of(request: review_pb2.GetReviewStatisticsRequest) -> Period:
    """The period that is asked for. Raises InvalidFields for one that ends before it begins, or is too long."""
    first, last = stated_day(request.day_from, "day_from"), stated_day(request.day_to, "day_to")
    if last < first:
        raise InvalidFields([FieldViolation("day_to", "lies before day_from")])
    if (last - first).days >= MAX_DAYS:
        raise InvalidFields([FieldViolation("day_to", f"makes a period of more than {MAX_DAYS} days")])
    return Period(first, last, request.region)


def statistics_message(found: Statistics, size: int) -> review_pb2.GetReviewStatisticsResponse:
    """A page of statistics of what was found, which has one row more than the page if there is another one."""
    rows = found.rows[:size]
    queue = {count.region: count_message(count, found.queue.at) for count in found.queue.regions}
    return review_pb2.GetReviewStatisticsResponse(
        rows=[
            review_pb2.ClerkDay(day=key.day.isoformat(), clerk=key.clerk, figures=_figures_message(figures))
            for key, figures in rows
        ],
        regions=[
            review_pb2.RegionStatistics(
                region=region,
                figures=_figures_message(found.regions.get(region, Figures())),
                queue=queue.get(region),
            )
            for region in sorted(queue.keys() | found.regions.keys())
        ],
        next_page_token=_clerk_token(rows[-1][0]) if len(found.rows) > size else "",
    )


def _figures_message(figures: Figures) -> review_pb2.ReviewFigures:
    return review_pb2.ReviewFigures(
        handled=figures.handled,
        approved=figures.approved,
        rejected=figures.rejected,
        returned=figures.returned,
        returned_permille=figures.returned_permille,
        median_seconds=figures.median_seconds,
        p90_seconds=figures.p90_seconds,
    )


def _clerk_token(place: ClerkDay) -> str:
    return base64.urlsafe_b64encode(f"{place.day.isoformat()} {place.clerk}".encode()).decode()


def clerk_day_of(token: str) -> ClerkDay | None:
    """Where the page before ended; None from the beginning. Raises InvalidFields for a token that is none of ours."""
    if not token:
        return None
    try:
        day, _, clerk = base64.b64decode(token, altchars=b"-_", validate=True).decode("utf-8").partition(" ")
        place = ClerkDay(date.fromisoformat(day), clerk)
    except (binascii.Error, ValueError):
        raise bad_token() from None
    if not clerk.isprintable():
        raise bad_token()
    return place
