"""Whom the brokers refuse says so in a line, stays alive, and goes on by itself once it is let in."""

import asyncio
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import psutil
import pytest
from support.commands import in_this_process
from support.families import Families
from support.rights import until, without
from support.service_log import ServiceLog

from gongji_local import certificates
from gongji_local.certificates import CertificateFiles, Certificates
from gongji_local.clock import real_now, wait_until
from gongji_local.errors import StackError
from gongji_local.readiness import Probe, ask
from gongji_local.stack import Stack
from kit.kafka_acls import Acl, ensure_acls
from kit.kafka_client import KafkaAddress

WAIT_SECONDS = 90.0
REFUSED = "Kafka refuses this service"


def probe(stack: Stack, service: str) -> Probe:
    return ask(int(stack.info.services[service].http_address.rpartition(":")[2]))


@contextmanager
def starting(stack: Stack, service: str, **changed: str | Path) -> Iterator[list[StackError]]:
    """The service is started again with these settings, in the background: it may not become ready by itself."""
    stack.stop_service(service)
    failed: list[StackError] = []

    def start() -> None:
        try:
            stack.start_service(service, {f"GONGJI_{name}": str(value) for name, value in changed.items()})
        except StackError as error:
            failed.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    try:
        yield failed
    finally:
        thread.join(WAIT_SECONDS)
        assert not thread.is_alive()


def refused(stack: Stack, service: str, *whys: str) -> Callable[[], bool]:
    def is_so() -> bool:
        told = probe(stack, service)
        return not told.ready and all(why in told.why for why in whys)

    return is_so


NEEDED = {
    "no ACL allows CN=notify to WRITE topic notify-events-v1": Acl("User:notify", "topic", "notify-events-v1", "Write"),
    "no ACL allows CN=notify to READ topic account-events-v1": Acl("User:notify", "topic", "account-events-v1", "Read"),
    "no ACL allows CN=notify to READ group notify-webhooks": Acl("User:notify", "group", "notify-webhooks", "Read"),
    "no ACL allows CN=notify to WRITE topic binding-events-v1-dlq": Acl(
        "User:notify", "topic", "binding-events-v1-dlq", "Write"
    ),
}


async def test_who_is_refused_at_its_start_is_not_ready_says_each_right_once_and_needs_no_restart(
    stack: Stack, admin: KafkaAddress
) -> None:
    log = ServiceLog(stack, "notify")
    async with without(admin, *NEEDED.values()):
        with starting(stack, "notify") as failed:
            assert await asyncio.to_thread(wait_until, refused(stack, "notify", *NEEDED), WAIT_SECONDS)
            pid = stack.info.services["notify"].pid
            checked = await asyncio.to_thread(in_this_process, stack, "notify", "config", "--check")
            assert checked.returncode == 1
            faults = {line for line in checked.stdout.splitlines() if line.startswith("✗")}
            assert faults == {re.sub(r"(no ACL .*) ((?:topic|group) \S+)$", r"✗ \2: \1", line) for line in NEEDED}
            assert sorted(line["why"] for line in log.lines(REFUSED)) == sorted(NEEDED)
            await ensure_acls(admin)
    assert failed == []  # it became ready
    assert stack.info.services["notify"].pid == pid
    assert sorted(line["why"] for line in log.lines(REFUSED)) == sorted(NEEDED)
    assert len(log.lines("Kafka lets this service in")) == 1


async def test_a_relay_that_may_no_longer_write_tells_it_calls_go_on_and_nothing_is_lost(
    stack: Stack, families: Families, admin: KafkaAddress
) -> None:
    family = await families.make({"father": 10_000})
    await family.quiet()
    log = ServiceLog(stack, "settlement")
    line = "no ACL allows CN=settlement to WRITE topic account-events-v1"
    async with without(admin, Acl("User:settlement", "topic", "account-events-v1", "Write")):
        await family.settle("child", 1_000)

        async def told() -> bool:
            return any(line in each.get("why", "") for each in log.lines("outbox relay stopped and begins again"))

        await until(told)
        await family.settle("child", 1_000)
        assert probe(stack, "settlement").ready
    before = len(await family.world.portal("father").messages())
    await family.quiet()
    assert await family.balance("father") == 8_000
    assert len(await family.world.portal("father").messages()) >= max(before, 2)
    failures = log.lines("outbox relay stopped and begins again")
    assert {each["error"] for each in failures} == {"TopicAuthorizationFailedError"}
    assert [each["failures"] for each in failures] == sorted(each["failures"] for each in failures)


