"""What the brokers' refusals mean, in a sentence: who may not do what with which topic or group."""

from collections.abc import Collection
from typing import Final

from aiokafka.errors import (  # type: ignore[import-untyped]
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    TopicAuthorizationFailedError,
)

from kit.db_errors import chain_of
from kit.kafka_client import KafkaSettings
from kit.kafka_reach import principal_of
from kit.kafka_rights import Operation

_KINDS: Final = {TopicAuthorizationFailedError: "topic", GroupAuthorizationFailedError: "group"}


class RefusedError(Exception):
    """The brokers refuse; the text says who may not do what."""


def refusal(error: BaseException, settings: KafkaSettings, operation: Operation) -> str:
    """The sentence for an error that is a refusal; empty when it is something else.

    Args:
        error: what was raised; its causes are looked at, too.
        settings: whose connection it was.
        operation: what was tried.
    """
    for link in chain_of(error):
        for cls, kind in _KINDS.items():
            if isinstance(link, cls):
                return may_not(settings, operation, f"{kind} {_names(link.args)}")
        if isinstance(link, ClusterAuthorizationFailedError):  # an idempotent producer that may write nowhere
            return may_not(settings, operation, "any topic")
    return ""


def may_not(settings: KafkaSettings, operation: Operation, what: str) -> str:
    """The one form of this sentence, which docs/operations/kafka.md has."""
    return f"no ACL allows {principal_of(settings)} to {operation.name} {what}"


def _names(args: tuple[object, ...]) -> str:
    (names,) = args or ("",)
    if isinstance(names, Collection) and not isinstance(names, str):
        return ", ".join(sorted(str(each) for each in names))
    return str(names) or "(the brokers do not say which)"
