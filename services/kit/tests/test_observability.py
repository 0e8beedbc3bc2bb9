"""The log is JSON without personal data, whoever writes to it."""

import errno
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from gongji.common.v1 import reason_pb2
from kit import redaction, tracing
from kit.observability import LOST, configure_logging, get_logger

NUMBER = "11010519491231002X"


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Iterator[Any]:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    configure_logging("binding", "INFO")
    yield lambda: [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    structlog.reset_defaults()
    root.handlers, root.level = before


def test_a_line_is_one_json_object_with_service_level_and_time(lines: Any) -> None:
    get_logger().info("opened", account=7, text="好")
    (line,) = lines()
    assert line.pop("timestamp").endswith("Z")
    assert line == {"event": "opened", "account": 7, "text": "好", "level": "info", "service": "binding"}


def test_a_line_of_a_call_has_its_trace_whole_whatever_its_digits_look_like(lines: Any) -> None:
    trace_id = "a" + "1" * 18 + "b" * 13
    with tracing.continued(f"00-{trace_id}-{1:016x}-00"):
        get_logger().info("call")
        logging.getLogger("grpc").warning("lost")
    get_logger().info("started")
    assert [line.get("trace_id") for line in lines()] == [trace_id, trace_id, None]


def test_what_libraries_log_comes_out_in_the_same_form(lines: Any) -> None:
    logging.getLogger("grpc").warning("lost %s of %s", 3, NUMBER, extra={"phone": "13800000000"})
    (line,) = lines()
    assert line["event"] == "lost 3 of ***"
    assert line["phone"] == "***"
    assert (line["level"], line["service"]) == ("warning", "binding")


def test_why_a_broker_cannot_be_reached_is_a_warning_once(lines: Any) -> None:
    client = logging.getLogger("aiokafka")  # as `aiokafka.client` has it
    client.setLevel(logging.NOTSET)  # commands let it say nothing
    for port in (9092, 9093, 9092, 9092):
        client.error('Unable connect to "%s:%s": %s', "kafka", port, "refused")
    logging.getLogger("aiokafka.consumer.group_coordinator").error("Unexpected error")
    assert [(line["level"], line["event"]) for line in lines()] == [
        ("warning", 'Unable connect to "kafka:9092": refused'),
        ("warning", 'Unable connect to "kafka:9093": refused'),
        ("error", "Unexpected error"),
    ]


def test_less_than_the_level_is_not_logged(lines: Any) -> None:
    get_logger().debug("detail")
    logging.getLogger("grpc").debug("detail")
    assert lines() == []


def test_an_exception_is_told_with_its_traceback_and_without_numbers(lines: Any) -> None:
    try:
        dict[str, int]()[NUMBER]
    except KeyError:
        get_logger().exception("unexpected", error_id="e-1")
    (line,) = lines()
    assert "KeyError" in line["exception"]
    assert "Traceback" in line["exception"]
    assert NUMBER not in line["exception"]


@pytest.mark.parametrize(
    "key",
    [
        "name",
        "payer_name",
        "psnName",
        "cert_no",
        "CERT-NO",
        "certno",
        "id_number",
        "phone",
        "mobile",
        "voucher",
        "visit_credential",
        "token",
        "Authorization",
        "x-gongji-assertion",
        "database_password",
        "client_secret",
        "private_key",
        "brdy",
    ],
)
def test_values_under_telling_keys_are_masked(key: str) -> None:
    assert redaction.redact({key: "张三"}) == {key: "***"}
    assert redaction.redact({"a": [{key: {"deep": 1}}]}) == {"a": [{key: "***"}]}


@pytest.mark.parametrize("key", ["method", "psn_no", "msgid", "setl_id", "topic", "key", "consumer", "renamed"])
def test_values_that_operators_need_are_shown(key: str) -> None:
    assert redaction.redact({key: "value"}) == {key: "value"}


@pytest.mark.parametrize(
    "text",
    [
        "H652701000012025010112000000010",  # a msgid has more digits than an identity number
        "20250101120000",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    ],
)
def test_other_numbers_are_shown(text: str) -> None:
    assert redaction.scrub(text) == text


def test_passwords_in_urls_and_signed_tokens_are_masked() -> None:
    assert redaction.scrub("no postgresql://role:s3cret@h/db") == "no postgresql://role:***@h/db"
    assert redaction.scrub("got eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJ4In0.c2ln!") == "got ***!"


def test_bytes_and_messages_are_told_by_size_and_type_alone() -> None:
    row = reason_pb2.ErrorRow(code=3)
    assert redaction.redact({"a": b"secret", "b": row}) == {"a": "<6 bytes>", "b": "<gongji.common.v1.ErrorRow>"}


NUMBERS = st.from_regex(r"[0-9]{17}[0-9Xx]", fullmatch=True)
AROUND = st.text(st.characters(exclude_categories=["N", "Cs"]), max_size=20)
VALUES = st.recursive(
    st.builds(lambda before, number, after: before + number + after, AROUND, NUMBERS, AROUND),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(AROUND, inner, max_size=3) | st.tuples(inner),
    max_leaves=8,
)


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(AROUND, VALUES, max_size=4))
def test_an_identity_number_is_never_logged_wherever_it_stands(event: dict[str, Any]) -> None:
    rendered = json.dumps(redaction.processor(None, "info", event), ensure_ascii=False)
    assert not redaction._IDENTITY_NUMBER.search(rendered)


@settings(deadline=None)
@given(NUMBERS.filter(lambda number: number[-1] not in "Xx" and number[0] != "0"), NUMBERS)
def test_an_identity_number_is_masked_as_a_number_a_key_and_an_exception(number: str, other: str) -> None:
    event = {"a": int(number), other: 1, "c": ValueError(other)}
    assert redaction.processor(None, "info", event) == {"a": "***", "***": 1, "c": "***"}


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary() | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.integers(), inner, max_size=3),
    max_leaves=6,
)


def test_text_that_no_file_can_hold_does_not_stop_the_log(lines: Any) -> None:
    get_logger().info("odd", text="a\udcff")
    assert lines()[0]["text"] == "a\udcff"


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.text(), ANYTHING, max_size=4))
def test_whatever_is_logged_can_be_rendered(event: dict[str, Any]) -> None:
    rendered = json.dumps(redaction.processor(None, "info", event))
    assert json.loads(rendered).keys() == event.keys()


def test_a_log_that_cannot_be_written_fails_nobody_and_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def write(self, _text: str) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        def flush(self) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    root = logging.getLogger()
    before = root.handlers[:], root.level
    configure_logging("binding", "INFO")
    lost = LOST._value.get()
    monkeypatch.setattr("sys.stdout", Full())
    get_logger().info("settled")
    logging.getLogger("grpc").warning("lost")
    monkeypatch.undo()
    structlog.reset_defaults()
    root.handlers, root.level = before
    assert LOST._value.get() >= lost + 2
