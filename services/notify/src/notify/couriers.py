"""Couriers take deliveries to their channels, outside of the inbox.

They claim in a short transaction, send outside of any, and record what became of it in another.
What a process has claimed is its own until the lease runs out. A process that dies between sending and recording leaves
a delivery that is sent again: at least once, under the same `delivery_id`, by which a provider tells the double.
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Protocol
from uuid import UUID

from kit.backoff import backoff_seconds
from kit.batcher import MicroBatcher
from kit.clock import Clock, Elapsed
from kit.db import Work
from kit.observability import get_logger
from notify.channels.guarded import LeftAloneError
from notify.channels.policy import Policy
from notify.channels.port import Accepted, AddressBusyError, Outgoing, UndeliveredError
from notify.channels.receipts import Fate, Receipt
from notify.claiming import Due, claim
from notify.delivery_codec import ended_event
from notify.domain import deliveries as rules
from notify.domain.channels import OUTSIDE, Channel
from notify.domain.deliveries import Delivery, State
from notify.metrics import DELIVERIES, DELIVERIES_WAITING, DELIVERY_ATTEMPTS
from notify.repository import Repository

POLL_SECONDS: Final = 1.0
"""How soon a courier sees what another process has queued, or what became due by the clock."""
SAMPLE_SECONDS: Final = 5.0
CLAIMED_LOTS: Final = 2
"""How much is claimed at once: for each line of the channel so many."""
MARGIN_SECONDS: Final = 10.0
RECORD_SECONDS: Final = 5.0
"""Of the margin: what is left of a lease for recording the outcome, when the last of a claim has been sent."""
IDLE_POLL_SECONDS: Final = 60.0
IDLE_AFTER: Final = timedelta(hours=1)
"""What waits on a channel that has no adapter here fails after this: until then a replica that has one may carry it."""
STOP_SECONDS: Final = 10.0
RECORDS_AT_ONCE: Final = 64
RECORDS_WAITING: Final = 4096


class Channels(Protocol):
    """All adapters as one; `notify.channels.registry.Channels` is one."""

    @property
    def usable(self) -> frozenset[Channel]:
        """The channels that have an adapter."""
        ...

    def policy(self, channel: Channel) -> Policy:
        """How a channel is used."""
        ...

    async def send(self, outgoing: Outgoing) -> Accepted:
        """See `notify.channels.port.Adapter.send`."""
        ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one attempt."""

    delivery_id: UUID
    attempts: int
    """With that attempt."""
    change: Callable[[Delivery], Delivery]
    """From how the delivery stands to how it stands then."""
    is_taken: bool


