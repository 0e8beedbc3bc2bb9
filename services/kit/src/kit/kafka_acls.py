"""ACLs on brokers with Kafka's StandardAuthorizer: made as the catalogue states, and compared with it; none is taken.

They are the rights that Strimzi's KafkaUsers have, from the same place (`kit.topic_access`), for other brokers.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient  # type: ignore[import-untyped]
from aiokafka.protocol.admin import CreateAclsRequest_v1, DescribeAclsRequest  # type: ignore[import-untyped]
from aiokafka.protocol.api import Request  # type: ignore[import-untyped]

from kit.kafka_client import KafkaAddress, KafkaSettings, client_options, started
from kit.topic_access import Grant, Kind, services_of, users_of
from kit.topics import Catalogue, catalogue

USER: Final = "{user}"
"""Stands in the pattern of principals for `identity`, `notify`, `topics-check` …"""
PRINCIPAL: Final = f"User:{USER}"

_ANY: Final = 1
_LITERAL: Final = 3
_ALLOW: Final = 3
_EVERY_HOST: Final = "*"
_CLUSTER_NAME: Final = "kafka-cluster"
_KINDS: Final = {2: Kind.TOPIC, 3: Kind.GROUP, 4: Kind.CLUSTER}
_OPERATIONS: Final = {3: "Read", 4: "Write", 8: "Describe", 10: "DescribeConfigs"}
_KIND_NUMBERS: Final = {kind: number for number, kind in _KINDS.items()}
_OPERATION_NUMBERS: Final = {name: number for number, name in _OPERATIONS.items()}
_KNOWN_TIMEOUT_SECONDS: Final = 30.0
_KNOWN_POLL_SECONDS: Final = 0.05


class AclError(Exception):
    """The brokers do not say or take ACLs; the text names why."""


@dataclass(frozen=True, slots=True, order=True)
class Acl:
    """One thing that one principal may do, from any address."""

    principal: str
    kind: str
    name: str
    operation: str

    def __str__(self) -> str:
        """As a person reads it: `User:notify Read topic account-events-v1`."""
        return f"{self.principal} {self.operation} {self.kind}" + (f" {self.name}" if self.name else "")


@dataclass(frozen=True, slots=True)
class Compared:
    """What a look at the brokers showed of the principals of this platform; what others may is not looked at."""

    missing: tuple[Acl, ...]
    unstated: tuple[Acl, ...]
    """What somebody has given them besides; it is shown, never taken."""


def stated(topics: Catalogue, principal: str = PRINCIPAL) -> frozenset[Acl]:
    """Every ACL that is to be there.

    Args:
        topics: what is stated.
        principal: how the brokers call the user of a certificate, with `{user}` in it.
    """
    users = users_of(topics, services_of(topics))
    return frozenset(acl for user, grants in users.items() for acl in _acls(principal.replace(USER, user), grants))


def _acls(principal: str, grants: Iterable[Grant]) -> Iterator[Acl]:
    for grant in grants:
        for operation in grant.operations:
            yield Acl(principal, grant.kind.value, grant.name, operation)


def compare(wanted: frozenset[Acl], found: frozenset[Acl]) -> Compared:
    """What differs, in the order of principals."""
    return Compared(tuple(sorted(wanted - found)), tuple(sorted(found - wanted)))


async def check_acls(
    kafka: KafkaSettings | KafkaAddress, principal: str = PRINCIPAL, topics: Catalogue | None = None
) -> Compared:
    """Look how the ACLs on the brokers differ from what is stated; changes nothing. Arguments as `ensure_acls`."""
    wanted = stated(topics or catalogue(), principal)
    admin = await _connected(kafka)
    try:
        return compare(wanted, await _found(admin, wanted))
    finally:
        await admin.close()


async def ensure_acls(
    kafka: KafkaSettings | KafkaAddress, principal: str = PRINCIPAL, topics: Catalogue | None = None
) -> Sequence[Acl]:
    """Make what is stated and the brokers do not have; what was made. Afterwards the broker that was asked goes by it.

    Args:
        kafka: how to reach it, as somebody who may change ACLs.
        principal: how the brokers call the user of a certificate, with `{user}` in it.
        topics: instead of the catalogue beside the contracts.

    Raises:
        AclError: the brokers refuse, or have no authorizer.
    """
    wanted = stated(topics or catalogue(), principal)
    admin = await _connected(kafka)
    try:
        missing = compare(wanted, await _found(admin, wanted)).missing
        if missing:
            await give(admin, missing)
            await _until_known(admin, wanted)
    finally:
        await admin.close()
    return missing


async def _connected(kafka: KafkaSettings) -> Any:
    return await started(lambda: AIOKafkaAdminClient(**client_options(kafka, "acls")))


class _Create(Request[CreateAclsRequest_v1]):  # type: ignore[misc]
    """The library's own makes one ACL a request."""

    API_KEY = 30

    def __init__(self, acls: Sequence[Acl]) -> None:
        self._acls = acls

    def build(self, request_struct_class: Any) -> Any:
        return request_struct_class([_creation(acl) for acl in self._acls])


