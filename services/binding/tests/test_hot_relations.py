"""Many batches at once on one hot relation and on many, with outcomes and pairs in between, on a real PostgreSQL."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from random import Random

from binding.domain.authorizations import Outcome
from binding.domain.batch import Answer, Request
from binding.domain.limits import Limits
from binding.repository import PostgresRepository
from binding.service.authorizations import Authorizations
from binding.testing import NOON, captured, have_relations, named, relation, released, request, restored
from gongji.binding.events.v1 import events_pb2
from kit.clock import FixedClock
from kit.db import Database, PostgresWork

HOT = "B0"
PATIENTS = [f"B{number}" for number in range(12)]
LIMITS = Limits(day_fen=4_000, total_fen=6_000)

# The README's audit, for every window: a counter is the sum of what lines charge beyond the lines that they replace.
_WRONG_COUNTERS = """
WITH charged AS (
    SELECT l.relation_id, w.kind AS window_kind, w.start AS window_start,
           sum(l.used_fen - least(l.used_fen, coalesce(p.used_fen, 0))) AS used_fen,
           sum(l.used_fen + l.held_fen
               - least(l.used_fen + l.held_fen, coalesce(p.used_fen + p.held_fen, 0))) AS taken_fen
    FROM authorization_line AS l JOIN authorization_record AS a USING (authorization_id)
    CROSS JOIN LATERAL (VALUES ('DAY', a.occurred_on), ('MONTH', date_trunc('month', a.occurred_on)::date),
                               ('YEAR', date_trunc('year', a.occurred_on)::date), ('TOTAL', '1970-01-01'::date)
                       ) AS w (kind, start)
    LEFT JOIN authorization_line AS p ON p.authorization_id = a.replaces AND p.relation_id = l.relation_id
    GROUP BY 1, 2, 3
)
SELECT * FROM limit_counter AS c FULL JOIN charged AS s USING (relation_id, window_kind, window_start)
WHERE (c.used_fen, c.used_fen + c.held_fen) IS DISTINCT FROM (s.used_fen, s.taken_fen)
"""
_ABOVE_LIMIT = """
SELECT * FROM limit_counter AS c JOIN relation AS r USING (relation_id)
WHERE c.used_fen + c.held_fen > CASE c.window_kind WHEN 'DAY' THEN r.day_fen WHEN 'TOTAL' THEN r.total_fen END
"""


@dataclass
class Crowd:
    """What the workers share: everything that settlement has decided so far."""

    authorizations: Authorizations
    work: PostgresWork[PostgresRepository]
    chance: Random
    told: dict[str, list[Outcome]] = field(default_factory=lambda: {patient: [] for patient in PATIENTS})
    paid: dict[str, list[tuple[str, int]]] = field(default_factory=lambda: {patient: [] for patient in PATIENTS})
    """Captured authorizations that nobody settles again yet."""
    pairs: int = 0

    async def ask(self, worker: str, rounds: int) -> None:
        for number in range(rounds):
            others = self.chance.sample(PATIENTS[1:], self.chance.randint(0, 8))
            patients = self.chance.sample([HOT, *others], len(others) + 1)
            asked = [self._request(f"{worker} {number}", patient) for patient in patients]
            for it, answer in zip(asked, await self.authorizations.authorize(asked), strict=True):
                self._decide(it, answer)

    async def tell(self, rounds: int) -> None:
        for _ in range(rounds):
            said = [it for outcomes in self.told.values() for it in outcomes]
            await self.apply(self.chance.sample(said, min(len(said), 20)))

    async def apply(self, outcomes: Sequence[Outcome]) -> None:
        async with self.work() as repository:
            await self.authorizations.apply(repository, outcomes)

    def _request(self, name: str, patient: str) -> Request:
        along = self.chance.sample(self.told[patient], min(len(self.told[patient]), 3))
        made = request(f"{name} {patient}", self.chance.randint(1, 900), *along, beneficiary_psn_no=patient)
        if not self.paid[patient] or self.chance.random() < 0.5:
            return made
        of, amount_fen = self.paid[patient].pop()
        self.pairs += 1
        known = captured(of, (f"r {patient}", amount_fen))
        return replace(made, outcomes=(known, *along), replaces=named(of))

    def _decide(self, asked: Request, answer: Answer) -> None:
        patient, said = asked.beneficiary_psn_no, self.told[asked.beneficiary_psn_no]
        if answer.refusal:
            assert answer.refusal == "IN_PROGRESS"
            return
        (grant,) = answer.grants
        name = next(it for it in self._names() if named(it) == asked.authorization_id)
        lines = (f"r {patient}", self.chance.randint(0, grant.granted_fen))
        match self.chance.choice(["capture", "capture", "release", "reverse", "hold"]):
            case "capture":
                said.append(replace(captured(name, lines), replaces=asked.replaces))
                self.paid[patient].append((name, lines[1]))
            case "release":
                said.append(released(name))
            case "reverse":
                said += [captured(name, lines), restored(name, lines)]
            case _:
                pass

    def _names(self) -> list[str]:
        return [f"w{worker} {number} {patient}" for worker in range(4) for number in range(25) for patient in PATIENTS]


async def test_a_crowd_on_hot_and_cold_relations_keeps_every_limit_and_never_waits_in_a_circle(
    postgres_work: PostgresWork[PostgresRepository], database: Database
) -> None:
    await have_relations(postgres_work, *(relation(f"r {it}", beneficiary_psn_no=it, limits=LIMITS) for it in PATIENTS))
    clock = FixedClock(NOON)
    crowd = Crowd(Authorizations(postgres_work, clock, clock), postgres_work, Random(13))  # noqa: S311
    await asyncio.gather(*(crowd.ask(f"w{worker}", 25) for worker in range(4)), *(crowd.tell(25) for _ in range(2)))
    assert crowd.pairs > 20
    await _is_sound(database)
    await crowd.apply([it for said in crowd.told.values() for it in said])
    await _is_sound(database)


async def _is_sound(database: Database) -> None:
    async with database.transaction() as transaction:
        assert await transaction.raw.fetch(_WRONG_COUNTERS) == []
        assert await transaction.raw.fetch(_ABOVE_LIMIT) == []
        deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        assert await transaction.raw.fetchval(deadlocks) == 0
        rows = await transaction.raw.fetch("SELECT key, payload FROM outbox_event ORDER BY id")
    told: dict[str, list[tuple[int, int]]] = {}
    for row in rows:
        notice = events_pb2.LimitNearlyUsed.FromString(row["payload"])
        told.setdefault(row["key"], []).append((notice.sequence, notice.window))
    assert told
    for notices in told.values():
        assert [sequence for sequence, _ in notices] == list(range(1, len(notices) + 1))
        assert len({window for _, window in notices}) == len(notices)