@pytest.mark.parametrize(
    ("acl", "line"),
    [
        (Acl("User:binding", "topic", "settlement-events-v1", "Read"), "CN=binding to READ topic settlement-events-v1"),
        (Acl("User:binding", "group", "binding", "Read"), "CN=binding to READ group binding"),
    ],
)
async def test_a_consumer_that_may_no_longer_read_is_degraded_and_goes_on_when_it_may(
    stack: Stack, families: Families, admin: KafkaAddress, acl: Acl, line: str
) -> None:
    family = await families.make({"father": 10_000})
    await family.quiet()
    log = ServiceLog(stack, "binding")
    async with without(admin, acl):
        await family.settle("child", 1_000)

        async def told() -> bool:
            return f"no ACL allows {line}" in probe(stack, "binding").warning

        await until(told)
        assert probe(stack, "binding").ready
        said = log.lines("Kafka refuses to be read")
        assert {f"no ACL allows {line}"} == {each["why"] for each in said}
    await family.quiet()
    assert (await family.use("father", "child"))["YEAR"] == (1_000, 0)

    async def well() -> bool:
        return probe(stack, "binding").well

    await until(well)


@pytest.fixture
def ended(stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CertificateFiles:
    """A certificate of identity for Kafka whose time is over."""
    issuing = Certificates(stack.folder.tls).kafka
    monkeypatch.setattr(certificates, "real_now", lambda: real_now() - timedelta(days=400))
    return issuing.issue("kafka/identity", CertificateFiles(tmp_path / "old.pem", tmp_path / "old.key"), server=False)


async def test_a_certificate_of_another_ca_keeps_a_process_unready_and_alive_and_costs_a_line(stack: Stack) -> None:
    log = ServiceLog(stack, "identity")
    told = "does not accept this service's certificate, CN=identity by CN=gongji-local services, good until"
    own = stack.service_tls("identity")  # for calls: Kafka does not believe who signed it
    with starting(stack, "identity", KAFKA_CERT_FILE=own.cert, KAFKA_KEY_FILE=own.key) as failed:
        assert await asyncio.to_thread(wait_until, refused(stack, "identity", told), WAIT_SECONDS)
        assert psutil.pid_exists(stack.info.services["identity"].pid or 0)
        assert len(log.lines(REFUSED)) == 1
        await asyncio.to_thread(stack.kill_service, "identity")
    assert len(failed) == 1
    with starting(stack, "identity"):
        pass
    assert probe(stack, "identity").well


async def test_a_certificate_that_ended_is_told_by_the_check_and_keeps_the_process_from_starting(
    stack: Stack, ended: CertificateFiles
) -> None:
    changed = {"KAFKA_CERT_FILE": ended.cert, "KAFKA_KEY_FILE": ended.key}
    with starting(stack, "identity", **changed) as failed:
        pass
    (error,) = failed
    assert f"GONGJI_KAFKA_CERT_FILE: {ended.cert} " in str(error)
    assert "was good from" in str(error)
    with starting(stack, "identity"):
        pass
    assert probe(stack, "identity").well
    environment = {f"GONGJI_{name}": str(value) for name, value in changed.items()}
    checked = await asyncio.to_thread(
        lambda: stack.run_command("identity", "config", "--check", environment=environment)
    )
    assert checked.returncode == 1
    faults = [line for line in checked.stdout.splitlines() if line.startswith("✗")]
    assert len(faults) == 2
    assert faults[0].startswith(f"✗ GONGJI_KAFKA_CERT_FILE: {ended.cert} ")
    assert "does not accept this service's certificate, CN=identity by CN=gongji-local kafka, which ended" in faults[1]


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (("KAFKA_CA_FILE",), "shows a certificate that GONGJI_KAFKA_CA_FILE does not vouch for"),
        (("KAFKA_CA_FILE", "KAFKA_CERT_FILE", "KAFKA_KEY_FILE"), "wants TLS, and this service speaks plain text"),
    ],
)
async def test_another_ca_and_plain_text_are_told_in_a_line(stack: Stack, changed: tuple[str, ...], told: str) -> None:
    other = str(stack.info.service_ca_file) if len(changed) == 1 else ""
    environment = {f"GONGJI_{name}": other for name in changed}
    checked = await asyncio.to_thread(
        lambda: stack.run_command("binding", "config", "--check", environment=environment)
    )
    assert checked.returncode == 1
    (fault,) = (line for line in checked.stdout.splitlines() if line.startswith("✗"))
    assert fault.startswith(f"✗ Kafka: {stack.info.kafka_bootstrap} {told}")
