"""What is shown of a dead letter: enough to judge it, nothing about persons."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from google.protobuf.message import Message

from gongji.binding.events.v1 import events_pb2 as binding
from gongji.identity.events.v1 import events_pb2 as identity
from gongji.settlement.events.v1 import account_events_pb2
from kit.dead_letters import StoredRecord, burial_headers
from kit.dlq_actions import Action, Deed, End
from kit.dlq_letters import Place, letter_of
from kit.dlq_replay import Found
from kit.dlq_showing import age_of, details_of, lines_of, printable
from kit.events import StoredEvent, headers_of
from kit.topics import catalogue

PSN_NO = "65270000000000001234"
SETL_ID = "0196f0a0-0000-7000-8000-000000000001"
EVENT_ID = UUID("0196f0a0-0000-7000-8000-000000000002")
AT = datetime(2025, 6, 10, 2, tzinfo=UTC)
NOW = AT + timedelta(hours=3)


def found(message: Message, key: str = PSN_NO, payload: bytes | None = None, end: End | None = None) -> Found:
    full_name = message.DESCRIPTOR.full_name
    topic = catalogue().topic_of(full_name).name
    value = message.SerializeToString() if payload is None else payload
    row = StoredEvent(1, EVENT_ID, topic, key, full_name, "/gongji/x", key, value, AT, 7, None, 1)
    origin = StoredRecord(topic, 2, 30, key.encode(), value, headers_of(row))
    buried = StoredRecord(f"{topic}-dlq", 0, 4, key.encode(), value, burial_headers(origin, "notify", KeyError("a")))
    return Found(letter_of(buried, AT), end)


def shown(one: Found) -> str:
    return "\n".join(details_of(one, NOW))


def debited() -> account_events_pb2.AccountDebited:
    return account_events_pb2.AccountDebited(psn_no=PSN_NO, setl_id=SETL_ID, amount_fen=1_234, sequence=7)


def test_a_letter_tells_where_it_is_why_and_what_it_says() -> None:
    text = shown(found(debited()))
    for told in (
        "account-events-v1-dlq 4, buried 3 h ago",
        "state     open",
        "consumer  notify, replayed 0 times",
        "error     KeyError",
        "origin    account-events-v1, partition 2, offset 30",
        f"event     {EVENT_ID} gongji.settlement.events.v1.AccountDebited",
        "2025-06-10 02:00:00Z, sequence 7, epoch 1",
        f"setl_id: {SETL_ID}",
        "amount_fen: 1234",
    ):
        assert told in text


@pytest.mark.parametrize(
    ("message", "secrets"),
    [
        (debited(), [PSN_NO]),
        (identity.PersonVerified(psn_no=PSN_NO, brdy="1990-07-08"), [PSN_NO, "1990-07-08"]),
        (identity.PersonDied(psn_no=PSN_NO, died_on="2025-06-01"), [PSN_NO, "2025-06-01"]),
        (
            identity.VerificationCodeIssued(psn_no=PSN_NO, verification_id=SETL_ID, sealed=b"13900000000"),
            [PSN_NO, "13900000000"],
        ),
        (
            account_events_pb2.AccountFrozen(psn_no=PSN_NO, reason="on request of Li Wei", authority="court of Bole"),
            [PSN_NO, "Li Wei", "court"],
        ),
        (binding.ApplicationReturned(reason_text="name 王小明 is wrong"), ["王小明"]),
    ],
)
def test_nothing_about_a_person_is_shown(message: Message, secrets: list[str]) -> None:
    text = shown(found(message)) + "\n".join(lines_of([found(message)], NOW))
    assert not [secret for secret in secrets if secret in text]
    assert "***" in text


def test_of_a_psn_no_the_last_digits_tell_whether_it_is_the_one() -> None:
    text = shown(found(debited()))
    assert "psn_no: ***1234" in text
    assert "key       ***1234" in text
    assert "about ***1234" in text


def test_an_identifier_that_is_none_is_masked() -> None:
    assert "王小明" not in shown(found(account_events_pb2.AccountDebited(psn_no=PSN_NO, setl_id="王小明")))
    assert "652701199007080011" not in shown(
        found(account_events_pb2.AccountDebited(psn_no=PSN_NO, setl_id="652701199007080011"))
    )


def test_a_key_that_is_an_id_is_shown() -> None:
    assert f"key       {SETL_ID}" in shown(found(debited(), key=SETL_ID))


def test_an_event_that_cannot_be_read_is_told_by_its_size_and_why() -> None:
    text = shown(found(debited(), payload=b"\xff\xff"))
    assert "payload   2 bytes that cannot be read: the payload is no gongji.settlement.events.v1.AccountDebited" in text
    assert PSN_NO not in text


def test_how_a_letter_ended_is_told() -> None:
    end = End(Deed(Action.DROPPED, "Aliya", "a double"), AT)
    assert "was dropped by Aliya at 2025-06-10 02:00:00Z because: a double" in shown(found(debited(), end=end))


def test_a_list_has_a_line_for_each_letter() -> None:
    ended = found(debited(), end=End(Deed(Action.FAILED_AGAIN, "Aliya"), AT))
    heading, first, second = lines_of([found(debited()), ended], NOW)
    assert heading.split() == ["OFFSET", "AGE", "EVENT", "TYPE", "CONSUMER", "TRIES", "ERROR", "STATE"]
    assert first.split() == ["4", "3", "h", str(EVENT_ID), "AccountDebited", "notify", "1", "KeyError", "open"]
    assert second.endswith("failed again")


def test_a_terminal_gets_nothing_to_obey() -> None:
    assert printable("a\x1b[31mb\nc") == "a�[31mb�c"
    assert printable("of 652701199007080011") == "of ***"


@pytest.mark.parametrize(
    ("age", "words"),
    [
        (timedelta(seconds=-5), "0 s"),
        (timedelta(seconds=119), "119 s"),
        (timedelta(minutes=2), "2 min"),
        (timedelta(hours=47, minutes=59), "47 h"),
        (timedelta(days=2), "2 d"),
    ],
)
def test_an_age_is_told_in_the_unit_that_says_something(age: timedelta, words: str) -> None:
    assert age_of(age) == words


@pytest.mark.parametrize("text", ["0", "17", "2:17"])
def test_a_place_is_taken_as_it_is_printed(text: str) -> None:
    assert str(Place.of(text)) == text


@pytest.mark.parametrize("text", ["", "-1", "1:", ":1", "1:2:3", "٣", "0x1", "9" * 19, " 1"])
def test_what_is_no_place_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no place"):
        Place.of(text)
