"""What the log says of deliveries."""

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from kit.observability import configure_logging
from notify.channels.log import LogChannel
from notify.testing import message


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    root.handlers, root.level = before


async def lines_at(level: str, capsys: pytest.CaptureFixture[str], *psn_nos: str) -> list[dict[str, Any]]:
    configure_logging("notify", level)
    await LogChannel().deliver([message(psn_no) for psn_no in psn_nos])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return [line for line in lines if "channel" in line]


async def test_a_batch_is_one_line_that_counts(capsys: pytest.CaptureFixture[str]) -> None:
    (line,) = await lines_at("INFO", capsys, "1001", "1002")
    assert line["event"] == "messages delivered"
    assert line["messages"] == 2
    assert line["titles"] == {"个人账户入账提醒": 2}


async def test_a_batch_without_messages_is_not_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert await lines_at("DEBUG", capsys) == []


async def test_whoever_wants_each_message_reads_it_at_debug_without_its_body(
    capsys: pytest.CaptureFixture[str],
) -> None:
    _, *each = lines = await lines_at("DEBUG", capsys, "1001", "1002")
    assert [line["psn_no"] for line in each] == ["1001", "1002"]
    assert all(line["title"] and line["message_id"] and line["event_id"] for line in each)
    assert "正文" not in json.dumps(lines, ensure_ascii=False)
