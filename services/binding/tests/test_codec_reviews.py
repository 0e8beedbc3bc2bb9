"""Messages of the review: every value has its counterpart, tokens come back, and what is none of ours is refused."""

import base64
from datetime import date

import pytest

from binding import codec_reviews
from binding.codec_reasons import decision_reason_value, reason_text
from binding.domain.decision_reasons import CATALOGUE, DecisionReason
from binding.domain.review_statistics import ClerkDay, Figures
from binding.repository import Period, QueuePlace
from binding.service.reviews import Counted, Statistics
from binding.testing import NOON, TODAY
from gongji.binding.v1 import decision_reason_pb2, review_pb2
from kit.errors import InvalidFields
from kit.ids import uuid7


def test_the_contract_has_the_reasons_of_the_catalogue_and_no_others() -> None:
    names = set(decision_reason_pb2.DecisionReason.keys()) - {"DECISION_REASON_UNSPECIFIED"}
    assert names == {f"DECISION_REASON_{reason}" for reason in DecisionReason}
    for reason in DecisionReason:
        verdict = codec_reviews.verdict_of(review_pb2.DECISION_REJECT, decision_reason_value(reason), "")
        assert verdict.reason is reason
        assert reason_text(reason) == CATALOGUE[reason].text
    assert decision_reason_value("") == decision_reason_pb2.DECISION_REASON_UNSPECIFIED
    assert reason_text("") == ""


@pytest.mark.parametrize("decision", [review_pb2.DECISION_REJECT, review_pb2.DECISION_RETURN])
def test_the_catalogue_is_told_by_decision(decision: review_pb2.Decision.ValueType) -> None:
    told = codec_reviews.catalogue_messages(decision)
    assert told
    assert all(decision in it.decisions for it in told)
    assert {it.code for it in codec_reviews.catalogue_messages(review_pb2.DECISION_UNSPECIFIED)} > {
        it.code for it in told
    }
    assert [it.code for it in told if it.needs_words] == [decision_reason_pb2.DECISION_REASON_OTHER]


def test_to_approve_there_is_no_reason() -> None:
    assert codec_reviews.catalogue_messages(review_pb2.DECISION_APPROVE) == []


def test_tokens_come_back_as_the_place_they_stand_for() -> None:
    place = QueuePlace(TODAY, NOON, uuid7())
    assert codec_reviews.queue_place_of(codec_reviews.queue_token(place)) == place
    assert codec_reviews.queue_place_of("") is None
    assert codec_reviews.clerk_day_of("") is None


def test_a_page_of_statistics_names_where_the_next_one_begins() -> None:
    rows = tuple((ClerkDay(TODAY, f"clerk:{name}"), Figures(1)) for name in "abc")
    page = codec_reviews.statistics_message(Statistics(rows, {"652701": Figures(3)}, Counted((), NOON)), 2)
    assert [row.clerk for row in page.rows] == ["clerk:a", "clerk:b"]
    assert codec_reviews.clerk_day_of(page.next_page_token) == ClerkDay(TODAY, "clerk:b")
    assert [(it.region, it.figures.handled, it.HasField("queue")) for it in page.regions] == [("652701", 3, False)]
    assert not page.regions[0].figures.HasField("median_seconds")
    last = codec_reviews.statistics_message(Statistics(rows, {}, Counted((), NOON)), 3)
    assert last.next_page_token == ""


def token(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    "bad",
    [
        "garbage!",
        token("2025-06-10"),
        token("2025-06-10 2025-06-10T00:00:00+00:00"),
        token("2025-06-10 2025-06-10T00:00:00 0197548e-7a00-7000-8000-000000000001"),
        token("2025-06-10 2025-06-10T00:00:00+00:00 none"),
        token("2025-13-10 2025-06-10T00:00:00+00:00 0197548e-7a00-7000-8000-000000000001"),
        token("张三"),
    ],
)
def test_a_token_of_the_queue_that_is_none_of_ours_is_refused(bad: str) -> None:
    with pytest.raises(InvalidFields) as refused:
        codec_reviews.queue_place_of(bad)
    assert [it.field for it in refused.value.violations] == ["page_token"]


@pytest.mark.parametrize("bad", ["garbage!", token("soon clerk:li"), token("2025-06-10 a\0b"), "AP8="])
def test_a_token_of_statistics_that_is_none_of_ours_is_refused(bad: str) -> None:
    with pytest.raises(InvalidFields):
        codec_reviews.clerk_day_of(bad)


def asked(day_from: str, day_to: str) -> review_pb2.GetReviewStatisticsRequest:
    return review_pb2.GetReviewStatisticsRequest(day_from=day_from, day_to=day_to, region="652701")


def test_a_period_has_366_days_at_most() -> None:
    longest = codec_reviews.period_of(asked("2024-01-01", "2024-12-31"))
    assert longest == Period(date(2024, 1, 1), date(2024, 12, 31), "652701")
    assert codec_reviews.period_of(asked("2025-06-10", "2025-06-10")).first == TODAY


@pytest.mark.parametrize(
    ("day_from", "day_to", "field"),
    [
        ("2024-01-01", "2025-01-01", "day_to"),
        ("2025-06-10", "2025-06-09", "day_to"),
        ("2025-02-29", "2025-03-01", "day_from"),
        ("2025-02-01", "2025-02-30", "day_to"),
    ],
)
def test_a_period_that_is_none_is_refused_by_field(day_from: str, day_to: str, field: str) -> None:
    with pytest.raises(InvalidFields) as refused:
        codec_reviews.period_of(asked(day_from, day_to))
    assert [it.field for it in refused.value.violations] == [field]
