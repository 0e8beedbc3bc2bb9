"""One-time codes: each goes to its telephone once, none after it ran out, and no log shows one."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from google.protobuf import json_format
from prometheus_client import REGISTRY
from structlog.testing import capture_logs
from support.notify_environment import environment

from gongji.identity.events.v1 import events_pb2
from kit.clock import FixedClock
from kit.config import ConfigurationError, load
from kit.crypto import KeyRing
from kit.db import Work
from kit.events import Envelope
from kit.testing import MemoryWork, eventually
from notify.channels.files import FileAdapter, NoAdapter
from notify.channels.guarded import LeftAloneError
from notify.channels.log import LogChannel
from notify.channels.port import Accepted, Adapter, Outgoing, UndeliveredError
from notify.code_codec import CodeOpener
from notify.codec import IncompleteEventError
from notify.codes import CodeService
from notify.config import Settings
from notify.domain.channels import Channel
from notify.domain.codes import IssuedCode, Purpose, is_stale
from notify.memory import MemoryRepository
from notify.rendering import Texts
from notify.repository import Repository
from notify.service import MessageService
from notify.subscriber import UNTOLD, Subscriber
from notify.testing import TEXTS, Postbox, code_ring, keyring

GOLDEN = Path(__file__).resolve().parents[3] / "protos/examples/gongji.identity.events.v1.VerificationCodeIssued.json"
TEL, CODE = "13999990000", "042917"
EXPIRES_AT = datetime(2025, 6, 10, 2, 5, tzinfo=UTC)
SMS_ID = UUID("0197548e-7a00-7000-8000-000000000021")


def golden(**changed: Any) -> events_pb2.VerificationCodeIssued:
    event = events_pb2.VerificationCodeIssued()
    json_format.Parse(GOLDEN.read_text(encoding="utf-8"), event)
    for name, value in changed.items():
        setattr(event, name, value)
    return event


def envelope(message: Any = None, event_id: UUID | None = None) -> Envelope:
    message = message or golden()
    return Envelope(
        id=event_id or uuid4(),
        type=message.DESCRIPTOR.full_name,
        source="/gongji/identity",
        subject="s",
        time=EXPIRES_AT - timedelta(minutes=5),
        sequence=1,
        traceparent=None,
        epoch=0,
        message=message,
        topic="identity-events-v1",
        partition=0,
        offset=0,
        key="k",
    )


class Bench:
    """The subscriber with a channel that remembers and a clock that a test moves."""

    def __init__(
        self,
        work: Work[Repository] | None = None,
        adapter: Adapter | None = None,
        ring: KeyRing | None = None,
        texts: Texts = TEXTS,
    ) -> None:
        self.repository = MemoryRepository()
        self.work: Work[Repository] = work or MemoryWork(self.repository)
        self.box = Postbox()
        self.clock = FixedClock(EXPIRES_AT - timedelta(minutes=5))
        self.codes = CodeService(self.work, adapter or self.box, self.clock, texts, most_waiting=3)
        self.take_in = Subscriber(
            MessageService(self.work, LogChannel(), TEXTS), self.codes, CodeOpener(ring or code_ring())
        )

    async def handle(self, envelopes: Sequence[Envelope]) -> None:
        await self.take_in(envelopes)
        await self.codes.send_waiting()


async def test_the_code_goes_to_the_telephone_on_file(backend: Work[Repository]) -> None:
    bench = Bench(backend)
    await bench.handle([envelope()])
    (sent,) = bench.box.sent
    assert (sent.delivery_id, sent.channel, sent.address) == (SMS_ID, Channel.SMS, TEL)
    assert sent.body == (
        "【家庭共济】您的实名注册验证码为042917，2025年6月10日10:05前有效。请勿告知任何人；如非本人操作，请不予理会。"
    )
    assert sent.template == "verification-code"
    assert list(sent.params.items()) == [("purpose", "实名注册"), ("code", CODE), ("until", "2025年6月10日10:05")]


async def test_the_code_is_told_in_the_language_that_its_owner_chose(backend: Work[Repository]) -> None:
    bench = Bench(backend)
    async with backend() as repository:
        await repository.save_settings(envelope().message.psn_no, "en", None)  # type: ignore[attr-defined]
    await bench.handle([envelope()])
    (sent,) = bench.box.sent
    assert sent.language == "en"
    assert sent.body.startswith(
        f"[Family mutual aid] Your code for registration is {CODE}, valid until 10 June 2025, 10:05."
    )
    assert sent.params == {"purpose": "registration", "code": CODE, "until": "10 June 2025, 10:05"}


async def test_a_code_that_the_gateway_cannot_say_in_the_owners_language_is_told_in_chinese() -> None:
    bench = Bench(texts=Texts(gateways={Channel.SMS: {"verification-code": {"zh-CN": "SMS_100"}}}))
    async with bench.work() as repository:
        await repository.save_settings(envelope().message.psn_no, "en", None)  # type: ignore[attr-defined]
    await bench.handle([envelope()])
    (sent,) = bench.box.sent
    assert (sent.language, sent.params["purpose"]) == ("zh-CN", "实名注册")


async def test_an_event_that_comes_again_sends_no_second_code(backend: Work[Repository]) -> None:
    bench, event = Bench(backend), envelope()
    await bench.handle([event, event])
    await bench.handle([event])
    assert len(bench.box.sent) == 1


@pytest.mark.parametrize("late", [timedelta(0), timedelta(days=30)])
async def test_a_code_that_ran_out_is_never_sent(late: timedelta) -> None:
    bench = Bench()
    bench.clock.set(EXPIRES_AT + late)
    await bench.handle([envelope()])
    assert bench.box.sent == []


async def test_a_moment_before_its_end_a_code_is_sent() -> None:
    bench = Bench()
    bench.clock.set(EXPIRES_AT - timedelta(microseconds=1))
    await bench.handle([envelope()])
    assert len(bench.box.sent) == 1


async def test_a_code_that_ran_out_needs_no_key_any_more() -> None:
    bench = Bench(ring=keyring())
    bench.clock.set(EXPIRES_AT)
    await bench.handle([envelope()])
    bench.clock.set(EXPIRES_AT - timedelta(minutes=1))
    with pytest.raises(IncompleteEventError):
        await bench.handle([envelope()])


@pytest.mark.parametrize(
    "changed",
    [
        {"psn_no": "65270000000000000002"},
        {"verification_id": "0197548e-7a00-7000-8000-000000000022"},
        {"verification_id": "no uuid"},
        {"purpose": events_pb2.VERIFICATION_PURPOSE_UNSPECIFIED},
        {"sealed": b""},
        {"sealed": golden().sealed[:-1] + b"x"},
    ],
)
async def test_a_code_in_another_event_or_changed_does_not_open_and_is_not_taken_in(changed: dict[str, Any]) -> None:
    bench = Bench()
    with pytest.raises(IncompleteEventError):
        await bench.handle([envelope(golden(**changed))])
    assert bench.repository.inbox.taken == set()


async def test_a_later_end_than_identity_set_does_not_open() -> None:
    bench, event = Bench(), golden()
    event.expires_at.seconds += 3600
    with pytest.raises(IncompleteEventError):
        await bench.handle([envelope(event)])


async def test_a_message_service_that_fails_holds_up_nobody_and_gets_the_code_once() -> None:
    bench, event = Bench(), envelope()
    bench.box.failure = UndeliveredError("the gateway is away", is_final=False)
    with capture_logs() as lines:
        await bench.handle([event])
    assert [line["log_level"] for line in lines] == ["error", "info"]
    assert CODE not in repr(lines)
    assert TEL not in repr(lines)
    bench.box.failure = None
    await bench.handle([event])
    assert bench.box.sent == []


class Slow:
    """A gateway that answers nobody until it is let."""

    def __init__(self) -> None:
        self.asked: list[Outgoing] = []
        self.answers = asyncio.Event()

    async def send(self, outgoing: Outgoing) -> Accepted:
        self.asked.append(outgoing)
        await self.answers.wait()
        return Accepted(None, awaits_receipt=False)


@asynccontextmanager
async def running(bench: Bench) -> AsyncIterator[None]:
    """With the sender in the background."""
    task = asyncio.create_task(bench.codes.run())
    yield
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_a_gateway_that_never_answers_holds_up_no_event() -> None:
    gateway = Slow()
    bench = Bench(adapter=gateway)
    async with running(bench):
        for number in range(1, 4):
            async with asyncio.timeout(5):
                await bench.take_in([envelope()])
            await eventually(lambda number=number: len(gateway.asked) == number)  # type: ignore[misc]
        gateway.answers.set()


async def test_beyond_so_many_that_wait_codes_are_dropped_and_the_log_says_so() -> None:
    bench = Bench()
    with capture_logs() as lines:
        await bench.take_in([envelope() for _ in range(5)])
    assert [line["why"] for line in lines if line["log_level"] == "error"] == ["too many wait"] * 2
    await bench.codes.send_waiting()
    assert len(bench.box.sent) == 3


class Faulty(Postbox):
    """Fails at its first message as no adapter should."""

    async def send(self, outgoing: Outgoing) -> Accepted:
        if not self.sent:
            self.sent.append(outgoing)
            raise ZeroDivisionError(CODE)
        return await super().send(outgoing)


async def test_a_fault_costs_one_code_and_none_of_those_behind_it() -> None:
    box = Faulty()
    bench = Bench(adapter=box)
    with capture_logs() as lines:
        await bench.handle([envelope(), envelope()])
    assert len(box.sent) == 2
    assert [line["outcome"] for line in lines if "outcome" in line] == ["UNDELIVERED", "SENT"]
    assert "ZeroDivisionError" in repr(lines)
    assert CODE not in repr(lines)


async def test_a_code_that_nobody_tried_is_sent_when_the_gateway_is_left_alone_no_more() -> None:
    bench = Bench()
    bench.box.failure = LeftAloneError("resting", is_final=False, retry_after_seconds=0.01)
    async with running(bench):
        await bench.take_in([envelope()])
        await asyncio.sleep(0)
        bench.box.failure = None
        await eventually(lambda: len(bench.box.sent) == 1)


async def test_a_code_that_nobody_tried_ends_with_its_time() -> None:
    bench = Bench()
    bench.box.failure = LeftAloneError("resting", is_final=False, retry_after_seconds=0.01)
    with capture_logs() as lines:
        async with running(bench):
            await bench.take_in([envelope()])
            bench.clock.set(EXPIRES_AT)
            await eventually(lambda: any(line.get("outcome") == "STALE" for line in lines))
    assert bench.box.sent == []


async def test_what_waits_when_the_process_stops_is_still_sent() -> None:
    gateway = Slow()
    bench = Bench(adapter=gateway)
    async with running(bench):
        await bench.take_in([envelope()])
        await eventually(lambda: len(gateway.asked) == 1)
        await bench.take_in([envelope() for _ in range(3)])
        asyncio.get_running_loop().call_later(0.05, gateway.answers.set)
    assert len(gateway.asked) == 4


async def test_nothing_is_sent_that_was_not_taken_in() -> None:
    work = MemoryWork(MemoryRepository())
    bench, event = Bench(work), envelope()
    work.fail_next_commit(ConnectionError())
    with pytest.raises(ConnectionError):
        await bench.handle([event])
    assert bench.box.sent == []
    await bench.handle([event])
    assert len(bench.box.sent) == 1


async def test_the_log_tells_what_became_of_a_code_and_not_which() -> None:
    bench = Bench()
    with capture_logs() as lines:
        await bench.handle([envelope()])
    (line,) = lines
    assert (line["outcome"], line["verification_id"], line["psn_no"]) == ("SENT", str(SMS_ID), golden().psn_no)
    assert CODE not in repr(lines)
    assert TEL not in repr(lines)


async def test_outcomes_are_counted() -> None:
    def count(outcome: str) -> float:
        return REGISTRY.get_sample_value("gongji_notify_codes_total", {"outcome": outcome}) or 0.0

    before = {outcome: count(outcome) for outcome in ("SENT", "STALE", "UNDELIVERED")}
    bench = Bench()
    await bench.handle([envelope()])
    bench.box.failure = UndeliveredError("the gateway is away", is_final=False)
    await bench.handle([envelope()])
    bench.clock.set(EXPIRES_AT)
    await bench.handle([envelope()])
    assert {outcome: count(outcome) - before[outcome] for outcome in before} == dict.fromkeys(before, 1.0)


@pytest.mark.parametrize("full_name", sorted(UNTOLD))
async def test_what_nobody_is_told_of_leaves_no_trace(full_name: str) -> None:
    bench = Bench()
    await bench.handle([envelope(getattr(events_pb2, full_name.rpartition(".")[2])())])
    assert (bench.repository.inbox.taken, bench.repository.messages, bench.box.sent) == (set(), [], [])


def test_what_is_printed_of_a_code_shows_neither_telephone_nor_code() -> None:
    issued = IssuedCode(SMS_ID, "P1", Purpose.OTHER, EXPIRES_AT, TEL, CODE)
    for printed in (repr(issued), repr(outgoing("您的验证码为" + CODE))):
        assert TEL not in printed
        assert CODE not in printed
    assert is_stale(issued.expires_at, EXPIRES_AT)


def outgoing(body: str) -> Outgoing:
    return Outgoing(SMS_ID, Channel.SMS, "verification-code", "zh-CN", TEL, "", body, {"code": CODE})


def test_the_folder_gets_one_private_file_a_message(tmp_path: Path) -> None:
    adapter = FileAdapter(tmp_path)
    for text in ("first", "again"):
        asyncio.run(adapter.send(outgoing(text)))
    (path,) = tmp_path.iterdir()
    assert path.name == f"{SMS_ID}.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert json.loads(path.read_text(encoding="utf-8")) == {
        "delivery_id": str(SMS_ID),
        "channel": "SMS",
        "address": TEL,
        "title": "",
        "body": "again",
        "template": "verification-code",
        "language": "zh-CN",
        "params": {"code": CODE},
    }


async def test_a_folder_that_is_gone_is_a_message_that_did_not_go_out(tmp_path: Path) -> None:
    with pytest.raises(UndeliveredError) as refused:
        await FileAdapter(tmp_path / "gone").send(outgoing("text"))
    assert not refused.value.is_final


async def test_without_an_adapter_the_log_says_that_a_code_was_not_sent() -> None:
    bench = Bench(adapter=NoAdapter())
    with capture_logs() as lines:
        await bench.handle([envelope()])
    assert "no adapter is configured for SMS" in repr(lines)
    assert CODE not in repr(lines)
    assert TEL not in repr(lines)


@pytest.mark.parametrize("where", ["local", "test"])
def test_messages_may_go_to_a_folder_where_nobody_is_real(tmp_path: Path, where: str) -> None:
    assert load(Settings, environment(tmp_path, where, SMS_DIRECTORY=tmp_path)).sms_directory == tmp_path


@pytest.mark.parametrize(("where", "domain"), [("sandbox", "gongji-sandbox"), ("production", "gongji")])
def test_messages_go_to_no_folder_elsewhere(tmp_path: Path, where: str, domain: str) -> None:
    with pytest.raises(ConfigurationError, match="SMS_DIRECTORY must not be set in sandbox and production") as refused:
        load(Settings, environment(tmp_path, where, domain, SMS_DIRECTORY=tmp_path))
    assert len(refused.value.problems) == 1


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"SMS_DIRECTORY names .* not a folder"):
        load(Settings, environment(tmp_path, SMS_DIRECTORY=tmp_path / "gone"))


def test_an_issued_code_keeps_what_the_event_says() -> None:
    issued = CodeOpener(code_ring())(golden())
    assert issued == IssuedCode(SMS_ID, "65270000000000000001", Purpose.REGISTRATION, EXPIRES_AT, TEL, CODE)
    assert replace(issued, code="1") != issued
