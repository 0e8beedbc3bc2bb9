"""What a consumer does with a batch: handle it together, else one by one, and what will not be handled is buried.

- A batch is handled in one call. If that fails, each event is tried alone: one bad event never fails its batch-mates.
- An event that fails alone is tried again a few times with growing, jittered pauses, then goes to the DLQ.
- An event that cannot be read goes there at once.
- While the database is away nothing is an event's fault: the whole batch is put off, however long it takes.
- If too many events in a row fail, the fault is elsewhere: consuming stops before the DLQ fills up.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from kit import tracing, tracing_bus
from kit.bus_metrics import CONSUMED, DEAD_LETTERS, NEWEST
from kit.db_errors import is_contention, is_unavailable
from kit.dead_letters import DeadLetterQueue, Record, describe
from kit.errors import HasReason
from kit.events import Envelope, UnreadableEventError, parse
from kit.kafka_refusals import RefusedError
from kit.metrics import error_name
from kit.observability import get_logger
from kit.topics import Catalogue

Handler = Callable[[Sequence[Envelope]], Awaitable[None]]
"""Has the effect of these events, each once (`kit.inbox`), in one transaction; raises if it could not."""


class PostponedError(Exception):
    """The batch cannot be handled now through no fault of its events; deliver it again later."""


class TooManyFailuresError(Exception):
    """So many events in a row failed that the fault is not theirs; stop consuming until somebody has looked."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long to insist."""

    attempts: int = 4
    """Tries of one event alone before it is buried."""
    first_pause_seconds: float = 0.1
    most_pause_seconds: float = 2.0
    halt_after: int = 20
    """Failed events in a row after which consuming stops."""


def is_postponable(error: BaseException) -> bool:
    """Whether an error says nothing about the event: the database is away, busy, or chose another transaction."""
    overloaded = isinstance(error, HasReason) and error.reason == "OVERLOADED"
    return overloaded or is_unavailable(error) or is_contention(error)


class BatchProcessor:
    """Handles the batches of one consumer group, and remembers how many events in a row failed."""

    def __init__(
        self,
        group: str,
        handler: Handler,
        dead_letters: DeadLetterQueue,
        policy: RetryPolicy | None = None,
        topics: Catalogue | None = None,
    ) -> None:
        self._group = group
        self._handler = handler
        self._dead_letters = dead_letters
        self._policy = policy or RetryPolicy()
        self._topics = topics
        self._failed_in_row = 0
        self._newest: dict[str, float] = {}
        self._log = get_logger().bind(group=group)

    async def process(self, records: Sequence[Record]) -> None:
        """Handle a batch to the end; when it returns, every record is either handled or buried.

        Raises:
            PostponedError: deliver the batch again later; part of it may have been handled already.
            TooManyFailuresError: stop consuming; the batch is not done.
        """
        read = [(record, self._read(record)) for record in records if record.value is not None]  # None: a tombstone
        readable = [envelope for _, envelope in read if isinstance(envelope, Envelope)]
        together = await self._together(readable)
        handled: list[Envelope] = []
        try:
            for record, envelope in read:
                if isinstance(envelope, UnreadableEventError):
                    await self._bury(record, envelope)
                elif together or await self._alone(record, envelope):
                    self._failed_in_row = 0
                    handled.append(envelope)
        finally:
            self._note(handled)

    def _note(self, handled: Sequence[Envelope]) -> None:
        for topic, events in Counter(envelope.topic for envelope in handled).items():
            CONSUMED.labels(self._group, topic).inc(events)
            times = (envelope.time.timestamp() for envelope in handled if envelope.topic == topic)
            newest = max(self._newest.get(topic, 0.0), *times)  # repeats do not make it older
            self._newest[topic] = newest
            NEWEST.labels(self._group, topic).set(newest)

    def _read(self, record: Record) -> Envelope | UnreadableEventError:
        try:
            return parse(
                record.headers,
                record.value or b"",
                key=record.key,
                topic=record.topic,
                partition=record.partition,
                offset=record.offset,
                topics=self._topics,
            )
        except UnreadableEventError as error:
            return error

    async def _together(self, envelopes: Sequence[Envelope]) -> bool:
        if not envelopes:
            return False
        try:
            await self._handle(envelopes)
        except Exception as error:  # noqa: BLE001 - whatever a handler raises, each event is tried alone
            self._raise_if_postponable(error)
            name, message = describe(error)
            self._log.info("a batch failed, trying each alone", events=len(envelopes), error=name, why=message)
            return False
        return True

    async def _alone(self, record: Record, envelope: Envelope) -> bool:
        again = AsyncRetrying(
            retry=retry_if_exception(lambda error: not is_postponable(error)),
            wait=wait_random_exponential(self._policy.first_pause_seconds, max=self._policy.most_pause_seconds),
            stop=stop_after_attempt(self._policy.attempts),
            reraise=True,
        )
        with tracing.continued(envelope.traceparent):
            try:
                await again(self._handle, [envelope])
            except Exception as error:  # noqa: BLE001 - whatever a handler raises, the event is kept
                self._raise_if_postponable(error)
                await self._bury(record, error)
                return False
            return True

    async def _handle(self, envelopes: Sequence[Envelope]) -> None:
        with tracing_bus.consumed(self._group, envelopes):
            await self._handler(envelopes)

    def _raise_if_postponable(self, error: Exception) -> None:
        if is_postponable(error):
            raise PostponedError(type(error).__name__) from error

    async def _bury(self, record: Record, error: Exception) -> None:
        if self._failed_in_row >= self._policy.halt_after:
            raise TooManyFailuresError(f"{self._failed_in_row} events in a row failed, now {type(error).__name__}")
        name, message = describe(error)
        try:
            await self._dead_letters.bury(record, self._group, error)
        except Exception as trouble:
            # Not acknowledged, so not lost: it comes again.
            await self._dead_letters.close()
            why = str(trouble) if isinstance(trouble, RefusedError) else type(trouble).__name__
            raise PostponedError(f"the DLQ of {record.topic}: {why}") from trouble
        self._failed_in_row += 1
        DEAD_LETTERS.labels(self._group, record.topic, error_name(name)).inc()
        with tracing.continued(tracing.this_or_a_new_one(_traceparent_of(record))):
            self._log.error(
                "event sent to the DLQ",
                topic=record.topic,
                partition=record.partition,
                offset=record.offset,
                error=name,
                why=message,
            )


def _traceparent_of(record: Record) -> str | None:
    """As it is written, also in an event that cannot be read."""
    found = dict(record.headers).get(tracing.HEADER)
    return None if found is None else found.decode(errors="replace")
