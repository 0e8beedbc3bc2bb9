from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.events import Envelope, Event, Headers, StoredEvent, UnreadableEventError, headers_of, parse
from kit.testing_events import AT, HAPPENED, NOTED, SampleTopic, happened, noted

TOPIC = SampleTopic()
ID = UUID("01957c9e-8d6f-7a3b-9c1d-2e4f5a6b7c8d")
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def row(**changes: Any) -> StoredEvent:
    values: dict[str, Any] = {
        "id": 1,
        "event_id": ID,
        "topic": TOPIC.name,
        "key": "k1",
        "type": HAPPENED,
        "source": "/gongji/kit",
        "subject": "about",
        "payload": happened("text", 7).SerializeToString(),
        "occurred_at": AT,
        "sequence": 7,
        "traceparent": PARENT,
        "epoch": 2,
        **changes,
    }
    return StoredEvent(**values)


def read(headers: Headers, value: bytes, topic: str = TOPIC.name) -> Envelope:
    return parse(headers, value, key=b"k1", topic=topic, partition=3, offset=11, topics=TOPIC.catalogue)


def test_headers_are_cloudevents_in_binary_mode() -> None:
    assert dict(headers_of(row())) == {
        "ce_specversion": b"1.0",
        "ce_id": b"01957c9e-8d6f-7a3b-9c1d-2e4f5a6b7c8d",
        "ce_type": b"kit.testing.v1.Happened",
        "ce_source": b"/gongji/kit",
        "ce_subject": b"about",
        "ce_time": b"2025-03-14T01:59:26.535000Z",
        "ce_sequence": b"7",
        "traceparent": PARENT.encode(),
        "content-type": b"application/protobuf",
        "epoch": b"2",
    }


def test_what_is_not_known_has_no_header() -> None:
    assert not {"ce_sequence", "traceparent"} & dict(headers_of(row(sequence=None, traceparent=None))).keys()


def test_times_are_told_in_utc() -> None:
    at = datetime(2025, 1, 1, 7, 30, tzinfo=timezone(timedelta(hours=8)))
    assert dict(headers_of(row(occurred_at=at)))["ce_time"] == b"2024-12-31T23:30:00Z"


def test_a_consumer_reads_what_was_published() -> None:
    assert read(headers_of(row()), row().payload) == Envelope(
        id=ID,
        type=HAPPENED,
        source="/gongji/kit",
        subject="about",
        time=AT,
        sequence=7,
        traceparent=PARENT,
        epoch=2,
        message=happened("text", 7),
        topic=TOPIC.name,
        partition=3,
        offset=11,
        key="k1",
    )


@given(
    text=st.text(max_size=50),
    subject=st.text(st.characters(codec="utf-8"), min_size=1, max_size=20),
    at=st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2099, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    sequence=st.none() | st.integers(0, 2**63 - 1),
    epoch=st.integers(0, 2**31 - 1),
)
def test_any_event_survives_the_bus(text: str, subject: str, at: datetime, sequence: int | None, epoch: int) -> None:
    stored = row(
        type=NOTED,
        payload=noted(text).SerializeToString(),
        subject=subject,
        occurred_at=at,
        sequence=sequence,
        epoch=epoch,
    )
    got = read(headers_of(stored), stored.payload)
    assert (got.message, got.subject, got.time, got.sequence, got.epoch) == (noted(text), subject, at, sequence, epoch)


def test_headers_of_others_do_not_disturb() -> None:
    strange = [("x-proxy", b"\xff\xfe"), ("content-type", b"\xff")]
    assert read([*headers_of(row()), *strange], row().payload).id == ID


def test_an_empty_payload_is_a_message_with_nothing_set() -> None:
    assert read(headers_of(row()), b"").message == happened("")


def changed(changes: Mapping[str, bytes | None]) -> Headers:
    headers = {**dict(headers_of(row())), **changes}
    return [(name, value) for name, value in headers.items() if value is not None]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"ce_id": None}, "ce_id is missing"),
        ({"ce_id": b"7"}, "ce_id is not a UUID"),
        ({"ce_id": b"\xff"}, "ce_id is not UTF-8"),
        ({"ce_specversion": b"0.3"}, "ce_specversion"),
        ({"ce_specversion": None}, "ce_specversion"),
        ({"ce_type": None}, "ce_type is missing"),
        ({"ce_type": b"kit.testing.v1.Unheard"}, "not in the catalogue"),
        ({"ce_source": b""}, "ce_source is missing"),
        ({"ce_time": b"yesterday"}, "RFC 3339"),
        ({"ce_time": b"2025-03-14T01:59:26"}, "no offset"),
        ({"ce_sequence": b"-1"}, "ce_sequence is not a number"),
        ({"ce_sequence": "١".encode()}, "ce_sequence is not a number"),
        ({"epoch": b"one"}, "epoch is not a number"),
    ],
)
def test_a_malformed_header_is_named_without_its_value(changes: Mapping[str, bytes | None], told: str) -> None:
    with pytest.raises(UnreadableEventError, match=told) as caught:
        read(changed(changes), row().payload)
    assert "yesterday" not in str(caught.value)


def test_a_payload_of_another_kind_is_refused_without_showing_it() -> None:
    with pytest.raises(UnreadableEventError, match=f"no {HAPPENED}") as caught:
        read(headers_of(row()), b"\xff11010119900307001X")
    assert "1101" not in str(caught.value)


def test_a_type_of_another_topic_is_refused() -> None:
    with pytest.raises(UnreadableEventError, match="schema of other-v1"):
        read(headers_of(row()), row().payload, topic="other-v1")


def test_the_subject_of_an_event_is_its_key_unless_told() -> None:
    assert Event(happened("x"), "k1", AT).subject == "k1"
    assert Event(happened("x"), "k1", AT, "about").subject == "about"
