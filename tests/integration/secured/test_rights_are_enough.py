"""What `make k8s-topics` and `python -m kit acls create` give is enough for everything, and no more than needed."""

import asyncio
import io
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import pytest
from aiokafka import TopicPartition  # type: ignore[import-untyped]
from aiokafka.admin import AIOKafkaAdminClient  # type: ignore[import-untyped]
from aiokafka.errors import (  # type: ignore[import-untyped]
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    TopicAuthorizationFailedError,
)
from rich.console import Console
from support.commands import in_this_process
from support.rights import given, taken, until, without
from support.service_log import ServiceLog
from typer.testing import CliRunner, Result

from gongji_local.demo import play
from gongji_local.services import SERVICES
from gongji_local.stack import Stack
from kit.__main__ import app
from kit.kafka_acls import Acl
from kit.kafka_client import KafkaAddress, client_options, new_consumer, new_producer, started
from kit.topic_access import CHECKER, Access, access_of
from kit.topic_admin import shapes
from kit.topics import catalogue

REFUSALS = (TopicAuthorizationFailedError, ClusterAuthorizationFailedError, GroupAuthorizationFailedError)


def user(stack: Stack, name: str) -> KafkaAddress:
    """How a user reaches Kafka."""
    tls = stack.kafka_tls(name)
    return KafkaAddress(stack.info.kafka_bootstrap, tls.ca, tls.cert, tls.key)


def kit(who: KafkaAddress, *arguments: str) -> Result:
    """`python -m kit …` as this user; in a thread, because it has an event loop of its own."""
    files = ("--ca-file", str(who.kafka_ca_file), "--cert-file", str(who.kafka_cert_file))
    options = ("--bootstrap", who.kafka_bootstrap, *files, "--key-file", str(who.kafka_key_file))
    return CliRunner().invoke(app, [*arguments, *options])


def refusals_in(log: ServiceLog) -> list[dict[str, Any]]:
    words = ("no ACL allows", "AUTHORIZATION_FAILED", "AuthorizationFailed")
    return [line for line in log.lines() if any(word in str(line) for word in words)]


def test_the_whole_demo_plays_and_nobody_is_refused_anything(stack: Stack) -> None:
    logs = [ServiceLog(stack, service) for service in SERVICES]
    stack.reset_clock()
    printed = io.StringIO()
    play(stack, Console(file=printed, width=120))
    assert "共济账户退款提醒" in printed.getvalue()
    assert [process.name for process in stack.status() if not process.well] == []
    assert [line for log in logs for line in refusals_in(log)] == []


def test_the_check_before_a_deployment_finds_nothing(stack: Stack) -> None:
    for service in SERVICES:
        done = in_this_process(stack, service, "config", "--check")
        assert [line for line in done.stdout.splitlines() if not line.startswith("✓")] == []
        assert f"✓ Kafka: {stack.info.kafka_bootstrap}, TLS as CN={service}" in done.stdout
        assert done.returncode == 0


async def test_what_cannot_be_read_is_buried_listed_and_dropped(stack: Stack, admin: KafkaAddress) -> None:
    producer = await started(lambda: new_producer(admin, "torn"))
    try:
        at = await producer.send_and_wait("account-events-v1", value=b"torn", key=b"nobody", partition=0)
    finally:
        await producer.stop()
    listed: list[str] = []

    async def found() -> bool:
        done = await asyncio.to_thread(in_this_process, stack, "notify", "dlq", "list", "account-events-v1")
        assert done.returncode == 0, done.stdout
        listed[:] = [line.split()[0] for line in done.stdout.splitlines()[2:]]
        return len(listed) > 0

    await until(found)
    assert at.topic == "account-events-v1"
    for place in listed:
        dropped = ("drop", "account-events-v1", place, "--by", "Aliya", "--reason", "torn on purpose")
        done = await asyncio.to_thread(in_this_process, stack, "notify", "dlq", *dropped)
        assert done.returncode == 0, done.stdout


def stated() -> Mapping[str, Access]:
    return {each.service: each for each in access_of(catalogue(), SERVICES)} | {CHECKER: Access(CHECKER, (), (), ())}


async def may_write(producer: Any, topic: str) -> bool:
    """Tried with a tombstone, which consumers pass over."""
    try:
        await producer.send_and_wait(topic, value=None, key=b"nobody", partition=0)
    except REFUSALS:
        return False
    return True


