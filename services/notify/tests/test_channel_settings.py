"""Which adapter each channel has: what a file may say, and that nothing starts with one that cannot be used."""

import json
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from uuid import uuid4

import pytest
from structlog.testing import capture_logs
from support.gateways import Gateway, write_gateway_ring
from support.http_servers import HttpServer, answers, serving
from support.mail_servers import MailServer, receiving
from support.notify_environment import environment

from kit.config import ConfigurationError, describe, load
from kit.topics import catalogue
from notify.channels.policy import DEFAULTS
from notify.channels.port import Outgoing, UndeliveredError
from notify.channels.registry import Channels, ChannelSettings, channels_from
from notify.channels.settings import ChannelsUnusable, policy_of, read_channels
from notify.config import Settings
from notify.domain.channels import OUTSIDE, Channel
from notify.sources import short_forms
from notify.subscriber import TOPICS
from notify.testing import Postbox

GATEWAY = {"adapter": "gateway", "url": "https://gateway.test/v1/messages"}
MAIL = {"adapter": "smtp", "host": "mail.test", "port": 587, "sender": "家庭共济 <no-reply@gongji.test>"}
ROBOT = {"adapter": "robot"}


def written(folder: Path, content: Any) -> Path:
    path = folder / "channels.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return path


def settings(
    channels_file: Path | None = None, ring: Path | None = None, folder: Path | None = None
) -> ChannelSettings:
    stated = SimpleNamespace(
        environment="test", channels_file=channels_file, gateway_keyring_file=ring, sms_directory=folder
    )
    return cast("ChannelSettings", stated)


def outgoing(channel: Channel, address: str = "13999990000") -> Outgoing:
    return Outgoing(uuid4(), channel, "debit", "zh-CN", address, "标题", "正文", {"amount": "¥1.00"})


def test_without_a_file_no_channel_has_an_adapter() -> None:
    assert read_channels(None, "production") == {}
    assert channels_from(settings()).usable == frozenset()


async def test_what_has_no_adapter_says_so_for_good() -> None:
    for channel in OUTSIDE:
        with pytest.raises(UndeliveredError, match=f"no adapter is configured for {channel.value}") as refused:
            await channels_from(settings()).send(outgoing(channel))
        assert refused.value.is_final


async def test_each_message_goes_to_its_channels_adapter() -> None:
    boxes = {channel: Postbox() for channel in OUTSIDE}
    channels = Channels(boxes, DEFAULTS)
    for channel in OUTSIDE:
        await channels.send(outgoing(channel))
    assert {channel: [one.channel for one in box.sent] for channel, box in boxes.items()} == {
        channel: [channel] for channel in OUTSIDE
    }


async def test_locally_what_the_file_does_not_name_is_written_into_the_folder(tmp_path: Path) -> None:
    channels = channels_from(settings(folder=tmp_path))
    assert channels.usable == OUTSIDE
    sent = [outgoing(channel) for channel in sorted(OUTSIDE, key=lambda one: one.value)]
    for one in sent:
        await channels.send(one)
    files = {path.stem for path in tmp_path.iterdir()}  # noqa: ASYNC240 - nothing else runs
    assert files == {str(one.delivery_id) for one in sent}


async def test_what_the_file_names_goes_by_its_adapter_also_where_there_is_a_folder(tmp_path: Path) -> None:
    ring, folder = write_gateway_ring(tmp_path / "gateway-keyring.json"), tmp_path / "sms"
    folder.mkdir()
    gateway = Gateway(ring)
    async with serving(gateway):
        file = written(tmp_path, {"SMS": {"adapter": "gateway", "url": gateway.url}})
        channels = channels_from(settings(file, ring, folder))
        await channels.send(outgoing(Channel.SMS))
        await channels.close()
    assert channels.templates == {}  # it knows every text by its name
    assert (len(gateway.messages), list(folder.iterdir())) == (1, [])


