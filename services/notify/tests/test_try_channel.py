"""Whoever connects a channel sees what it answers, without waiting for somebody to be told something."""

import asyncio
import json
from pathlib import Path

import pytest
from support.gateways import Gateway, write_gateway_ring
from support.http_servers import answers, serving
from support.notify_environment import environment
from typer.testing import CliRunner

from notify.cli import app

TEL = "13999990000"


def run(arguments: tuple[str, ...], stated: dict[str, str]) -> tuple[int, str]:
    result = CliRunner().invoke(app, ("try-channel", *arguments), env=stated)
    return result.exit_code, result.output


async def tried(folder: Path, gateway: Gateway, *arguments: str) -> tuple[int, str]:
    file = folder / "channels.json"
    file.write_text(json.dumps({"SMS": {"adapter": "gateway", "url": gateway.url}}), encoding="utf-8")
    stated = environment(folder, CHANNELS_FILE=file, GATEWAY_KEYRING_FILE=folder / "gateway-keyring.json")
    return await asyncio.to_thread(run, arguments, stated)


@pytest.fixture
def gateway(tmp_path: Path) -> Gateway:
    return Gateway(write_gateway_ring(tmp_path / "gateway-keyring.json"))


async def test_a_made_up_text_goes_to_the_address_and_the_answer_is_told(tmp_path: Path, gateway: Gateway) -> None:
    async with serving(gateway):
        status, printed = await tried(tmp_path, gateway, "SMS", TEL, "--text", "debit-family")
    (message,) = gateway.messages.values()
    assert (message["to"], message["template_id"]) == (TEL, "debit-family")
    assert (status, printed) == (0, f"✓ SMS: taken as gw-{message['delivery_id']}; a receipt will come\n")


async def test_a_refusal_is_told_with_whether_it_is_for_good(tmp_path: Path, gateway: Gateway) -> None:
    gateway.behave(answers(422, {"code": "ADDRESS_INVALID"}), answers(500))
    async with serving(gateway):
        told = [await tried(tmp_path, gateway, "SMS", TEL) for _ in range(2)]
    assert told == [
        (1, "✗ SMS: refused with 422 ADDRESS_INVALID; it would never go out\n"),
        (1, "✗ SMS: answered 500; it would be tried again\n"),
    ]


@pytest.mark.parametrize("channel", ["EMAIL", "WECOM"])
def test_a_channel_without_an_adapter_says_so(tmp_path: Path, channel: str) -> None:
    status, printed = run((channel, "a@b.cn"), environment(tmp_path))
    assert (status, printed) == (1, f"✗ {channel}: no adapter is configured for {channel}; it would never go out\n")


@pytest.mark.parametrize("option", [("--text", "debit-familly"), ("--language", "ug")])
def test_a_text_that_is_not_there_is_named(tmp_path: Path, option: tuple[str, str]) -> None:
    status, printed = run(("SMS", TEL, *option), environment(tmp_path))
    assert status == 2
    assert option[1] in printed


def test_the_inbox_needs_no_trying(tmp_path: Path) -> None:
    status, printed = run(("INBOX", TEL), environment(tmp_path))
    assert status == 2
    assert "needs no adapter" in printed