async def may_read(consumer: Any, topic: str) -> bool:
    """Tried with what lies there; an administrator has put a tombstone into the first partition of each topic."""
    place = TopicPartition(topic, 0)
    consumer.assign([place])
    try:
        consumer.seek(place, 0)
        while not await consumer.getmany(place, timeout_ms=1_000):
            pass
    except REFUSALS:
        return False
    return True


async def read(who: KafkaAddress, topics: list[str]) -> set[str]:
    consumer = await started(lambda: new_consumer(who, "reads", group_id=None))
    try:
        seen = await consumer.topics()
        return {topic for topic in topics if topic in seen and await may_read(consumer, topic)}
    finally:
        await consumer.stop()


async def written(who: KafkaAddress, topics: list[str]) -> set[str]:
    try:
        producer = await started(lambda: new_producer(who, "writes"))
    except ClusterAuthorizationFailedError:  # it may write nowhere
        return set()
    try:
        return {topic for topic in topics if await may_write(producer, topic)}
    finally:
        await producer.stop()


async def groups_of(who: KafkaAddress, groups: list[str]) -> set[str]:
    client = await started(lambda: AIOKafkaAdminClient(**client_options(who, "groups")))
    found = set()
    try:
        for group in groups:
            with suppress(*REFUSALS):
                await client.list_consumer_group_offsets(group)
                found.add(group)
    finally:
        await client.close()
    return found


@pytest.mark.parametrize("name", [*SERVICES, CHECKER])
async def test_each_user_may_do_what_its_access_says_and_nothing_else(stack: Stack, name: str) -> None:
    who, topics = user(stack, name), sorted(shapes(catalogue()))
    groups = sorted({group for each in stated().values() for group in each.groups} | {"somebody-else"})
    assert await written(stack.info.kafka, topics) == set(topics)
    assert await written(who, topics) == set(stated()[name].writes)
    assert await read(who, topics) == set(stated()[name].reads)
    assert await groups_of(who, groups) == set(stated()[name].groups)


async def test_a_stranger_with_a_certificate_sees_nothing_at_all(stack: Stack) -> None:
    who = user(stack, "analytics")
    client = await started(lambda: AIOKafkaAdminClient(**client_options(who, "stranger")))
    try:
        assert await client.list_topics() == []
    finally:
        await client.close()
    assert await written(who, sorted(shapes(catalogue()))) == set()


def test_who_checks_finds_topics_and_rights_as_stated_and_can_change_neither(stack: Stack) -> None:
    checker = user(stack, CHECKER)
    told = kit(checker, "topics", "check", "--replication", "1")
    assert (told.exit_code, told.output) == (0, "all topics are as stated\n")
    told = kit(checker, "acls", "check")
    assert (told.exit_code, told.output) == (0, "all ACLs are as stated\n")
    assert kit(checker, "topics", "create", "--replication", "1").exit_code == 2


def test_a_service_can_neither_see_nor_give_rights(stack: Stack) -> None:
    for command in ("create", "check"):
        told = kit(user(stack, "notify"), "acls", command)
        assert told.exit_code == 2
        assert "Traceback" not in told.output


async def test_a_right_that_is_missing_and_one_that_is_too_much_are_told_and_the_first_is_made_good(
    stack: Stack, admin: KafkaAddress
) -> None:
    missing = Acl("User:identity", "topic", "identity-events-v1", "Describe")
    unstated = Acl("User:identity", "topic", "account-events-v1", "Read")
    async with without(admin, missing):
        await given(admin, unstated)
        told = await asyncio.to_thread(kit, user(stack, CHECKER), "acls", "check")
        assert told.exit_code == 1
        assert told.output.splitlines() == [f"missing   {missing}", f"unstated  {unstated}"]
        told = await asyncio.to_thread(kit, admin, "acls", "create")
        assert (told.exit_code, told.output) == (0, f"created {missing}\n")
        told = await asyncio.to_thread(kit, admin, "acls", "create")
        assert (told.exit_code, told.output) == (0, "all ACLs are there\n")
        told = await asyncio.to_thread(kit, admin, "acls", "check")
        assert (told.exit_code, told.output) == (1, f"unstated  {unstated}\n")
        await taken(admin, unstated)
