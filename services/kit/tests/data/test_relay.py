"""What is written is published in its order, once it is unsent, and cleared when it is confirmed."""

import asyncio
from collections.abc import Sequence

import pytest

from kit.bus_metrics import RELAY_FAILURES, UNSENT, UNSENT_AGE
from kit.db import Database
from kit.events import StoredEvent
from kit.failpoints import Boundary, Failpoints
from kit.outbox import PostgresOutbox
from kit.relay_publisher import PublishError
from kit.testing import eventually
from kit.testing_events import event
from kit.testing_relay import TOPIC, Recorder, Running, relay_of, tell, unsent, unsent_ids, until_sent


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


async def test_what_is_unsent_is_published_in_order_and_cleared(
    database: Database, database_url: str, recorder: Recorder
) -> None:
    await tell(database, *(f"{number:04}" for number in range(2500)))
    async with Running(relay_of(database, database_url, recorder)):
        await until_sent(database)
    assert recorder.texts() == [f"{number:04}" for number in range(2500)]
    assert recorder.rounds == 3
    async with database.transaction() as transaction:
        assert await transaction.raw.fetchval("SELECT count(*) FROM outbox_event") == 2500


class Standing(Failpoints):
    """Stands still once the round is published, for good."""

    def __init__(self) -> None:
        super().__init__()
        self.at: list[Boundary] = []

    async def reach(self, boundary: Boundary) -> None:
        self.at.append(boundary)
        await asyncio.Event().wait()


async def test_what_stands_still_between_publishing_and_clearing_is_published_again_by_the_next_and_cleared(
    database: Database, database_url: str, recorder: Recorder
) -> None:
    await tell(database, "first", "second")
    failpoints = Standing()
    standing = relay_of(database, database_url, recorder, failpoints=failpoints, lease_seconds=0.5)
    work = asyncio.create_task(standing.run())
    await eventually(lambda: bool(failpoints.at), what="it has come between")
    assert failpoints.at == [Boundary.AFTER_PUBLISH]
    assert recorder.texts() == ["first", "second"]
    assert await unsent(database) == 2
    async with Running(relay_of(database, database_url, recorder, "two", poll_seconds=0.1)):
        await until_sent(database)
    assert recorder.texts() == ["first", "second"] * 2
    work.cancel()
    await asyncio.wait([work])


async def test_events_that_are_unsent_and_gone_stop_it_instead_of_being_passed_over(
    database: Database, database_url: str, recorder: Recorder
) -> None:
    await tell(database, "first", "second")
    await tell(database, "third")
    async with database.transaction() as transaction:
        detached = await transaction.raw.fetch(
            "DELETE FROM outbox_event WHERE id = (SELECT min(id) FROM outbox_event) RETURNING *"
        )
        await transaction.raw.execute("UPDATE outbox_event SET created_at = created_at - interval '1 hour'")
    failed = RELAY_FAILURES.labels("MissingEventsError")._value
    before = failed.get()
    async with Running(relay_of(database, database_url, recorder)):
        await eventually(lambda: failed.get() > before)
        assert recorder.texts() == []
        assert (UNSENT._value.get(), UNSENT_AGE._value.get() >= 3600) == (3, True)
        async with database.transaction() as transaction:
            await transaction.raw.copy_records_to_table("outbox_event", records=[tuple(row) for row in detached])
        await until_sent(database)
    assert recorder.texts() == ["first", "second", "third"]


async def test_a_notification_wakes_it_long_before_the_poll(
    database: Database, database_url: str, recorder: Recorder
) -> None:
    async with Running(relay_of(database, database_url, recorder, poll_seconds=300.0)):
        await tell(database, "first")
        await eventually(lambda: recorder.texts() == ["first"])
        await tell(database, "second")
        await eventually(lambda: recorder.texts() == ["first", "second"])


async def test_without_notifications_the_poll_finds_the_event(
    database: Database, database_url: str, recorder: Recorder
) -> None:
    deaf = relay_of(
        database, database_url.replace("postgresql://", "postgresql://nobody."), recorder, poll_seconds=0.05
    )
    async with Running(deaf):
        await tell(database, "first")
        await eventually(lambda: recorder.texts() == ["first"])
        await tell(database, "second")
        await eventually(lambda: recorder.texts() == ["first", "second"])


