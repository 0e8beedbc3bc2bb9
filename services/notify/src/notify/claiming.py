"""Claiming what is due on a channel: what is sent now, what waits a little more, and what has ended instead.

Nights, choices and contacts are looked at once more here, for what waited may have waited long: a gateway was away, or
it was queued the day before. Only what is really sent is counted for its person's day.
"""

from collections import Counter as Tally
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Protocol
from uuid import UUID

from kit.clock import Elapsed
from notify.domain import deliveries as rules
from notify.domain.channels import Channel
from notify.domain.deliveries import Delivery, Payload
from notify.domain.planning import Recipient, not_before
from notify.repository import Repository
from notify.repository.deliveries import Claimed
from notify.repository.opening import Unopened

NO_KEY_WAIT: Final = timedelta(minutes=1)
"""After which another process may have the key that this one does not have."""


class ClaimBounds(Protocol):
    """`notify.channels.policy.Policy` is one."""

    @property
    def most_a_day(self) -> int:
        """How many messages one person gets in a day."""
        ...


@dataclass(frozen=True, slots=True)
class Due:
    """A delivery that is to be sent now."""

    delivery: Delivery
    payload: Payload
    address: str = field(repr=False)
    since: Elapsed
    """Since when it is claimed, or a little longer."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What was claimed."""

    due: Sequence[Due]
    changed: Sequence[Delivery]
    """What is not sent now, as it stands: it waits or has ended."""


@dataclass(frozen=True, slots=True)
class _Candidate:
    claimed: Claimed
    payload: Payload
    address: str = field(repr=False)


async def claim(
    repository: Repository,
    channel: Channel,
    bounds: ClaimBounds,
    *,
    now: datetime,
    due_by: datetime,
    limit: int,
    lease_seconds: float,
) -> Claims:
    """Claim what was due by `due_by`; `changed` is to be kept by the caller, in this transaction."""
    since = Elapsed()
    claimed = await repository.claim_deliveries(channel, due_by, limit, lease_seconds)
    if not claimed:
        return Claims((), ())
    people = await repository.people({one.delivery.psn_no for one in claimed})
    contacts = {
        psn_no: person.contacts[channel].contact_id for psn_no, person in people.items() if channel in person.contacts
    }
    found = await repository.addresses(set(contacts.values()))
    addresses = {psn_no: found[contact] for psn_no, contact in contacts.items() if contact in found}
    candidates, changed, uncounted = _sorted_out(claimed, people, addresses, now)
    await repository.uncount_deliveries(uncounted)
    passing, beyond = await _within_bounds(repository, channel, candidates, bounds, now)
    due = [Due(one.claimed.delivery, one.payload, one.address, since) for one in passing]
    return Claims(due, [*changed, *beyond])


def _sorted_out(
    claimed: Sequence[Claimed],
    people: Mapping[str, Recipient],
    addresses: Mapping[str, str | Unopened],
    now: datetime,
) -> tuple[list[_Candidate], list[Delivery], list[UUID]]:
    """What may be sent; what may not, as it stands; and which of the latter have to be claimed for a first time yet."""
    candidates, changed, uncounted = [], [], []
    for one in claimed:
        psn_no = one.delivery.psn_no
        found = _look(one, people.get(psn_no), addresses.get(psn_no), now)
        if isinstance(found, _Candidate):
            candidates.append(found)
            continue
        changed.append(found)
        if one.is_first and not found.has_ended:
            uncounted.append(found.delivery_id)
    return candidates, changed, uncounted


def _look(
    one: Claimed, person: Recipient | None, address: str | Unopened | None, now: datetime
) -> _Candidate | Delivery:
    """It with all that sending takes, or how it stands because it cannot or must not go out now."""
    delivery, payload = one.delivery, one.payload
    if person is None or address is None or address is Unopened.BROKEN:
        return rules.failed(delivery, rules.NO_CONTACT, now)
    if payload is Unopened.BROKEN:
        return rules.failed(delivery, rules.UNREADABLE, now)
    if isinstance(payload, Unopened) or isinstance(address, Unopened):
        return rules.without_key(delivery, now, NO_KEY_WAIT)
    earliest = not_before(one.delivery.event_id, delivery.kind, delivery.channel, person, now)
    if earliest is None:
        return rules.given_up(delivery, rules.UNWANTED, now)
    if earliest > now:
        return rules.put_off(delivery, earliest)
    return _Candidate(one, payload, address)


async def _within_bounds(
    repository: Repository, channel: Channel, candidates: Sequence[_Candidate], bounds: ClaimBounds, now: datetime
) -> tuple[list[_Candidate], list[Delivery]]:
    """Those that may go out, and those that are given up because their person got enough today."""
    wanted = Tally(one.claimed.delivery.psn_no for one in candidates if one.claimed.is_first)
    counted = await repository.count_deliveries(channel, rules.day_of(now), wanted)
    left = Tally(
        {psn_no: rules.within_bound(number, counted[psn_no], bounds.most_a_day) for psn_no, number in wanted.items()}
    )
    passing, ended = [], []
    for one in candidates:
        delivery, is_first = one.claimed.delivery, one.claimed.is_first
        if is_first and left[delivery.psn_no] == 0:
            ended.append(rules.given_up(delivery, rules.DAILY_BOUND, now))
            continue
        passing.append(one)
        left[delivery.psn_no] -= is_first
    return passing, ended
