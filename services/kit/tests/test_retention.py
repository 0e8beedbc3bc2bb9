"""What policy may say about how long is kept, and how a purge is told."""

from collections.abc import Mapping

import pytest

from kit.config import ConfigurationError, load
from kit.kept import INBOX, OUTBOX
from kit.purge_cli import days_of, size_of
from kit.retention import LEAST_INBOX_DAYS, LEAST_OUTBOX_DAYS, MOST_OUTBOX_DAYS, BusRetention, OutboxRetention
from kit.topics import catalogue

ENVIRON = {"GONGJI_ENVIRONMENT": "local", "GONGJI_DATABASE_URL": "postgresql://u:p@127.0.0.1:5432/d"}
CONSUMED = ("account-events-v1", "binding-events-v1", "identity-events-v1", "settlement-events-v1")
DAY_HOURS = 24


def loaded(**more: str) -> BusRetention:
    return load(BusRetention, {**ENVIRON, **more})


def test_without_a_policy_of_ones_own_outbox_and_inbox_are_kept_for_half_a_year_and_more_than_one() -> None:
    assert days_of(loaded(), (OUTBOX, INBOX)) == {"outbox_event": 190, "inbox": 460}


@pytest.mark.parametrize(
    ("variable", "days", "told"),
    [
        ("GONGJI_OUTBOX_KEPT_DAYS", "92", "must be 93 days or more: topics keep events for 30"),
        ("GONGJI_OUTBOX_KEPT_DAYS", "401", "must be 400 days or less: consumers are sure to know an event again"),
        ("GONGJI_OUTBOX_KEPT_DAYS", "-1", "must be 93 days or more"),
        ("GONGJI_INBOX_KEPT_DAYS", "459", "must be 460 days or more: an event of 400 days may be published again"),
        ("GONGJI_INBOX_KEPT_DAYS", "0", "must be 460 days or more"),
        ("GONGJI_INBOX_KEPT_DAYS", "a year", "is not acceptable"),
    ],
)
def test_a_policy_under_which_an_event_could_be_lost_or_count_twice_is_refused(
    variable: str, days: str, told: str
) -> None:
    with pytest.raises(ConfigurationError) as refused:
        loaded(**{variable: days})
    assert f"{variable} {told}" in str(refused.value)


@pytest.mark.parametrize(
    "days", [{"GONGJI_OUTBOX_KEPT_DAYS": "93"}, {"GONGJI_OUTBOX_KEPT_DAYS": "400"}, {"GONGJI_INBOX_KEPT_DAYS": "5000"}]
)
def test_a_policy_within_bounds_is_taken(days: Mapping[str, str]) -> None:
    assert str(days_of(loaded(**days), (OUTBOX, INBOX)).values()).count(next(iter(days.values()))) == 1


def test_a_service_that_only_publishes_is_not_asked_about_an_inbox() -> None:
    assert days_of(load(OutboxRetention, ENVIRON), (OUTBOX,)) == {"outbox_event": 190}


def test_an_event_that_can_still_come_again_is_still_known() -> None:
    topics = [catalogue().topic(name) for name in CONSUMED]
    in_topic = max(topic.retention_hours for topic in topics) / DAY_HOURS
    assert MOST_OUTBOX_DAYS + in_topic + in_topic <= LEAST_INBOX_DAYS  # published again, and then in its DLQ
    assert in_topic < LEAST_OUTBOX_DAYS


@pytest.mark.parametrize(
    ("size_bytes", "told"),
    [
        (0, "0 bytes"),
        (1023, "1023 bytes"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (5 << 40, "5.0 TiB"),
        (1 << 52, "4096.0 TiB"),
    ],
)
def test_sizes_are_told_in_their_unit(size_bytes: int, told: str) -> None:
    assert size_of(size_bytes) == told