async def test_gateway_mail_and_robots_are_made_as_the_file_says(tmp_path: Path) -> None:
    ring = write_gateway_ring(tmp_path / "gateway-keyring.json")
    gateway, robots, mail = Gateway(ring), HttpServer(answers(200, {"errcode": 0})), MailServer()
    async with serving(gateway), serving(robots), receiving(mail):
        file = written(
            tmp_path,
            {
                "SMS": {"adapter": "gateway", "url": gateway.url, "templates": {"debit": {"zh-CN": "SMS_7"}}},
                "EMAIL": MAIL | {"host": "127.0.0.1", "port": mail.port, "security": "none"},
                "WECOM": {"adapter": "robot", "url": robots.origin},
            },
        )
        channels = channels_from(settings(file, ring))
        assert channels.usable == {Channel.SMS, Channel.EMAIL, Channel.WECOM}
        assert channels.templates == {Channel.SMS: {"debit": {"zh-CN": "SMS_7"}}}
        await channels.send(outgoing(Channel.SMS))
        await channels.send(outgoing(Channel.EMAIL, "a@b.cn"))
        await channels.send(outgoing(Channel.WECOM, "0f3a9c1e-2b4d"))
        await channels.close()
        assert [one["template_id"] for one in gateway.messages.values()] == ["SMS_7"]
        assert (len(mail.mails), len(robots.received)) == (1, 1)


def test_a_policy_is_the_channels_default_where_nothing_else_is_stated(tmp_path: Path) -> None:
    file = written(tmp_path, {"EMAIL": MAIL | {"policy": {"attempts": 3, "most_a_day": 5}}, "WECOM": ROBOT})
    stated = read_channels(file, "production")
    assert policy_of(Channel.SMS, stated.get(Channel.SMS)) == DEFAULTS[Channel.SMS]
    assert policy_of(Channel.WECOM, stated[Channel.WECOM]) == DEFAULTS[Channel.WECOM]
    assert policy_of(Channel.EMAIL, stated[Channel.EMAIL]) == DEFAULTS[Channel.EMAIL].model_copy(
        update={"attempts": 3, "most_a_day": 5}
    )


def told_of(folder: Path, templates: dict[str, dict[str, str]]) -> list[dict[str, Any]]:
    ring = write_gateway_ring(folder / "gateway-keyring.json")
    with capture_logs() as lines:
        channels_from(settings(written(folder, {"SMS": GATEWAY | {"templates": templates}}), ring))
    return [dict(line) for line in lines]


