"""What only PostgreSQL shows of webhooks: what is in the rows, and who does things at once."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest

from kit.crypto import DecryptionError
from kit.db import Database
from notify.domain.webhooks import Standing, State
from notify.testing import AT, keyring
from notify.testing_webhooks import (
    HOSPITAL,
    LEASE,
    PHARMACY,
    claimed,
    delivery,
    event,
    finished,
    ids,
    kept,
    queued,
    webhook,
)
from notify.webhooks.parts import webhook_work
from notify.webhooks.postgres import StoredSuspensions
from notify.webhooks.repository import Bounds

MINUTE = timedelta(minutes=1)


async def test_addresses_secrets_and_bodies_are_not_readable_in_the_tables(database: Database) -> None:
    hooks, ours = webhook_work(database, keyring()), webhook(url="https://his.example.com/?token=abc")
    await kept(hooks, replace(ours, secrets=ours.secrets.rotated("whsec_bmV3", AT, LEASE)))
    await queued(hooks, delivery(ours, event(body="机密".encode())))
    async with database.transaction() as transaction:
        rows = [
            *await transaction.raw.fetch("SELECT * FROM webhook"),
            *await transaction.raw.fetch("SELECT * FROM webhook_event"),
        ]
    shown = b" ".join(value if isinstance(value, bytes) else str(value).encode() for row in rows for value in row)
    for hidden in ("his.example.com", "token", "whsec", ours.secrets.current[6:], "机密"):
        assert hidden.encode() not in shown


async def test_a_secret_that_was_moved_to_another_webhook_does_not_open(database: Database) -> None:
    hooks, ours, other = webhook_work(database, keyring()), webhook(), webhook()
    await kept(hooks, ours, other)
    async with database.transaction() as transaction:
        await transaction.raw.execute(
            "UPDATE webhook SET secret_ct = (SELECT secret_ct FROM webhook WHERE webhook_id = $1) "
            "WHERE webhook_id = $2",
            ours.webhook_id,
            other.webhook_id,
        )
    async with hooks() as repository:
        with pytest.raises(DecryptionError):
            await repository.get(other.webhook_id)


async def spoil(database: Database, table: str, column: str, key: str, value: UUID) -> None:
    async with database.transaction() as transaction:
        await transaction.raw.execute(f"UPDATE {table} SET {column} = '\\x00' WHERE {key} = $1", value)  # noqa: S608


async def test_an_event_that_cannot_be_decrypted_holds_up_nobody(database: Database) -> None:
    hooks, ours = webhook_work(database, keyring()), webhook()
    await kept(hooks, ours)
    spoilt, whole = delivery(ours), delivery(ours)
    await queued(hooks, spoilt, whole)
    await spoil(database, "webhook_event", "body_ct", "event_id", spoilt.event.event_id)
    (found,) = await claimed(hooks)
    assert found.event_id == whole.event.event_id
    await finished(hooks, found)
    assert await claimed(hooks, AT + timedelta(hours=1), each=1) == []
    later = delivery(ours)
    await queued(hooks, later, now=AT + timedelta(hours=1))
    assert ids(await claimed(hooks, AT + timedelta(hours=1), each=1)) == {later.event.event_id}


async def test_a_webhook_that_cannot_be_decrypted_holds_up_nobody_and_is_listed(database: Database) -> None:
    hooks, spoilt, whole = webhook_work(database, keyring()), webhook(), webhook()
    await kept(hooks, spoilt, whole)
    await queued(hooks, delivery(spoilt), delivery(whole))
    await spoil(database, "webhook", "secret_ct", "webhook_id", spoilt.webhook_id)
    assert [claim.webhook for claim in await claimed(hooks)] == [whole]
    async with hooks() as repository:
        first, second = await repository.page(None, 10)
    assert (first.webhook_id, first.state, first.url) == (spoilt.webhook_id, State.ACTIVE, "")
    assert second == whole


async def test_a_removed_webhook_stays_as_long_as_a_delivery_of_it_is_in_use(database: Database) -> None:
    hooks, gone, other = webhook_work(database, keyring()), webhook(), webhook()
    await kept(hooks, gone, other)
    await queued(hooks, delivery(gone))
    async with hooks() as repository:
        await repository.save(gone.removed())
        await repository.save(other.removed())
    async with database.transaction() as transaction:
        await transaction.raw.execute("SELECT FROM webhook_delivery FOR UPDATE")
        async with hooks() as repository:
            assert await repository.clear(10) == 1
        async with hooks() as repository:
            assert await repository.clear(10) == 0
    async with hooks() as repository:
        assert await repository.clear(10) == 1
    async with hooks() as repository:
        assert await repository.clear(10) == 1


async def test_two_replicas_take_what_the_other_has_not(database: Database) -> None:
    hooks, ours = webhook_work(database, keyring()), [webhook() for _ in range(5)]
    await kept(hooks, *ours)
    await queued(hooks, *(delivery(one) for one in ours for _ in range(4)))
    rounds = await asyncio.gather(*(claimed(hooks, limit=10, each=4) for _ in range(2)))
    taken = [(claim.webhook.webhook_id, claim.event_id) for found in rounds for claim in found]
    assert len(taken) == len(set(taken))
    assert len(taken) >= 10


async def test_what_two_replicas_take_at_once_is_within_the_bounds_of_webhook_and_owner(database: Database) -> None:
    hooks, ours, bounds = webhook_work(database, keyring()), [webhook() for _ in range(5)], Bounds(100, 3, 7)
    await kept(hooks, *ours)
    await queued(hooks, *(delivery(one) for one in ours for _ in range(10)))
    async with hooks() as first:
        taken = [claim.webhook.webhook_id for claim in await first.claim(AT, bounds, LEASE)]
        async with hooks() as second:  # which does not see the leases yet
            assert await second.claim(AT, bounds, LEASE) == []
    assert len(taken) == 7
    assert max(taken.count(one.webhook_id) for one in ours) <= 3


async def test_suspended_is_who_was_last_told_to_be(database: Database) -> None:
    hooks, suspended = webhook_work(database, keyring()), StoredSuspensions(database)
    told = [
        (Standing(HOSPITAL, suspended=False, epoch=1, sequence=1), []),
        (Standing(HOSPITAL, suspended=True, epoch=1, sequence=2), [HOSPITAL]),
        (Standing(HOSPITAL, suspended=False, epoch=1, sequence=2), [HOSPITAL]),
        (Standing(PHARMACY, suspended=True, epoch=1, sequence=9), [HOSPITAL, PHARMACY]),
        (Standing(HOSPITAL, suspended=False, epoch=2, sequence=1), [PHARMACY]),
    ]
    for standing, expected in told:
        async with hooks() as repository:
            await repository.learn([standing])
        assert sorted(await suspended()) == expected


async def test_two_who_queue_the_same_events_queue_them_once(database: Database) -> None:
    hooks, ours = webhook_work(database, keyring()), webhook()
    await kept(hooks, ours)
    events = [delivery(ours) for _ in range(50)]
    counts = await asyncio.gather(queued(hooks, *events), queued(hooks, *reversed(events)))
    assert sum(counts) == 50