async def test_an_id_that_commits_after_a_higher_one_is_not_passed_over(
    database: Database, database_url: str, recorder: Recorder
) -> None:
    async with Running(relay_of(database, database_url, recorder)):
        async with database.transaction() as transaction:
            await PostgresOutbox(transaction, "kit", TOPIC.catalogue).add([event("slow", "low id")])
            await tell(database, "high id", key="quick")
            await eventually(lambda: recorder.texts("quick") == ["high id"])
            assert recorder.texts("slow") == []
        await eventually(lambda: recorder.texts("slow") == ["low id"])


class Down(Recorder):
    """Kafka is away."""

    async def publish(self, _rows: Sequence[StoredEvent]) -> list[int]:
        self.rounds += 1
        raise PublishError("on purpose", [])


async def test_notifications_do_not_cut_the_pause_after_a_failure_short_and_stopping_does(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kit.relay.backoff_seconds", lambda _failures: 300.0)
    down = Down()
    relay = relay_of(database, database_url, down)
    async with Running(relay):
        await tell(database, "first")
        await eventually(lambda: down.closed == 1)
        for number in range(5):
            await tell(database, f"while it is away, {number}")
        await eventually(relay._wake.is_set)
        for _ in range(5):
            await database.ping()
        assert down.rounds == 1


def first_appearances(rows: Sequence[StoredEvent], key: str) -> list[int]:
    return list(dict.fromkeys(row.id for row in rows if row.key == key))


@pytest.mark.parametrize("seed", range(5))
async def test_whatever_fails_nothing_is_lost_and_each_key_keeps_its_order(
    database: Database, database_url: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kit.relay.ROUND_EVENTS", 7)
    monkeypatch.setattr("kit.relay.backoff_seconds", lambda _failures: 0.0)
    flaky = Recorder(seed)
    for number in range(60):
        await tell(database, f"{number}", key=f"k{number % 4}")
    async with Running(relay_of(database, database_url, flaky)):
        await until_sent(database)
    for key in ("k0", "k1", "k2", "k3"):
        seen = first_appearances(flaky.kafka, key)
        assert seen == sorted(seen)
        assert len(seen) == 15
    ids = {row.id: row.event_id for row in flaky.kafka}
    assert all(ids[row.id] == row.event_id for row in flaky.kafka)
    assert flaky.closed > 1


async def test_of_events_told_together_only_the_unconfirmed_stay_unsent(database: Database, database_url: str) -> None:
    class Half(Recorder):
        async def publish(self, rows: Sequence[StoredEvent]) -> list[int]:
            self.kafka += rows
            raise PublishError("on purpose", [row.id for row in rows if row.key == "even"])

    half = Half()
    async with database.transaction() as transaction:
        events = [event("odd" if number % 2 else "even", f"{number}") for number in range(10)]
        await PostgresOutbox(transaction, "kit", TOPIC.catalogue).add(events)
    async with Running(relay_of(database, database_url, half)):
        await eventually(lambda: half.closed == 1)
    waiting = await unsent_ids(database)
    assert waiting == [row.id for row in half.kafka[:10] if row.key == "odd"]
    recorder = Recorder()
    async with Running(relay_of(database, database_url, recorder)):
        await until_sent(database)
    assert [row.id for row in recorder.kafka] == waiting


async def test_another_relay_that_was_faster_is_not_overruled(database: Database, database_url: str) -> None:
    await tell(database, "first", "second", "third")
    late = relay_of(database, database_url, Recorder())
    rows = await late._clear_and_take()
    assert rows is not None
    async with database.transaction() as transaction:
        await transaction.raw.execute("DELETE FROM outbox_run")
    late._confirmed = [rows[1].id]
    await late._leave()
    assert await unsent(database) == 0


async def test_while_facts_keep_coming_rounds_begin_at_intervals(
    database: Database, database_url: str, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kit.relay.ROUND_EVERY_SECONDS", 300.0)
    await tell(database, "first")
    async with Running(relay_of(database, database_url, recorder)) as running:
        await eventually(lambda: recorder.texts() == ["first"])
        await tell(database, "second")
        await eventually(running.relay._wake.is_set)
        assert recorder.rounds == 1
    assert recorder.texts() == ["first"]
    assert len(await unsent_ids(database)) == 1
