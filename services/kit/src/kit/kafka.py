"""Consuming from Kafka with FastStream: nothing is acknowledged before its effect is committed.

FastStream polls, batches and commits; what happens with a batch is `kit.handling`. The acknowledgement policy is stated
at the subscriber, where it counts: a batch that could not be handled is delivered again, after a pause made here,
because FastStream itself makes none.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from aiokafka.errors import GroupAuthorizationFailedError  # type: ignore[import-untyped]
from faststream import AckPolicy
from faststream.exceptions import NackMessage
from faststream.kafka import KafkaBroker
from faststream.kafka.subscriber.usecase import BatchSubscriber
from faststream.security import BaseSecurity

from kit.backoff import backoff_seconds
from kit.bus_metrics import POSTPONED
from kit.clock import Elapsed
from kit.consumer_progress import progress_of
from kit.consumer_state import ConsumerState, Trouble
from kit.db_errors import chain_of
from kit.dead_letters import DeadLetterQueue, KafkaDeadLetterQueue, Record
from kit.handling import BatchProcessor, Handler, PostponedError, RetryPolicy, TooManyFailuresError
from kit.health import Health
from kit.kafka_client import REQUEST_TIMEOUT_MS, KafkaAddress, KafkaError, KafkaSettings, ssl_context
from kit.kafka_refusals import refusal
from kit.kafka_rights import Operation
from kit.observability import get_logger
from kit.topics import Catalogue

__all__ = [
    "BUSY",
    "PATIENT",
    "Consumer",
    "Handler",
    "KafkaAddress",
    "KafkaSettings",
    "RetryPolicy",
    "Tuning",
]


HALTED_PAUSE_SECONDS = 0.1
SILENT_SAMPLES = 2
"""So many samples in a row without an answer mean that Kafka is out of reach; one may be a leader that moves."""

REFUSAL_OVER_SECONDS = 8.0
"""After so long without another refusal reading works again; FastStream tries every five seconds."""


class _Heard:
    """Stands where FastStream logs: that is the only place where it tells of the errors that it goes on after."""

    def __init__(self, told: Callable[[BaseException], None]) -> None:
        self._told = told

    def log(
        self,
        _level: int,
        _message: Any,
        /,
        *,
        exc_info: Any = None,
        extra: Mapping[str, Any] | None = None,  # noqa: ARG002 - FastStream gives it
    ) -> None:
        """What is no error is no news."""
        if isinstance(exc_info, KafkaError):
            self._told(exc_info)


@dataclass(frozen=True, slots=True)
class Tuning:
    """How a consumer polls."""

    max_records: int = 500
    """Events in one call of the handler at most."""
    batch_timeout_ms: int = 100
    """How long a poll waits; FastStream sleeps for as long again where it brought nothing."""
    fetch_min_bytes: int = 1
    """Kafka answers a fetch once there is so much of all partitions, or after `fetch_max_wait_ms`."""
    fetch_max_wait_ms: int = 500
    session_timeout_ms: int = 6_000
    """After so long without a heartbeat another replica takes over; 6 s is the least that brokers allow by default."""
    heartbeat_interval_ms: int = 1_500
    sample_seconds: float = 5.0
    """How often lag and life are looked at."""
    answer_seconds: float = 5.0
    """How long Kafka may take to answer that; more than a fetch keeps a connection busy.
    A Kafka that went away is told after twice the sum of both at most."""
    stuck_seconds: float = 120.0
    """A batch that takes longer is told."""
    graceful_seconds: float = 10.0
    """How long stopping waits for the batch under way, and then for Kafka."""


BUSY: Final = Tuning(fetch_min_bytes=64 * 1024, fetch_max_wait_ms=80)
"""For topics on which events keep coming: each poll, which waits longer than a fetch, brings what came in since the one
before. Were it answered at the first event, Kafka would be asked for the others again, several times for each batch."""
PATIENT: Final = Tuning(max_records=2_000, batch_timeout_ms=500, fetch_min_bytes=512 * 1024, fetch_max_wait_ms=400)
"""The same for what may come a second later, with a fifth of the polls and fetches. A poll takes all that a fetch
brought: what it left would be a batch, and a commit, of its own."""


class Consumer:
    """One consumer group of one service.

    Args:
        settings: where Kafka is.
        topics: what to read.
        group: the group id, which is also the inbox's consumer name; never changed, or everything is read again.
        handler: has the effect of a batch in one transaction; must be idempotent by the inbox.
        health: is told under `consumer <group>` whether events are being consumed, and why not. Calls do not need it.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        topics: Sequence[str],
        group: str,
        handler: Handler,
        *,
        health: Health | None = None,
        policy: RetryPolicy | None = None,
        tuning: Tuning | None = None,
        dead_letters: DeadLetterQueue | None = None,
        catalogue: Catalogue | None = None,
    ) -> None:
        self._settings = settings
        self._topics = tuple(topics)
        self._group = group
        self._state = ConsumerState(group, health or Health())
        self._tuning = tuning or Tuning()
        self._dead_letters = dead_letters or KafkaDeadLetterQueue(settings, client_id=f"{group}-dlq")
        self._processor = BatchProcessor(group, handler, self._dead_letters, policy, catalogue)
        self._log = get_logger().bind(group=group)
        self._halted = asyncio.Event()
        self._stopping = asyncio.Event()
        self._postponed_in_row = 0
        self._busy: Elapsed | None = None
        self._refused: Elapsed | None = None
        self._outcast = False
        self._task: asyncio.Task[None] | None = None
        self.broker = self._new_broker()

    async def start(self) -> None:
        """Begin to consume as soon as Kafka answers; returns at once, `health` tells how it goes."""
        self._state.begun(Trouble.KAFKA, "connecting to Kafka")
        self._task = asyncio.create_task(self._run(), name=f"consumer {self._group}")

    async def stop(self) -> None:
        """Finish the batch under way and leave the group, in twice `graceful_seconds` at most, also without Kafka."""
        self._stopping.set()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._close_broker()
        await self._dead_letters.close()
        self._state.stopped()

    def _new_broker(self) -> KafkaBroker:
        context = ssl_context(self._settings)
        broker = KafkaBroker(
            self._settings.kafka_bootstrap.split(","),
            client_id=self._group,
            request_timeout_ms=REQUEST_TIMEOUT_MS,
            consumer_only=True,
            allow_auto_create_topics=False,
            security=BaseSecurity(ssl_context=context) if context else None,
            graceful_timeout=self._tuning.graceful_seconds,
            apply_types=False,
            serializer=None,
            logger=_Heard(self._heard),
            log_level=logging.ERROR,
        )
        self._subscriber = self._subscribe(broker)
        return broker

    def _subscribe(self, broker: KafkaBroker) -> BatchSubscriber:
        subscriber = broker.subscriber(
            *self._topics,
            group_id=self._group,
            auto_offset_reset="earliest",
            ack_policy=AckPolicy.NACK_ON_ERROR,
            batch=True,
            max_records=self._tuning.max_records,
            batch_timeout_ms=self._tuning.batch_timeout_ms,
            session_timeout_ms=self._tuning.session_timeout_ms,
            heartbeat_interval_ms=self._tuning.heartbeat_interval_ms,
            fetch_min_bytes=self._tuning.fetch_min_bytes,
            fetch_max_wait_ms=self._tuning.fetch_max_wait_ms,
            parser=_parsed,
            decoder=_records,
            no_reply=True,
            include_in_schema=False,
        )
        subscriber(self._on_batch)
        return subscriber

    def _heard(self, error: BaseException) -> None:
        """FastStream tried to read, failed, and tries again after a pause of its own."""
        why = refusal(error, self._settings, Operation.READ)
        if why:
            self._refused = Elapsed()
            # Once its group is refused, the client raises the same for ever, also when it would be let in again.
            self._outcast = any(isinstance(link, GroupAuthorizationFailedError) for link in chain_of(error))
            self._state.begun(Trouble.REFUSED, why)
            self._log.warning("Kafka refuses to be read", why=why)

    async def _on_batch(self, records: Sequence[Record]) -> None:
        if self._halted.is_set():
            await asyncio.sleep(HALTED_PAUSE_SECONDS)  # until the subscriber is stopped, which is under way
            raise NackMessage
        self._busy = Elapsed()
        try:
            await self._processor.process(records)
        except PostponedError as error:
            await self._postpone(error)
        except TooManyFailuresError as error:
            self._halt(error)
            raise NackMessage from error
        finally:
            self._busy = None
        self._postponed_in_row = 0
        self._state.consumed()

    async def _postpone(self, error: PostponedError) -> None:
        self._postponed_in_row += 1
        POSTPONED.labels(self._group).inc()
        self._state.begun(Trouble.WAITING, f"waiting: {error}")
        self._log.warning("events wait", why=str(error), times=self._postponed_in_row)
        # FastStream rewinds and polls again at once, about 1,450 times a second; the pause is ours to make.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), backoff_seconds(self._postponed_in_row))
        raise NackMessage from error

    def _halt(self, error: TooManyFailuresError) -> None:
        self._halted.set()
        self._log.error("consuming stopped: find the fault, then restart and replay the DLQ", why=str(error))
        self._state.begun(Trouble.HALTED, f"stopped: {error}")

    async def _run(self) -> None:
        try:
            await self._consume()
        except Exception as error:  # noqa: BLE001 - whatever it is, only a restart helps
            self._log.exception("the consumer ended", error=type(error).__name__)
            self._state.ended(f"ended by {type(error).__name__}")

    async def _consume(self) -> None:
        while True:
            await self._connect()
            self._state.answered()
            await self._watch()
            await self._close_broker()
            if self._halted.is_set():
                return
            self._state.begun(Trouble.KAFKA, "the consuming loop ended, starting it again")
            self.broker = self._new_broker()

    async def _connect(self) -> None:
        failures = 0
        while True:
            try:
                return await self.broker.start()
            except (KafkaError, OSError) as error:
                failures += 1
                self._not_connected(error, failures)
            await self._close_broker()
            self.broker = self._new_broker()
            await asyncio.sleep(backoff_seconds(failures))

    def _not_connected(self, error: Exception, failures: int) -> None:
        name = type(error).__name__
        if why := refusal(error, self._settings, Operation.READ):
            self._state.begun(Trouble.KAFKA, why)
            self._log.warning("Kafka refuses to be read", why=why, failures=failures)
        else:
            self._state.begun(Trouble.KAFKA, f"Kafka does not answer: {name}")
            self._log.warning("Kafka does not answer", error=name, failures=failures)

    async def _watch(self) -> None:
        silent_in_row = 0
        self._outcast = False
        while not self._halted.is_set() and self._alive() and not self._outcast:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._halted.wait(), self._tuning.sample_seconds)
            error = await self._sample()
            silent_in_row = silent_in_row + 1 if error else 0
            if self._refused is not None and self._refused.seconds > REFUSAL_OVER_SECONDS:
                self._refused = None
                self._state.over(Trouble.REFUSED)
            if error and silent_in_row >= SILENT_SAMPLES:
                self._state.begun(Trouble.KAFKA, f"Kafka does not answer: {type(error).__name__}")
            self._judge_batch()

    def _alive(self) -> bool:
        return self._subscriber.running and any(not task.done() for task in self._subscriber.tasks)

    async def _sample(self) -> Exception | None:
        """Ask Kafka how far behind we are. FastStream tries for ever and says nothing, so this tells an outage."""
        try:
            async with asyncio.timeout(self._tuning.answer_seconds):
                self._state.heard(await progress_of(self._subscriber.consumer))
        except Exception as error:  # noqa: BLE001 - not knowing the lag is no reason to stop consuming
            self._log.info("lag unknown", error=type(error).__name__)
            return error
        return None

    def _judge_batch(self) -> None:
        if self._busy is not None and self._busy.seconds > self._tuning.stuck_seconds:
            self._state.begun(Trouble.STUCK, f"one batch has taken {self._busy.seconds:.0f} s")
        else:
            self._state.over(Trouble.STUCK)

    async def _close_broker(self) -> None:
        await _within(2 * self._tuning.graceful_seconds, self.broker.stop)


async def _within(seconds: float, step: Callable[[], Awaitable[object]]) -> None:
    with contextlib.suppress(TimeoutError, KafkaError):
        async with asyncio.timeout(seconds):
            await step()


async def _parsed(batch: tuple[Any, ...], original: Callable[[Any], Awaitable[Any]]) -> Any:
    # FastStream's parser decodes every header as UTF-8, and a bad one would make it rewind for ever without asking us.
    # So it is shown one record without headers, and the batch is put in its place.
    bare = _bare(batch[0])
    message = await original((bare,))
    message.raw_message = batch
    return message


def _bare(record: Any) -> Any:
    return type(record)(**{**{name: getattr(record, name) for name in record.__dataclass_fields__}, "headers": ()})


async def _records(message: Any) -> Any:
    return message.raw_message