def _creation(acl: Acl) -> tuple[int, str, int, str, str, int, int]:
    kind, operation = _KIND_NUMBERS[Kind(acl.kind)], _OPERATION_NUMBERS[acl.operation]
    return kind, acl.name or _CLUSTER_NAME, _LITERAL, acl.principal, _EVERY_HOST, operation, _ALLOW


async def give(admin: Any, acls: Sequence[Acl]) -> None:
    """Let the brokers have these.

    Raises:
        AclError: they refuse one.
    """
    answer = (await admin._send_request(_Create(acls))).to_object()  # noqa: SLF001 - it has no public way to give many
    for acl, refused in zip(acls, answer["creation_responses"], strict=True):
        if refused["error_code"]:
            raise AclError(f"{acl}: {refused['error_message'] or refused['error_code']}")


async def _found(admin: Any, wanted: frozenset[Acl]) -> frozenset[Acl]:
    principals = sorted({acl.principal for acl in wanted})
    return frozenset([acl for principal in principals for acl in await _of(admin, principal)])


async def _of(admin: Any, principal: str) -> list[Acl]:
    request = DescribeAclsRequest(_ANY, None, _ANY, principal, None, _ANY, _ANY)
    answer = (await admin._send_request(request)).to_object()  # noqa: SLF001 - it has no public way to ask
    if answer["error_code"]:
        raise AclError(answer["error_message"] or f"the brokers answer error {answer['error_code']}")
    return [_acl(principal, resource, each) for resource in answer["resources"] for each in resource["acls"]]


def _acl(principal: str, resource: Mapping[str, Any], each: Mapping[str, Any]) -> Acl:
    kind = _KINDS.get(resource["resource_type"])
    name = "" if kind is Kind.CLUSTER else resource["resource_name"]
    operation = _OPERATIONS.get(each["operation"], f"operation {each['operation']}")
    if resource["resource_pattern_type"] != _LITERAL:
        name += " and what begins so"
    if each["permission_type"] != _ALLOW:
        operation = f"denied {operation}"
    if each["host"] != _EVERY_HOST:
        operation += f" from {each['host']}"
    return Acl(principal, kind.value if kind else f"resource {resource['resource_type']}", name, operation)


async def _until_known(admin: Any, wanted: frozenset[Acl]) -> None:
    # The controller has them; what a broker decides by follows in a moment.
    try:
        async with asyncio.timeout(_KNOWN_TIMEOUT_SECONDS):
            while True:
                if wanted <= await _found(admin, wanted):
                    return
                await asyncio.sleep(_KNOWN_POLL_SECONDS)
    except TimeoutError:
        raise AclError("the brokers do not go by the new ACLs; look at their logs") from None
