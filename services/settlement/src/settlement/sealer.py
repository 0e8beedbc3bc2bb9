"""The sealer: chains what has been written to the ledger, block by block, and publishes each block's head."""

from functools import partial

from gongji.settlement.events.v1 import ledger_events_pb2
from kit.clock import Clock
from kit.db import Work
from kit.events import Event
from kit.timestamps import timestamp
from settlement.domain.seals import BEGINNING, Block, SealAlgorithm, seal
from settlement.seal_hash import digest
from settlement.seal_repository import PostgresSealRepository

BLOCK_ENTRIES = 10_000
"""At most in one block: some 3 MB of text at a time, for the sealer and for the audit."""
KEY = "ledger"
"""Of the heads on the bus: one chain, one order."""


class Sealer:
    """Seals; several replicas may run it, and one of them at a time does.

    Args:
        work: units of work.
        clock: the time that blocks tell.
        algorithm: what new blocks are hashed with; older ones keep theirs.
        block_entries: entries in one block at most.
    """

    def __init__(
        self,
        work: Work[PostgresSealRepository],
        clock: Clock,
        algorithm: SealAlgorithm,
        block_entries: int = BLOCK_ENTRIES,
    ) -> None:
        self._work = work
        self._clock = clock
        self._algorithm = algorithm
        self._block_entries = block_entries

    async def batch(self) -> int:
        """Seal one block of what nothing can come before any more; how many entries it has, 0 if there is none."""
        async with self._work() as repository:
            if not await repository.is_alone():
                return 0
            before = await repository.newest()
            content = await repository.sealable(before.last if before else BEGINNING, self._block_entries)
            if content is None:
                return 0
            block = seal(before, content, self._algorithm, partial(digest, self._algorithm), self._clock.now())
            await repository.add(block)
            await repository.outbox.add([sealed(block)])
            return block.entries


def sealed(block: Block) -> Event:
    """The event that publishes a block's head."""
    message = ledger_events_pb2.EntriesSealed(
        sequence=block.number,
        entries=block.entries,
        last_entry_id=block.last.entry_id,
        algorithm=str(block.algorithm),
        previous_hash=block.previous_hash,
        hash=block.hash,
        sealed_at=timestamp(block.sealed_at),
    )
    return Event(message, key=KEY, occurred_at=block.sealed_at)
