"""What `make bench-notify` writes, and what it makes of the times at which that arrived; nothing here needs notify."""

import asyncio
import time
import uuid
from bisect import bisect_right
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from gongji.settlement.events.v1 import account_events_pb2
from kit.clock import Elapsed
from kit.events import Event
from notify.domain.channels import Channel
from notify.domain.contacts import Contact, ContactState

TICK_SECONDS: Final = 0.02
"""A steady load is written so often, each time in one transaction, as settlement's own batches are."""
HOSPITAL: Final = "H65270100001"
SLACK_SECONDS: Final = 0.1
"""A backlog that is longer by what comes in so long a time has not grown: batches come and go."""
WRITTEN_SHARE: Final = 0.95
"""A load that was written more slowly than this was not tried."""


class Debits:
    """Debits of so many payers, one payer after the other, numbered as their accounts number them.

    `share` of the payers have a telephone.
    """

    def __init__(self, prefix: str, payers: int, share: float = 0.0) -> None:
        self._prefix = prefix
        self._payers = payers
        self._share = share
        self.to_telephones = 0
        """How many of them are owed to a telephone, too."""
        self._next = 0
        self._last: Counter[str] = Counter()

    def some(self, count: int) -> list[Event]:
        """The next, of now."""
        now = datetime.now(UTC)
        return [self._one(now) for _ in range(count)]

    def _one(self, now: datetime) -> Event:
        number = self._next % self._payers
        self.to_telephones += has_telephone(number, self._share)
        payer = payer_no(self._prefix, number)
        self._next += 1
        self._last[payer] += 1
        message = account_events_pb2.AccountDebited(
            psn_no=payer,
            sequence=self._last[payer],
            amount_fen=100,
            balance_after_fen=1_000_000 - 100 * self._last[payer],
            setl_id=str(uuid.uuid4()),
            patient_psn_no=f"P{payer}",
            fixmedins_code=HOSPITAL,
        )
        message.posted_at.FromDatetime(now)
        return Event(message, key=payer, occurred_at=now)


def payer_no(prefix: str, number: int) -> str:
    """The payer's psn_no."""
    return f"{prefix}{number:08d}"


def has_telephone(number: int, share: float) -> bool:
    """Whether this payer has a telephone; those who have are spread evenly."""
    return int((number + 1) * share) > int(number * share)


def telephones(prefix: str, payers: int, share: float) -> list[Contact]:
    """The verified telephones of that share of the payers."""
    now = datetime.now(UTC)
    return [
        Contact(
            uuid.uuid4(),
            payer_no(prefix, number),
            Channel.SMS,
            f"139{number:08d}",
            ContactState.VERIFIED,
            created_at=now,
            verified_at=now,
        )
        for number in range(payers)
        if has_telephone(number, share)
    ]


async def steadily(
    write: Callable[[int], Awaitable[None]], rate: int, seconds: float, ticks: Callable[[], float] = time.monotonic
) -> None:
    """Write so many a second; where writing is slower, as fast as it goes until all are written or twice that time."""
    so_far, written, total = Elapsed(ticks), 0, round(rate * seconds)
    while written < total and (now := so_far.seconds) < 2 * seconds:
        due = min(total, round(rate * (now + TICK_SECONDS)))
        if due > written:
            await write(due - written)
            written = due
        await asyncio.sleep(max(0.0, written / rate - so_far.seconds))


@dataclass(frozen=True, slots=True)
class Delays:
    """Milliseconds from one moment to another."""

    p50_ms: float
    p99_ms: float


def delays(written: Mapping[uuid.UUID, float], arrived: Mapping[uuid.UUID, float]) -> Delays:
    """From writing to arrival, of those that arrived; seconds in, milliseconds out."""
    waits = sorted((at - written[event_id]) * 1000 for event_id, at in arrived.items())
    return Delays(_quantile(waits, 0.5), _quantile(waits, 0.99))


def _quantile(ordered: Sequence[float], share: float) -> float:
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 1) if ordered else 0.0


def backlogs(written: Sequence[float], arrived: Sequence[float], samples: int = 60) -> list[int]:
    """How many had been written and had not arrived, at so many moments from the first writing to the last."""
    written, arrived = sorted(written), sorted(arrived)
    step = (written[-1] - written[0]) / samples
    moments = [written[0] + step * (number + 1) for number in range(samples)]
    return [bisect_right(written, moment) - bisect_right(arrived, moment) for moment in moments]


def written_per_second(written: Sequence[float]) -> float:
    """The rate that a load really had."""
    lasted = max(written) - min(written)
    return (len(written) - 1) / lasted if lasted else 0.0


def is_sustained(written: Sequence[float], arrived: Sequence[float], rate: int) -> bool:
    """Whether it was written at that rate and the backlog of its last third is no longer than that of the second."""
    found = backlogs(written, arrived)
    third = len(found) // 3
    middle, last = sum(found[third : 2 * third]) / third, sum(found[-third:]) / third
    return written_per_second(written) >= WRITTEN_SHARE * rate and last <= middle + SLACK_SECONDS * rate
