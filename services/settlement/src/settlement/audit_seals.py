"""The chain of sealed blocks: it is whole, its entries are what was sealed, and its heads are what was published."""

from collections.abc import Sequence
from functools import partial
from typing import Final

from gongji.settlement.events.v1 import ledger_events_pb2
from kit.db import Database
from settlement.audit import STATEMENT_TIMEOUT_SECONDS, Result, Watch, with_findings
from settlement.domain.seals import BEGINNING, Block, broken
from settlement.seal_hash import digest
from settlement.seal_repository import PostgresSealRepository

BLOCKS_AT_A_TIME: Final = 100
HEADS_AT_A_TIME: Final = 5000
UNSEALED_AGE_SECONDS: Final = 3600.0
"""How old an entry may become before it is sealed; a transaction that never ends keeps all later ones waiting."""

_HEADS = """
SELECT id, sequence, payload FROM outbox_event
WHERE topic = 'ledger-events-v1' AND id > $1 ORDER BY id LIMIT $2
"""
_FROM_THE_FIRST = "SELECT NOT EXISTS (SELECT FROM purged_month WHERE table_name = 'outbox_event')"


class SealsAudit:
    """Checks the chain, reading only."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def chain(self, watch: Watch) -> Result:
        """Sealed entries are as they were sealed, none is missing and none was put between."""
        result = Result("sealed entries are those that were sealed, in one chain", 0, 0, ())
        before: Block | None = None
        while blocks := await self._blocks(before.number if before else 0):
            for block in blocks:
                why = await self._broken(before, block)
                problems = [f"block {block.number}, up to entry {block.last.entry_id}: {why}"] if why else []
                result = with_findings(result, block.entries, len(problems), problems)
                before = block
                watch(result)
        return result

    async def heads(self, watch: Watch) -> Result:
        """The heads that were published are those of the blocks, and each was."""
        result = Result("the heads of sealed blocks are those that were published", 0, 0, ())
        newest, from_the_first = await self._extent()
        after, told = 0, None if not from_the_first else 0
        while heads := await self._heads(after):
            after = heads[-1][0]
            problems = await self._differing([head for _, head in heads])
            for _, head in heads:
                if told is not None and head.sequence != told + 1:
                    problems.append(f"block {head.sequence} was published after {told}")
                told = head.sequence
            result = with_findings(result, len(heads), len(problems), problems)
            watch(result)
        unpublished = newest - (told or 0) if told is not None else 0
        missing = [f"block {newest}: the last that was published is {told}"] if unpublished > 0 else []
        return with_findings(result, 0, len(missing), missing)

    async def waiting(self, watch: Watch) -> Result:
        """No entry waits long to be sealed."""
        async with self._database.transaction(statement_timeout_seconds=STATEMENT_TIMEOUT_SECONDS) as transaction:
            entries, age_seconds = await PostgresSealRepository(transaction).waiting()
        late = [f"{entries} entries wait to be sealed, the oldest for {age_seconds:.0f} s"]
        problems = late if age_seconds > UNSEALED_AGE_SECONDS else []
        result = Result("no entry waits for an hour to be sealed", entries, len(problems), tuple(problems))
        watch(result)
        return result

    async def _blocks(self, number: int) -> list[Block]:
        async with self._database.transaction() as transaction:
            return await PostgresSealRepository(transaction).behind(number, BLOCKS_AT_A_TIME)

    async def _broken(self, before: Block | None, block: Block) -> str | None:
        start = before.last if before else BEGINNING
        async with self._database.transaction(statement_timeout_seconds=STATEMENT_TIMEOUT_SECONDS) as transaction:
            # One more than were sealed is enough to see that there are more.
            content = await PostgresSealRepository(transaction).between(start, block.last, block.entries + 1)
        return broken(before, block, content, partial(digest, block.algorithm))

    async def _extent(self) -> tuple[int, bool]:
        """The newest block's number, and whether policy has dropped no event yet."""
        async with self._database.transaction() as transaction:
            newest = await PostgresSealRepository(transaction).newest()
            return newest.number if newest else 0, bool(await transaction.raw.fetchval(_FROM_THE_FIRST))

    async def _heads(self, after: int) -> list[tuple[int, ledger_events_pb2.EntriesSealed]]:
        async with self._database.transaction(statement_timeout_seconds=STATEMENT_TIMEOUT_SECONDS) as transaction:
            rows = await transaction.raw.fetch(_HEADS, after, HEADS_AT_A_TIME)
        return [(row["id"], ledger_events_pb2.EntriesSealed.FromString(row["payload"])) for row in rows]

    async def _differing(self, heads: Sequence[ledger_events_pb2.EntriesSealed]) -> list[str]:
        async with self._database.transaction() as transaction:
            blocks = await PostgresSealRepository(transaction).numbered([head.sequence for head in heads])
        problems = []
        for head in heads:
            block = blocks.get(head.sequence)
            if block is None:
                problems.append(f"block {head.sequence} was published and is not there")
            elif block.hash != head.hash:
                problems.append(f"block {head.sequence} has another hash than was published")
        return problems
