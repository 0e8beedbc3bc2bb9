"""The dead-letter topic: where an event goes that a consumer could not handle, with what is needed to try again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from kit.db_errors import sqlstate_of
from kit.errors import HasReason
from kit.events import Headers, UnreadableEventError
from kit.kafka_client import KafkaError, KafkaSettings, drop, new_producer, started
from kit.kafka_refusals import RefusedError, refusal
from kit.kafka_rights import Operation

CONSUMER = "x-dlq-consumer"
ERROR = "x-dlq-error"
MESSAGE = "x-dlq-message"
TOPIC = "x-dlq-topic"
PARTITION = "x-dlq-partition"
OFFSET = "x-dlq-offset"
REPLAYS = "x-dlq-replays"
_OURS = frozenset({CONSUMER, ERROR, MESSAGE, TOPIC, PARTITION, OFFSET, REPLAYS})


class Record(Protocol):
    """What is used of a Kafka record."""

    @property
    def topic(self) -> str:
        """Where it was."""
        ...

    @property
    def partition(self) -> int:
        """In which partition."""
        ...

    @property
    def offset(self) -> int:
        """At which place."""
        ...

    @property
    def key(self) -> bytes | None:
        """The aggregate."""
        ...

    @property
    def value(self) -> bytes | None:
        """The payload; None is a tombstone."""
        ...

    @property
    def headers(self) -> Sequence[tuple[str, bytes]]:
        """CloudEvents attributes and ours."""
        ...


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A record on its own; what a DLQ's record says about the original, and what tests build."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


class DeadLetterQueue(Protocol):
    """Where a consumer puts what it could not handle."""

    async def bury(self, record: Record, group: str, error: BaseException) -> None:
        """Keep this record for later; returns when it is safe. Raises what Kafka raises."""
        ...

    async def close(self) -> None:
        """Give up the connection; the next burial makes a new one."""
        ...


def dlq_of(topic: str) -> str:
    """The dead-letter topic of a topic; of a dead-letter topic, itself."""
    return topic if topic.endswith("-dlq") else f"{topic}-dlq"


def describe(error: BaseException) -> tuple[str, str]:
    """An error's class and a text about it without personal data.

    Messages of drivers and of the domain may hold values of a row, so only what is known to hold none is told: a
    reason of the vocabulary, a SQLSTATE, the text of an unreadable event, and where it was raised.
    """
    facts = [str(error)] if isinstance(error, UnreadableEventError) else []
    if isinstance(error, HasReason):
        facts.append(f"reason {error.reason}")
    if state := sqlstate_of(error):
        facts.append(f"SQLSTATE {state}")
    facts.append(_place(error))
    return type(error).__name__, "; ".join(fact for fact in facts if fact)


def _place(error: BaseException) -> str:
    trace = error.__traceback__
    if trace is None:
        return ""
    while trace.tb_next is not None:
        trace = trace.tb_next
    return f"raised in {trace.tb_frame.f_globals.get('__name__', '?')} line {trace.tb_lineno}"


def burial_headers(record: Record, group: str, error: BaseException) -> Headers:
    """The record's own headers and, after them, who failed on it, how, and where it came from."""
    own, ours = split_headers(record.headers)
    name, message = describe(error)
    told = {
        CONSUMER: group,
        ERROR: name,
        MESSAGE: message,
        TOPIC: ours.get(TOPIC, record.topic),
        PARTITION: ours.get(PARTITION, str(record.partition)),
        OFFSET: ours.get(OFFSET, str(record.offset)),
        REPLAYS: str(_number(ours.get(REPLAYS, "-1")) + 1),
    }
    return [*own, *((header, value.encode()) for header, value in told.items())]


def split_headers(headers: Sequence[tuple[str, bytes]]) -> tuple[Headers, Mapping[str, str]]:
    """What the producer of the event set, and what a burial added."""
    own = [(name, value) for name, value in headers if name not in _OURS]
    return own, {name: value.decode(errors="replace") for name, value in headers if name in _OURS}


def origin_of(record: Record) -> StoredRecord:
    """The record as it was before it was buried."""
    own, ours = split_headers(record.headers)
    return StoredRecord(
        topic=ours.get(TOPIC, record.topic),
        partition=_number(ours.get(PARTITION, "0")),
        offset=_number(ours.get(OFFSET, "0")),
        key=record.key,
        value=record.value,
        headers=own,
    )


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        return 0


class KafkaDeadLetterQueue:
    """Dead letters on Kafka, over a producer that is made when first needed."""

    def __init__(self, kafka: KafkaSettings, client_id: str) -> None:
        self._kafka = kafka
        self._client_id = client_id
        self._producer: Any = None

    async def bury(self, record: Record, group: str, error: BaseException) -> None:
        """See `DeadLetterQueue.bury`."""
        await self.send(dlq_of(record.topic), record, burial_headers(record, group, error))

    async def send(self, topic: str, record: Record, headers: Headers) -> None:
        """Write a record with these headers, and wait until it is safe. Raises RefusedError if no ACL allows it."""
        try:
            producer = await self._connected()
            await producer.send_and_wait(topic, value=record.value, key=record.key, headers=headers)
        except KafkaError as error:
            if why := refusal(error, self._kafka, Operation.WRITE):
                raise RefusedError(why) from error
            raise

    async def partitions(self, topic: str) -> list[int]:
        """The partitions of a dead-letter topic."""
        return sorted(await (await self._connected()).partitions_for(topic))

    async def _connected(self) -> Any:
        if self._producer is None:
            self._producer = await started(lambda: new_producer(self._kafka, self._client_id))
        return self._producer

    async def close(self) -> None:
        """See `DeadLetterQueue.close`."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await drop(producer)


class MemoryDeadLetterQueue:
    """Dead letters in a list; for unit tests."""

    def __init__(self) -> None:
        self.buried: list[StoredRecord] = []

    async def bury(self, record: Record, group: str, error: BaseException) -> None:
        """See `DeadLetterQueue.bury`."""
        headers = burial_headers(record, group, error)
        self.buried.append(StoredRecord(dlq_of(record.topic), 0, len(self.buried), record.key, record.value, headers))

    async def close(self) -> None:
        """See `DeadLetterQueue.close`."""