class Courier:
    """Carries one channel's deliveries; every replica has one for each channel.

    Args:
        channel: which.
        work: the database.
        channels: all adapters.
        clock: by which deliveries are due.
        hears_receipts: whether gateways can tell this installation what became of what they took.
    """

    def __init__(
        self,
        channel: Channel,
        work: Work[Repository],
        channels: Channels,
        clock: Clock,
        *,
        hears_receipts: bool = True,
    ) -> None:
        self._channel = channel
        self._policy = channels.policy(channel)
        self._work = work
        self._channels = channels
        self._clock = clock
        self._is_idle = channel not in channels.usable
        self._hears_receipts = hears_receipts
        self._records = MicroBatcher(self._record, RECORDS_AT_ONCE, RECORDS_WAITING, name=f"record-{channel.value}")
        self._due: asyncio.Queue[Due] = asyncio.Queue(self._policy.concurrency)
        self._unqueued: deque[Due] = deque()
        self._news = asyncio.Event()
        self._resting: tuple[Elapsed, float] | None = None
        self._log = get_logger().bind(channel=channel.value)

    def wake(self) -> None:
        """Something was queued."""
        self._news.set()

    async def run(self) -> None:
        """Carry until cancelled; what is being sent then is still recorded, the rest is left to others."""
        lines = [asyncio.create_task(self._line()) for _ in range(self._policy.concurrency)]
        try:
            await self._keep_claiming()
        finally:
            await self._finish(lines)

    async def round(self) -> int:
        """Claim once and carry all of that; how many there were to send. For tests."""
        due = await self._claim()
        await asyncio.gather(*(self._carry(one) for one in due))
        return len(due)

    async def _keep_claiming(self) -> None:
        failures = 0
        while True:
            try:
                due = [] if self._rest_seconds() > 0 else await self._claim()
                failures = 0
            except Exception as error:  # noqa: BLE001 - the database comes back, and what is due stays due
                failures += 1
                self._log.warning("deliveries could not be claimed", why=type(error).__name__)
                await asyncio.sleep(backoff_seconds(failures))
                continue
            self._unqueued.extend(due)
            while self._unqueued:
                await self._due.put(self._unqueued[0])
                self._unqueued.popleft()
            if not due:
                await self._wait_for_news()

    async def _wait_for_news(self) -> None:
        with suppress(TimeoutError):
            poll_seconds = IDLE_POLL_SECONDS if self._is_idle else POLL_SECONDS
            async with asyncio.timeout(max(poll_seconds, self._rest_seconds())):
                await self._news.wait()
        self._news.clear()

    async def _line(self) -> None:
        while True:
            one = await self._due.get()
            try:
                await self._carry(one)
            except Exception as error:  # noqa: BLE001 - its lease runs out, and it is tried again
                self._log.exception("a delivery was not recorded", why=type(error).__name__)
            finally:
                self._due.task_done()

    async def _finish(self, lines: Sequence["asyncio.Task[None]"]) -> None:
        left = [self._due.get_nowait() for _ in range(self._due.qsize())]
        for _ in left:
            self._due.task_done()
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_SECONDS):
                await self._put_back([*left, *self._unqueued])
                await self._due.join()
        for line in lines:
            line.cancel()
        await asyncio.gather(*lines, return_exceptions=True)

    async def _put_back(self, left: Sequence[Due]) -> None:
        if left:
            await self._record([self._unsent(one.delivery) for one in left])

    @property
    def _lease_seconds(self) -> float:
        # A claim is at most two lots for the lines, and a lot takes a time-out at most.
        return CLAIMED_LOTS * 2 * self._policy.timeout_seconds + MARGIN_SECONDS

    async def _claim(self) -> Sequence[Due]:
        """What is to be sent now. What cannot or must not go out waits or has ended when this returns."""
        now = self._clock.now()
        async with self._work() as repository:
            claims = await claim(
                *(repository, self._channel, self._policy),
                now=now,
                due_by=now - IDLE_AFTER if self._is_idle else now,
                limit=CLAIMED_LOTS * self._policy.concurrency,
                lease_seconds=self._lease_seconds,
            )
            await _save(repository, claims.changed)
        _count(one for one in claims.changed if one.has_ended)
        return claims.due

    async def _carry(self, one: Due) -> None:
        # Sending may take its turn's time-out and its own, and recording a moment. What another may claim before that
        # is over is not begun.
        latest_seconds = self._lease_seconds - 2 * self._policy.timeout_seconds - RECORD_SECONDS
        is_late = one.since.seconds > latest_seconds
        outcome = self._unsent(one.delivery) if is_late else await self._attempt(one)
        await self._records.submit(outcome)

    async def _attempt(self, one: Due) -> Outcome:
        delivery = one.delivery
        try:
            accepted = await self._channels.send(_outgoing(one))
        except LeftAloneError as error:
            self._resting = Elapsed(), error.retry_after_seconds or POLL_SECONDS
            return self._unsent(delivery)
        except UndeliveredError as error:
            self._tried("REFUSED" if error.is_final else "FAILED")
            return self._failed(delivery, error, _failure(error))
        except Exception as error:  # noqa: BLE001 - an adapter's fault must not lose a line, nor hold up the others
            self._tried("FAILED")
            self._log.exception("an adapter failed", why=type(error).__name__)
            return self._failed(delivery, UndeliveredError(type(error).__name__, is_final=False), rules.Failure.BUSY)
        self._tried("TAKEN")
        return self._taken(delivery, accepted)

    def _taken(self, delivery: Delivery, accepted: Accepted) -> Outcome:
        now = self._clock.now()
        awaits_receipt = accepted.awaits_receipt and self._hears_receipts

        def change(found: Delivery) -> Delivery:
            return rules.taken(found, accepted.provider_id, awaits_receipt=awaits_receipt, now=now)

        return Outcome(delivery.delivery_id, delivery.attempts, change, is_taken=True)

    def _failed(self, delivery: Delivery, error: UndeliveredError, failure: rules.Failure) -> Outcome:
        now = self._clock.now()
        share = random.random()  # noqa: S311 - jitter, no secret
        seconds = rules.wait_seconds(delivery.attempts, self._policy, error.retry_after_seconds, share)

        def change(found: Delivery) -> Delivery:
            wait = timedelta(seconds=seconds)
            return rules.not_taken(found, error.why, self._policy, failure=failure, wait=wait, now=now)

        return Outcome(delivery.delivery_id, delivery.attempts, change, is_taken=False)

    def _unsent(self, delivery: Delivery) -> Outcome:
        return Outcome(delivery.delivery_id, delivery.attempts, rules.left_alone, is_taken=False)

    async def _record(self, outcomes: Sequence[Outcome]) -> Sequence[None]:
        async with self._work() as repository:
            found = await repository.lock_deliveries([one.delivery_id for one in outcomes])
            changed = [
                one.change(found[one.delivery_id])
                for one in outcomes
                if one.delivery_id in found and _decides(one, found[one.delivery_id])
            ]
            await _save(repository, changed)
        _count(one for one in changed if one.has_ended)
        return [None] * len(outcomes)

    def _rest_seconds(self) -> float:
        """How much longer the other side is left alone; real time, as the breaker has it."""
        if self._resting is None:
            return 0.0
        since, seconds = self._resting
        return max(0.0, seconds - since.seconds)

    def _tried(self, outcome: str) -> None:
        DELIVERY_ATTEMPTS.labels(self._channel.value, outcome).inc()