def test_a_text_without_a_template_is_told_of_at_start_and_so_is_a_template_without_a_text(tmp_path: Path) -> None:
    templates = {name: {"zh-CN": f"SMS_{name}", "en": f"SMS_{name}_EN"} for name in short_forms()}
    assert told_of(tmp_path, templates) == []
    assert told_of(tmp_path, {}) == []  # the gateway knows texts by our names
    templates["debit-family"] = {"en": "SMS_1"}
    templates["debit-own"] = {"zh-CN": "SMS_3"}
    templates["debit-familly"] = {"zh-CN": "SMS_2"}
    (line,) = told_of(tmp_path, templates)
    assert line["channel"] == "SMS"
    assert line["missing"] == {"zh-CN": ["debit-family"], "en": ["debit-own"]}
    assert line["strange"] == ["debit-familly"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "Invalid JSON"),
        ("[]", "should be an object"),
        ({"PIGEON": GATEWAY}, "PIGEON"),
        ({"INBOX": GATEWAY}, "INBOX does not go by gateway"),
        ({"SMS": MAIL}, "SMS does not go by smtp"),
        ({"EMAIL": ROBOT}, "EMAIL does not go by robot"),
        ({"WECOM": GATEWAY}, "WECOM does not go by gateway"),
        ({"SMS": {"url": "https://x/"}}, "adapter"),
        ({"SMS": {"adapter": "pigeon"}}, "adapter"),
        ({"SMS": {"adapter": "gateway"}}, "url"),
        ({"SMS": GATEWAY | {"url": "ftp://x/"}}, "url"),
        ({"SMS": GATEWAY | {"url": "https:///x"}}, "url"),
        ({"SMS": GATEWAY | {"url": "https://x/?key=1"}}, "url"),
        ({"SMS": GATEWAY | {"url": "https://me:pw@x/"}}, "url"),
        ({"SMS": GATEWAY | {"retries": 3}}, "retries"),
        ({"SMS": GATEWAY | {"templates": {"debit": "SMS_7"}}}, "templates"),
        ({"SMS": GATEWAY | {"policy": {"attempts": 0}}}, "SMS.policy: attempts"),
        ({"SMS": GATEWAY | {"policy": {"tries": 3}}}, "SMS.policy: tries"),
        ({"SMS": GATEWAY | {"policy": {"first_wait_seconds": 3600, "most_wait_seconds": 1}}}, "most_wait_seconds"),
        ({"SMS": GATEWAY | {"ca_file": "/gone.crt"}}, "ca_file"),
        ({"EMAIL": MAIL | {"port": 0}}, "port"),
        ({"EMAIL": MAIL | {"sender": "nobody"}}, "sender"),
        ({"EMAIL": MAIL | {"sender": "a@b.cn\r\nBcc: c@d.cn"}}, "sender"),
        ({"EMAIL": MAIL | {"security": "some"}}, "security"),
        ({"EMAIL": MAIL | {"password_file": "/gone"}}, "password_file"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_by_name(tmp_path: Path, content: Any, told: str) -> None:
    with pytest.raises(ChannelsUnusable, match=told) as refused:
        read_channels(written(tmp_path, content), "test")
    assert "me:pw" not in str(refused.value)


PLAIN = [
    {"SMS": GATEWAY | {"url": "http://gateway.test/v1/messages"}},
    {"EMAIL": MAIL | {"security": "none"}},
    {"WECOM": ROBOT | {"url": "http://robots.test/"}},
]


@pytest.mark.parametrize("content", PLAIN)
@pytest.mark.parametrize("where", ["sandbox", "production"])
def test_where_people_are_real_every_channel_is_encrypted(tmp_path: Path, content: Any, where: str) -> None:
    file = written(tmp_path, content)
    with pytest.raises(ChannelsUnusable, match="must be encrypted in sandbox and production"):
        read_channels(file, where)
    for allowed in ("local", "test"):
        read_channels(file, allowed)


def loaded(folder: Path, **more: Path | str) -> Settings:
    return load(Settings, environment(folder, "test", "gongji-local", **more))


def test_a_gateway_needs_keys_to_sign_with(tmp_path: Path) -> None:
    file = written(tmp_path, {"SMS": GATEWAY})
    with pytest.raises(ConfigurationError, match="GONGJI_GATEWAY_KEYRING_FILE is required"):
        loaded(tmp_path, CHANNELS_FILE=file)
    ring = write_gateway_ring(tmp_path / "gateway-keyring.json")
    assert loaded(tmp_path, CHANNELS_FILE=file, GATEWAY_KEYRING_FILE=ring).channels_file == file


def test_receipts_need_keys_to_be_believed_by(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="GONGJI_CALLBACK_ADDRESS goes with GONGJI_GATEWAY_KEYRING_FILE"):
        loaded(tmp_path, CALLBACK_ADDRESS="127.0.0.1:0")
    ring = write_gateway_ring(tmp_path / "gateway-keyring.json")
    stated = loaded(tmp_path, CALLBACK_ADDRESS="127.0.0.1:0", GATEWAY_KEYRING_FILE=ring)
    assert stated.callback_address == "127.0.0.1:0"


def test_the_process_does_not_start_with_a_file_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="GONGJI_CHANNELS_FILE is wrong") as refused:
        loaded(tmp_path, CHANNELS_FILE=written(tmp_path, {"SMS": MAIL}))
    assert len(refused.value.problems) == 1


def test_the_effective_settings_show_paths_and_no_key(tmp_path: Path) -> None:
    ring = write_gateway_ring(tmp_path / "gateway-keyring.json")
    shown = describe(loaded(tmp_path, CHANNELS_FILE=written(tmp_path, {"SMS": GATEWAY}), GATEWAY_KEYRING_FILE=ring))
    assert f"GONGJI_GATEWAY_KEYRING_FILE={ring}" in shown
    assert json.loads(ring.read_text())["keys"]["g1"]["key"] not in shown


def test_an_ended_delivery_outlives_its_event_in_the_topics(tmp_path: Path) -> None:
    longest = max(catalogue().topic(name).retention_hours for name in TOPICS) // 24
    assert loaded(tmp_path).delivery_keep > timedelta(days=longest)
    assert loaded(tmp_path, DELIVERY_KEEP_DAYS=str(longest + 1)).delivery_keep == timedelta(days=longest + 1)
    told = f"GONGJI_DELIVERY_KEEP_DAYS must be more than the {longest} days that events stay in the topics"
    with pytest.raises(ConfigurationError, match=told):
        loaded(tmp_path, DELIVERY_KEEP_DAYS=str(longest))
