"""What the brokers let this client do, in versions of Kafka's protocol that tell it; the library has older ones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

from aiokafka.errors import GroupCoordinatorNotAvailableError, for_code  # type: ignore[import-untyped]
from aiokafka.protocol.admin import DescribeGroupsResponse_v3  # type: ignore[import-untyped]
from aiokafka.protocol.api import Request, RequestStruct, Response  # type: ignore[import-untyped]
from aiokafka.protocol.types import Array, Boolean, Int16, Int32, Schema, String  # type: ignore[import-untyped]
from tenacity import retry, retry_if_exception_type, wait_fixed

NO_SUCH_TOPIC: Final = 3
NOT_ALLOWED: Final = frozenset({29, 30})
"""Kafka's errors for a topic and a group that somebody may not even look at."""


class Operation(IntEnum):
    """Kafka's numbers of what an ACL can allow."""

    READ = 3
    WRITE = 4
    DESCRIBE = 8
    DESCRIBE_CONFIGS = 10


@dataclass(frozen=True, slots=True)
class Rights:
    """What is allowed with one topic or group."""

    error: int = 0
    """Kafka's number; 0 if it is there and may be looked at."""
    partitions: int = 0
    allowed: frozenset[Operation] = frozenset()


class _TopicsResponse(Response):  # type: ignore[misc]
    API_KEY = 3
    API_VERSION = 8
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("brokers", Array(("node_id", Int32), ("host", String()), ("port", Int32), ("rack", String()))),
        ("cluster_id", String()),
        ("controller_id", Int32),
        (
            "topics",
            Array(
                ("error_code", Int16),
                ("topic", String()),
                ("is_internal", Boolean),
                (
                    "partitions",
                    Array(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", Array(Int32)),
                        ("isr", Array(Int32)),
                        ("offline_replicas", Array(Int32)),
                    ),
                ),
                ("authorized_operations", Int32),
            ),
        ),
        ("cluster_authorized_operations", Int32),
    )


class _TopicsStruct(RequestStruct):  # type: ignore[misc]
    API_KEY = 3
    API_VERSION = 8
    RESPONSE_TYPE = _TopicsResponse
    SCHEMA = Schema(
        ("topics", Array(String())),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
    )


class _TopicsRequest(Request[_TopicsStruct]):  # type: ignore[misc]
    API_KEY = 3

    def __init__(self, topics: Sequence[str]) -> None:
        self._topics = list(topics)

    def build(self, request_struct_class: Any) -> Any:
        return request_struct_class(self._topics, False, False, True)


class _GroupsStruct(RequestStruct):  # type: ignore[misc]
    API_KEY = 15
    API_VERSION = 3
    RESPONSE_TYPE = (
        DescribeGroupsResponse_v3  # the library's own struct of this version reads the answer as one of before
    )
    SCHEMA = Schema(("groups", Array(String())), ("include_authorized_operations", Boolean))


class _GroupsRequest(Request[_GroupsStruct]):  # type: ignore[misc]
    API_KEY = 15

    def __init__(self, group: str) -> None:
        self._group = group

    def build(self, request_struct_class: Any) -> Any:
        return request_struct_class([self._group], True)


async def of_topics(admin: Any, names: Sequence[str]) -> Mapping[str, Rights]:
    """By topic."""
    answer = (await admin._send_request(_TopicsRequest(names))).to_object()  # noqa: SLF001 - it has no public way to ask
    return {
        each["topic"]: Rights(each["error_code"], len(each["partitions"]), _allowed(each["authorized_operations"]))
        for each in answer["topics"]
    }


async def of_groups(admin: Any, names: Sequence[str]) -> Mapping[str, Rights]:
    """By group; one that nobody has ever joined is there as well."""
    return {name: await _of_group(admin, name) for name in names}


async def _of_group(admin: Any, name: str) -> Rights:
    try:
        coordinator = await _coordinator(admin, name)
    except tuple(for_code(code) for code in NOT_ALLOWED) as error:
        return Rights(error.errno)
    answer = (await admin._send_request(_GroupsRequest(name), coordinator)).to_object()  # noqa: SLF001 - see above
    (group,) = answer["groups"]
    return Rights(group["error_code"], allowed=_allowed(group["authorized_operations"]))


@retry(retry=retry_if_exception_type(GroupCoordinatorNotAvailableError), wait=wait_fixed(0.2))
async def _coordinator(admin: Any, name: str) -> Any:
    """Who answers for a group; brokers that never had one need a moment, which the caller bounds."""
    return await admin.find_coordinator(name)


def _allowed(bits: int) -> frozenset[Operation]:
    return frozenset(each for each in Operation if bits & 1 << each)