class Couriers:
    """The couriers of all channels; also of one that has no adapter any more, whose deliveries must end some time."""

    def __init__(
        self, work: Work[Repository], channels: Channels, clock: Clock, *, hears_receipts: bool = True
    ) -> None:
        self._work = work
        self.usable = channels.usable
        """The channels that deliveries are queued for."""
        self._couriers = {
            channel: Courier(channel, work, channels, clock, hears_receipts=hears_receipts)
            for channel in sorted(OUTSIDE, key=lambda channel: channel.value)
        }

    def wake(self, channels: Iterable[Channel]) -> None:
        """Deliveries of these were queued."""
        for channel in channels:
            if courier := self._couriers.get(channel):
                courier.wake()

    async def run(self) -> None:
        """Carry until cancelled."""
        async with asyncio.TaskGroup() as group:
            for courier in self._couriers.values():
                group.create_task(courier.run())
            await self._keep_sampling()

    async def round(self) -> int:
        """One round of each; how many there were to send. For tests."""
        return sum([await courier.round() for courier in self._couriers.values()])

    async def _keep_sampling(self) -> None:
        while True:
            with suppress(Exception):  # a figure that is missing says nothing; claiming says what is wrong
                await self._sample()
            await asyncio.sleep(SAMPLE_SECONDS)

    async def _sample(self) -> None:
        async with self._work() as repository:
            waiting = await repository.count_waiting()
        for channel in OUTSIDE:
            DELIVERIES_WAITING.labels(channel.value).set(waiting.get(channel, 0))


class DeliveryDesk:
    """Takes in what gateways say of what they took."""

    def __init__(self, work: Work[Repository], clock: Clock) -> None:
        self._work = work
        self._clock = clock

    async def take(self, receipts: Sequence[Receipt]) -> Collection[UUID]:
        """See `notify.channels.receipts.ReceiptDesk`."""
        now = self._clock.now()
        async with self._work() as repository:
            locked = await repository.lock_deliveries({receipt.delivery_id for receipt in receipts})
            found = {key: one for key, one in locked.items() if rules.may_be_received(one)}
            changed: dict[UUID, Delivery] = {}
            for receipt in receipts:
                known = changed.get(receipt.delivery_id) or found.get(receipt.delivery_id)
                if known is not None and not known.has_ended:
                    has_arrived = receipt.fate is Fate.DELIVERED
                    changed[known.delivery_id] = rules.received(
                        known, has_arrived=has_arrived, code=receipt.code, now=now
                    )
            await _save(repository, list(changed.values()))
        _count(changed.values())
        return set(found)

    async def end_unheard(self, limit: int) -> int:
        """End at most `limit` that no receipt came for in three days; how many there were. For a scheduled job."""
        now = self._clock.now()
        async with self._work() as repository:
            found = await repository.lock_unheard(now - rules.HEARD_WITHIN, limit)
            ended = [rules.unheard(one, now) for one in found]
            await _save(repository, ended)
        _count(ended)
        return len(ended)


def _failure(error: UndeliveredError) -> rules.Failure:
    if error.is_final:
        return rules.Failure.REFUSED
    return rules.Failure.BUSY if isinstance(error, AddressBusyError) else rules.Failure.OUTAGE


def _decides(outcome: Outcome, found: Delivery) -> bool:
    """Whether this attempt says anything of how the delivery stands: one that a lease outlived only if it was taken."""
    return found.state is State.QUEUED and (outcome.is_taken or found.attempts == outcome.attempts)


async def _save(repository: Repository, changed: Sequence[Delivery]) -> None:
    await repository.update_deliveries(changed)
    events = [ended_event(one) for one in changed if one.has_ended]
    if events:
        await repository.outbox.add(events)


def _count(ended: Iterable[Delivery]) -> None:
    for one in ended:
        DELIVERIES.labels(one.channel.value, one.state.value).inc()


def _outgoing(one: Due) -> Outgoing:
    delivery, payload = one.delivery, one.payload
    return Outgoing(
        delivery_id=delivery.delivery_id,
        channel=delivery.channel,
        template=payload.template,
        language=payload.language,
        address=one.address,
        title=payload.title,
        body=payload.body,
        params=payload.params,
    )
